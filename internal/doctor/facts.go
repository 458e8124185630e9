// Package doctor finds out what a machine allows clusterd to do, and says what
// that means for its user.
package doctor

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"clusterd/internal/cgroup"
	"clusterd/internal/config"
	"clusterd/internal/port"
	"clusterd/internal/proc"
)

// Facts are what has been found out about a machine, and about the rights of this
// process on it. A nil error means that something works.
type Facts struct {
	Kernel    string // release
	UID       int
	Machine   proc.Machine
	FirstPort int   // the lowest that may be bound
	IPv6      error // listening on ::1
	Files     uint64
	Cgroup    cgroup.Own
	CPU       error     // limiting that of instances
	Plan      proc.Plan // for an unmodified server
}

// Examine looks at this machine. It takes some 10 ms, and 5 s at most.
func Examine() (Facts, error) {
	f := Facts{UID: os.Getuid(), Machine: proc.ThisMachine(), IPv6: tryIPv6(), Cgroup: cgroup.Find()}
	f.CPU = f.Cgroup.CPU()
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return f, os.NewSyscallError("uname", err)
	}
	f.Kernel = unix.ByteSliceToString(name.Release[:])
	mayBind, err := capable(unix.CAP_NET_BIND_SERVICE)
	if err != nil {
		return f, err
	}
	if f.FirstPort = 1; !mayBind {
		f.FirstPort = port.FirstUnprivileged()
	}
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		return f, os.NewSyscallError("getrlimit", err)
	}
	f.Files = files.Max // Go raises the soft limit to it
	f.Plan = proc.PlanOf(config.App{
		Port:    8080,
		Command: config.Command{Argv: []string{"/bin/sh"}},
		Listen:  config.ListenAuto,
		Count:   config.CountAuto,
	}, f.Machine)
	return f, nil
}

func tryIPv6() error {
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		return err
	}
	return l.Close()
}

// capable tells whether this process has a capability in effect.
func capable(which int) (bool, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return false, fmt.Errorf("read the capabilities of this process: %w", err)
	}
	return sets[which/32].Effective&(1<<(which%32)) != 0, nil
}
