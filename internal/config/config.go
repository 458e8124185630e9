package config

import (
	"strings"
	"syscall"
	"time"
)

// Config is one cluster, as its file declares it, with all defaults applied.
type Config struct {
	Name string // never empty; default: the name of the file's folder
	Path string // absolute path of the file, symbolic links resolved
	Dir  string // folder of Path; relative paths of the file start here
	// Metrics is where Prometheus may ask, "HOST:PORT" as net.Listen takes it; "":
	// nowhere.
	Metrics string
	Apps    []App // in the order of the file, at least one

	WatchConfig bool // apply the file whenever it is saved
}

// App is the app of that name, or nil. It points into c.Apps.
func (c *Config) App(name string) *App {
	for i := range c.Apps {
		if c.Apps[i].Name == name {
			return &c.Apps[i]
		}
	}
	return nil
}

// App is one [apps.NAME] table.
type App struct {
	Name      string
	Command   Command
	Port      int    // public TCP port, 1 to 65535; 0: a worker, without a port
	Host      string // public address to bind; "" is every address of the machine
	Instances int    // 0 or more; "cpus" is resolved by Load
	Cwd       string // absolute
	Env       map[string]string
	EnvFiles  []string          // absolute; files that FileEnv comes from, the strongest last
	FileEnv   map[string]string // weaker than Env, stronger than clusterd's own environment
	User      string            // its number in decimal; "": clusterd's own
	Group     string            // likewise; "": that of the user
	RunAs     *Identity         // what User and Group come to; nil: clusterd's own
	Umask     *int              // nil: clusterd's own
	Limits    Limits

	Listen  Listen
	Count   Count
	Balance Balance

	// What only the relay can do; see RelayOnly.
	Forwarded     bool // add X-Forwarded-For, -Proto and -Host to requests
	ProxyProtocol bool // begin connections to instances with the PROXY protocol's header
	Strict        bool // refuse what cannot be followed

	Restart       Restart
	SuccessCodes  []int // exit codes that are no failure, ascending
	BackoffMin    time.Duration
	BackoffMax    time.Duration
	BackoffReset  time.Duration // ready for this long: the next failure counts as the first
	MaxRestarts   int           // failures within RestartWindow before giving up; 0: never give up
	RestartWindow time.Duration

	StopSignal  syscall.Signal
	StopTimeout time.Duration // then SIGKILL

	Ready     Probe // By "": listening, or, for a worker, at once
	Health    Probe // By "": none
	DependsOn []Dependency

	ReloadParallel int // instances replaced at a time
	Autostart      bool
	Watch          Watch
	Log            Log
	Schedule       Schedule
}

// Command is what an instance executes: either a line for a shell or an
// argument vector. Exactly one of Line and Argv is set.
type Command struct {
	Line  string   // run as Shell -c Line
	Shell string   // the shell for Line; default /bin/sh
	Argv  []string // executed directly, looked up in PATH when it has no slash
}

// RelayOnly is the first of the keys by which the app asks for something that
// only the relay can do; "" if there is none.
func (a *App) RelayOnly() string {
	switch {
	case a.Forwarded:
		return "forwarded"
	case a.ProxyProtocol:
		return "proxy_protocol"
	case a.Strict:
		return "strict"
	}
	return ""
}

// Args is the argument vector to execute, the program first.
func (c Command) Args() []string {
	if c.Argv != nil {
		return c.Argv
	}
	return []string{c.Shell, "-c", execLine(c.Line)}
}

// String is the command as one would type it into a shell.
func (c Command) String() string {
	if c.Argv == nil {
		return c.Line
	}
	quoted := make([]string, len(c.Argv))
	for i, arg := range c.Argv {
		quoted[i] = quote(arg)
	}
	return strings.Join(quoted, " ")
}

// quote makes one word of s for a shell.
func quote(s string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789%+,-./:=@_"
	if s != "" && strings.Trim(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// Listen says how the instances of an app get onto its public port.
type Listen string

// The ways onto a port.
const (
	ListenAuto  Listen = "auto"  // the best that the machine allows
	ListenAdopt Listen = "adopt" // the instance listens as it does; clusterd gives its socket a place on the port
	ListenFD    Listen = "fd"    // the instance is given its socket as descriptor 3, by systemd's protocol
	ListenRelay Listen = "relay" // the instance listens privately behind clusterd's relay
	ListenSelf  Listen = "self"  // the instance sets SO_REUSEPORT on the public $PORT itself
)

// Count says where the request counts of an app come from.
type Count string

// The count sources.
const (
	CountAuto   Count = "auto"   // the best that the app's way onto its port allows
	CountEBPF   Count = "ebpf"   // exact, in the kernel
	CountRelay  Count = "relay"  // exact, by the relay
	CountKernel Count = "kernel" // connections exact, requests estimated
	CountOff    Count = "off"    // nothing is measured
)

// Balance says how new connections are spread over the instances.
type Balance string

// The ways to balance.
const (
	BalanceAuto Balance = "auto" // the least loaded instance where it can be chosen
	BalanceHash Balance = "hash" // the kernel's hash of the connection's addresses
)

// Restart says after which exits an instance is started again.
type Restart string

// The restart policies.
const (
	RestartAlways    Restart = "always"
	RestartOnFailure Restart = "on-failure"
	RestartNever     Restart = "never"
)
