package config

import (
	"math"
	"slices"
	"syscall"
	"time"
)

// appKey is one key that [apps.NAME] and [defaults] may have.
type appKey struct {
	name string
	set  setter
	also []string // what other process managers call it
}

// appKeys is every key of an app that this version has.
var appKeys = []appKey{
	{"command", setCommand, []string{"cmd", "exec", "run", "script", "entrypoint", "start"}},
	{"port", integer(1, 65535, func(a *App) *int { return &a.Port }), []string{"ports"}},
	{"host", setHost, []string{"bind", "address", "hostname", "interface"}},
	{"instances", setInstances, []string{"workers", "replicas", "processes", "numprocs", "scale", "concurrency"}},
	{"cwd", setCwd, []string{"dir", "directory", "workdir", "working_dir", "working_directory", "root"}},
	{"env", setEnv, []string{"environment", "vars", "variables"}},
	{"env_file", setEnvFile, []string{"dotenv", "envfile", "env_files"}},
	{"shell", setShell, nil},
	{"user", setUser, []string{"uid", "run_as"}},
	{"group", setGroup, []string{"gid"}},
	{"umask", setUmask, nil},
	{"limits", setLimits, []string{"resources", "ulimit"}},

	{"listen", word(func(a *App) *Listen { return &a.Listen },
		[]Listen{ListenAuto, ListenAdopt, ListenFD, ListenSelf, ListenRelay}), nil},
	{"count", word(func(a *App) *Count { return &a.Count },
		[]Count{CountAuto, CountEBPF, CountRelay, CountKernel, CountOff}), nil},
	{"balance", word(func(a *App) *Balance { return &a.Balance },
		[]Balance{BalanceAuto, BalanceHash}), []string{"load_balancing", "lb"}},
	{"forwarded", boolean(func(a *App) *bool { return &a.Forwarded }), []string{"x_forwarded", "forward_headers", "proxy_headers"}},
	{"proxy_protocol", boolean(func(a *App) *bool { return &a.ProxyProtocol }), []string{"send_proxy", "proxy"}},
	{"strict", boolean(func(a *App) *bool { return &a.Strict }), nil},

	{"restart", word(func(a *App) *Restart { return &a.Restart },
		[]Restart{RestartAlways, RestartOnFailure, RestartNever}), []string{"autorestart", "restart_policy"}},
	{"success_codes", setSuccessCodes, []string{"exitcodes", "exit_codes"}},
	{"backoff_min", duration(positive, func(a *App) *time.Duration { return &a.BackoffMin }), []string{"restart_delay", "backoff"}},
	{"backoff_max", duration(positive, func(a *App) *time.Duration { return &a.BackoffMax }), nil},
	{"backoff_reset", duration(positive, func(a *App) *time.Duration { return &a.BackoffReset }), []string{"min_uptime"}},
	{"max_restarts", integer(0, math.MaxInt32, func(a *App) *int { return &a.MaxRestarts }), []string{"retries", "startretries"}},
	{"restart_window", duration(positive, func(a *App) *time.Duration { return &a.RestartWindow }), nil},

	{"stop_signal", setStopSignal, []string{"signal", "kill_signal"}},
	{"stop_timeout", duration(zeroToo, func(a *App) *time.Duration { return &a.StopTimeout }), []string{"kill_timeout", "grace_period", "stopwaitsecs"}},
	{"ready", setReady, []string{"readiness", "readiness_probe", "startup_probe"}},
	{"health", setHealth, []string{"healthcheck", "health_check", "liveness", "liveness_probe"}},
	{"depends_on", setDependsOn, []string{"depends", "requires", "after", "needs"}},

	{"reload_parallel", integer(1, MaxInstances, func(a *App) *int { return &a.ReloadParallel }), nil},
	{"watch", setWatch, []string{"watches"}},
	{"log", setLog, []string{"logs", "logging", "log_file", "out_file", "stdout_logfile"}},
	{"schedule", setSchedule, []string{"cron", "cron_restart"}},
	{"autostart", boolean(func(a *App) *bool { return &a.Autostart }), []string{"enabled"}},
}

// topKeys are the keys that stand before the first table, and the names of the
// tables.
var topKeys = []string{"name", "watch_config", "metrics", "env_file", "apps", "defaults"}

// builtin is an app before anything is read: the default of every key.
func builtin(dir string) App {
	return App{
		Command:        Command{Shell: "/bin/sh"},
		Instances:      1,
		Cwd:            dir,
		Env:            map[string]string{},
		FileEnv:        map[string]string{},
		Listen:         ListenAuto,
		Count:          CountAuto,
		Balance:        BalanceAuto,
		Restart:        RestartAlways,
		SuccessCodes:   []int{0},
		BackoffMin:     100 * time.Millisecond,
		BackoffMax:     30 * time.Second,
		BackoffReset:   10 * time.Second,
		MaxRestarts:    10,
		RestartWindow:  time.Minute,
		StopSignal:     syscall.SIGTERM,
		StopTimeout:    10 * time.Second,
		Ready:          builtinReady,
		Health:         builtinHealth,
		ReloadParallel: 1,
		Autostart:      true,
		Watch:          Watch{Gitignore: true, Debounce: 300 * time.Millisecond, Action: WatchReload},
		Log:            Log{MaxSize: 10 << 20, Keep: 5, Format: LogText},
	}
}

// appKeyNamed is the key of that name, or nil.
func appKeyNamed(name string) *appKey {
	if i := slices.IndexFunc(appKeys, func(k appKey) bool { return k.name == name }); i >= 0 {
		return &appKeys[i]
	}
	return nil
}

// isAppKey tells whether an app can have that key.
func isAppKey(name string) bool {
	return appKeyNamed(name) != nil
}

// isTopKey tells whether the top of the file can have that key.
func isTopKey(name string) bool {
	return slices.Contains(topKeys, name)
}

// unknownAppKey reports a key that an app does not have.
func (r *reader) unknownAppKey(k *node, table string) {
	switch {
	case k.name == "name":
		r.add(k.at, `unknown key "name" in %s; the app's name is the one in the table's header, the cluster's stands before the first table`, table)
	case isTopKey(k.name):
		r.add(k.at, "unknown key %q in %s; it belongs to the top of the file, before the first table", k.name, table)
	default:
		r.add(k.at, "unknown key %s in %s%s", cite(k.name), table, suggestAppKey(k.name))
	}
}

func suggestAppKey(name string) string {
	names := make([]string, len(appKeys))
	for i, key := range appKeys {
		names[i] = key.name
		if slices.Contains(key.also, plain(name)) {
			return didYouMean(key.name, []string{key.name})
		}
	}
	return didYouMean(name, names)
}

// unknownTopKey reports a key that the top of the file does not have.
func (r *reader) unknownTopKey(k *node) {
	switch {
	case isAppKey(k.name):
		r.add(k.at, "unknown key %q at the top of the file; it belongs into [apps.NAME], or into [defaults] for all apps", k.name)
	default:
		r.add(k.at, "unknown key %s at the top of the file%s", cite(k.name), didYouMean(k.name, topKeys))
	}
}
