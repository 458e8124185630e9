package proc

import (
	"cmp"
	"fmt"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"clusterd/internal/config"
	"clusterd/internal/port"
	"clusterd/internal/traffic/ebpf"
)

// Plan says how the instances of an app get onto its port, how their requests
// are counted, and why so. Listen and Count are "" where there is no port.
type Plan struct {
	Listen, ListenWhy string
	Count, CountWhy   string
	// Err says that there is no way to do what the config insists on.
	Err error

	// adopts: clusterd decides the bind and listen calls of the instances, with
	// this grip on their sockets.
	adopts bool
	grip   port.Grip
}

// Machine is what can be done to instances here. The errors say why not.
type Machine struct {
	port.Machine
	Counting error // requests in the kernel
}

// ThisMachine finds out, once. That takes some 10 ms.
var ThisMachine = sync.OnceValue(func() Machine { return Machine{port.ThisMachine(), ebpf.Supported()} })

// PlanOf is what clusterd makes of an app's listen and count on a machine.
func PlanOf(a config.App, m Machine) Plan {
	if a.Port == 0 {
		return Plan{ListenWhy: "a worker: it has no port"}
	}
	p := planOf(a, refusal(a, m.Machine), m.Counting)
	if p.grip = m.Grip(); p.adopts && p.grip == port.Replace {
		p.ListenWhy += fmt.Sprintf("; their sockets are replaced by clusterd's own, since %s", m.Getfd)
	}
	return p
}

// planOf is PlanOf with why the app cannot be adopted, and why its requests
// cannot be counted in the kernel; nil: they can.
func planOf(a config.App, refused, uncounted error) Plan {
	p := Plan{adopts: refused == nil}
	switch {
	case a.Listen == config.ListenAdopt:
		p.Listen, p.ListenWhy = string(config.ListenAdopt), adoptWhy
		if refused != nil {
			p.Err = fmt.Errorf(`listen = "adopt": %w; listen = "relay" serves whatever listens on $PORT`, refused)
		}
	case a.Listen == config.ListenFD:
		p.Listen = string(config.ListenFD)
		p.ListenWhy = `listen = "fd": the instances are given their sockets (LISTEN_FDS)`
		p.adopts = false
	case a.Listen == config.ListenSelf:
		p.Listen = string(config.ListenSelf)
		p.ListenWhy = `listen = "self": the instances set SO_REUSEPORT themselves`
	case a.Listen == config.ListenAuto && refused == nil && a.RelayOnly() == "" && countsDirectly(a.Count, uncounted):
		p.Listen, p.ListenWhy = string(config.ListenAdopt), adoptWhy
	default:
		p.Listen, p.ListenWhy = string(config.ListenRelay), relayWhy(a, refused, uncounted)
	}
	direct := p.Listen != string(config.ListenRelay)
	switch {
	case a.Count == config.CountOff:
		p.Count, p.CountWhy = string(config.CountOff), `count = "off"`
	case a.Count == config.CountEBPF && (!direct || uncounted != nil):
		p.Err = fmt.Errorf(`count = "ebpf": %w; count = "auto" counts as well as can be`, cmp.Or(uncounted, refused))
	case a.Count == config.CountKernel && !direct:
		p.Err = fmt.Errorf(`count = "kernel": %w; count = "auto" counts as well as can be`, refused)
	case a.Count == config.CountKernel:
		p.Count, p.CountWhy = string(config.CountKernel), `count = "kernel": `+kernelWhy
	case !direct:
		p.Count, p.CountWhy = string(config.CountRelay), "the relay follows every request"
	case uncounted == nil:
		p.Count, p.CountWhy = string(config.CountEBPF), "the kernel follows the requests on the instances' sockets"
	default:
		p.Count = string(config.CountKernel)
		p.CountWhy = fmt.Sprintf(`%s, since %s; listen = "relay" counts them exactly`, kernelWhy, uncounted)
	}
	return p
}

// countsDirectly tells whether a count asks for the direct way onto the port, or
// goes without the relay where the kernel counts as well.
func countsDirectly(c config.Count, uncounted error) bool {
	switch c {
	case config.CountOff, config.CountEBPF, config.CountKernel:
		return true
	case config.CountAuto:
		return uncounted == nil
	}
	return false
}

const kernelWhy = "connections and bytes as the kernel lists them; requests are estimated, by their packets"

const adoptWhy = "the instances listen as if each were alone, and get their place on the port from clusterd"

func relayWhy(a config.App, refused, uncounted error) string {
	why := `listen = "relay"`
	switch {
	case a.Listen == config.ListenRelay:
	case a.RelayOnly() != "":
		why = a.RelayOnly() + " = true needs the relay"
	case a.Count == config.CountRelay:
		why = `count = "relay" needs the relay`
	case refused != nil:
		return fmt.Sprintf("instances cannot be adopted: %s; they must listen on $PORT", refused)
	default:
		why = fmt.Sprintf("the relay counts requests exactly, since %s", uncounted)
	}
	if refused != nil {
		return fmt.Sprintf("%s; instances must listen on $PORT, since they cannot be adopted: %s", why, refused)
	}
	return why + "; instances may listen on the port itself, and are moved to a private one"
}

// refusal says why an app cannot be adopted, as far as that can be told before
// it runs; nil: nothing is known to be in the way.
func refusal(a config.App, m port.Machine) error {
	if a.Listen == config.ListenFD {
		return nil // nobody asks
	}
	if err := m.Adoption(); err != nil {
		return err
	}
	return privileged(a)
}

// privileged says that the program of an app gains privileges when it is
// executed, which it could not under adoption: the kernel demands from whoever
// filters system calls without CAP_SYS_ADMIN to give that up (no_new_privs). Of
// a command for the shell it is the first word that is looked at.
func privileged(a config.App) error {
	if os.Geteuid() == 0 && (a.RunAs == nil || a.RunAs.UID == 0) {
		return nil
	}
	name := a.Command.Args()[0]
	if words := strings.Fields(strings.TrimPrefix(a.Command.Line, "exec ")); a.Command.Argv == nil && len(words) > 0 {
		name = words[0]
	}
	path, err := lookPath(name, a.Cwd, os.Environ())
	if err != nil {
		return nil // the start will say so
	}
	st, err := os.Stat(path)
	if err != nil {
		return nil
	}
	if st.Mode()&(os.ModeSetuid|os.ModeSetgid) != 0 {
		return fmt.Errorf("%s is set-user-ID, and would lose its privileges (no_new_privs)", path)
	}
	if n, err := unix.Getxattr(path, "security.capability", nil); err == nil && n > 0 {
		return fmt.Errorf("%s has file capabilities, and would lose them (no_new_privs)", path)
	}
	if unix.Access(path, unix.R_OK) != nil {
		return fmt.Errorf("%s may be executed but not read, and so not looked into", path)
	}
	return nil
}
