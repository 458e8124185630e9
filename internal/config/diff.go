package config

import (
	"reflect"
	"slices"
)

// Effect says what it takes to make a running app what its new config says.
type Effect int

// The effects, each of which includes those before it.
const (
	EffectNone    Effect = iota
	EffectLive           // holds from now on, and touches no process
	EffectScale          // a different number of instances
	EffectReload         // new processes on the same port
	EffectRestart        // another way onto the port, or another port
)

// keyEffects says what each key of an app takes, with the fields of App that it
// fills. Every field but Name is in here once.
var keyEffects = []struct {
	key    string
	effect Effect
	fields []string
}{
	{"command", EffectReload, []string{"Command"}},
	{"port", EffectRestart, []string{"Port"}},
	{"host", EffectRestart, []string{"Host"}},
	{"instances", EffectScale, []string{"Instances"}},
	{"cwd", EffectReload, []string{"Cwd"}},
	{"env", EffectReload, []string{"Env"}},
	{"env_file", EffectReload, []string{"EnvFiles", "FileEnv"}},
	{"user", EffectReload, []string{"User", "RunAs"}},
	{"group", EffectReload, []string{"Group"}},
	{"umask", EffectReload, []string{"Umask"}},
	{"limits", EffectReload, []string{"Limits"}},
	{"listen", EffectRestart, []string{"Listen"}},
	{"count", EffectRestart, []string{"Count"}},
	{"balance", EffectRestart, []string{"Balance"}},
	{"forwarded", EffectRestart, []string{"Forwarded"}},
	{"proxy_protocol", EffectRestart, []string{"ProxyProtocol"}},
	{"strict", EffectRestart, []string{"Strict"}},
	{"ready", EffectReload, []string{"Ready"}},
	{"health", EffectReload, []string{"Health"}},
	{"depends_on", EffectLive, []string{"DependsOn"}},
	{"restart", EffectLive, []string{"Restart"}},
	{"success_codes", EffectLive, []string{"SuccessCodes"}},
	{"backoff_min", EffectLive, []string{"BackoffMin"}},
	{"backoff_max", EffectLive, []string{"BackoffMax"}},
	{"backoff_reset", EffectLive, []string{"BackoffReset"}},
	{"max_restarts", EffectLive, []string{"MaxRestarts"}},
	{"restart_window", EffectLive, []string{"RestartWindow"}},
	{"stop_signal", EffectLive, []string{"StopSignal"}},
	{"stop_timeout", EffectLive, []string{"StopTimeout"}},
	{"reload_parallel", EffectLive, []string{"ReloadParallel"}},
	{"autostart", EffectLive, []string{"Autostart"}},
	{"watch", EffectLive, []string{"Watch"}},
	{"log", EffectLive, []string{"Log"}},
	{"schedule", EffectLive, []string{"Schedule"}},
}

// Difference is how one config differs from another.
type Difference struct {
	Added   []string // apps, in the order of the new config
	Removed []string // apps, in the order of the old one
	Changed []Change // in the order of the new config
	Top     []string // keys that stand before the first table
}

// Change is how one app differs.
type Change struct {
	App    string
	Keys   []string // those that differ, in the order of the documentation
	Effect Effect   // the strongest of theirs
}

// Empty tells that there is none.
func (d Difference) Empty() bool {
	return len(d.Added)+len(d.Removed)+len(d.Changed)+len(d.Top) == 0
}

// Diff says what has to be done to a cluster that runs as old says, for it to
// run as new says. It depends on nothing else.
func Diff(old, new *Config) (d Difference) {
	if old.Name != new.Name {
		d.Top = append(d.Top, "name")
	}
	if old.WatchConfig != new.WatchConfig {
		d.Top = append(d.Top, "watch_config")
	}
	if old.Metrics != new.Metrics {
		d.Top = append(d.Top, "metrics")
	}
	for i := range old.Apps {
		if new.App(old.Apps[i].Name) == nil {
			d.Removed = append(d.Removed, old.Apps[i].Name)
		}
	}
	for i := range new.Apps {
		after := &new.Apps[i]
		before := old.App(after.Name)
		if before == nil {
			d.Added = append(d.Added, after.Name)
		} else if c := diffApps(before, after); len(c.Keys) > 0 {
			d.Changed = append(d.Changed, c)
		}
	}
	return d
}

// DiffApps lists the keys in which two configs of an app differ.
func DiffApps(old, new App) []string { return diffApps(&old, &new).Keys }

// WithInstances is the app with another number of instances.
func (a App) WithInstances(n int) App {
	a.Instances = n
	return a
}

func diffApps(old, new *App) Change {
	c := Change{App: new.Name}
	before, after := reflect.ValueOf(*old), reflect.ValueOf(*new)
	for _, k := range keyEffects {
		if slices.ContainsFunc(k.fields, func(name string) bool {
			return !same(before.FieldByName(name).Interface(), after.FieldByName(name).Interface())
		}) {
			effect := k.effect
			if k.key == "limits" && old.Limits.Nofile == new.Limits.Nofile && old.Limits.CPU == new.Limits.CPU {
				effect = EffectLive // memory is looked at from outside
			}
			c.Keys = append(c.Keys, k.key)
			c.Effect = max(c.Effect, effect)
		}
	}
	return c
}

// same compares two values of one field; whether an empty map or slice is nil
// makes no difference.
func same(a, b any) bool {
	if s, ok := a.(Schedule); ok {
		return s.Equal(b.(Schedule))
	}
	v, w := reflect.ValueOf(a), reflect.ValueOf(b)
	if k := v.Kind(); (k == reflect.Map || k == reflect.Slice) && v.Len() == 0 && w.Len() == 0 {
		return true
	}
	return reflect.DeepEqual(a, b)
}
