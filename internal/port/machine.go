package port

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"clusterd/internal/port/seccomp"
	"clusterd/internal/port/shim"
)

// Machine is what this machine, and the rights of this process on it, allow.
// Each error says in a sentence what is missing; nil: it works.
type Machine struct {
	Filter error // seccomp filters that report system calls (Linux 5.9)
	Memory error // reading what a reported call points to (/proc/PID/mem)
	Getfd  error // duplicating a descriptor of another process (pidfd_getfd, Linux 5.6)
	Put    error // putting a descriptor into another process

	BPF error // programs that choose among listening sockets (SK_REUSEPORT, Linux 4.19)
}

// Adoption says why instances cannot be adopted; nil: they can, by Grip.
func (m Machine) Adoption() error { return cmp.Or(m.Filter, m.Memory, m.Put) }

// Grip is the best that an Adoption can have here.
func (m Machine) Grip() Grip {
	if m.Getfd != nil {
		return Replace
	}
	return Share
}

// ThisMachine finds out, once, by a trial on a process of its own. That takes
// some 10 ms, and at most trialLimit.
var ThisMachine = sync.OnceValue(func() Machine {
	m := Machine{BPF: tryBPF()}
	if err := m.try(); err != nil && m.Adoption() == nil {
		m.Filter = fmt.Errorf("a trial failed: %w", err)
	}
	return m
})

const trialLimit = 5 * time.Second

// try adopts a listening socket of a shim that does nothing else.
func (m *Machine) try() error {
	ctx, cancel := context.WithTimeout(context.Background(), trialLimit)
	defer cancel()
	ours, theirs, err := ShimPair()
	if err != nil {
		return err
	}
	defer ours.Close()
	cmd := exec.CommandContext(ctx, ShimPath)
	cmd.Args = shim.Order{Filter: seccomp.Filter()}.Args()
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	runtime.LockOSThread() // the shim dies with the thread that forks it
	defer runtime.UnlockOSThread()
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		return err
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	msg, fd, err := receive(int(ours.Fd()))
	switch {
	case err != nil:
		return err
	case msg[0] != shim.WordListener || fd < 0:
		m.Filter = filterError(msg)
		return nil
	}
	l, err := seccomp.NewListener(fd)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer func() {
		if stop() {
			l.Close()
		}
	}()
	for {
		call, err := l.Receive()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		m.look(call)
		if err := call.Continue(); err != nil {
			return err
		}
	}
}

// look does with a call of the trial all that an adoption may do.
func (m *Machine) look(call *seccomp.Call) {
	if call.Number == unix.SYS_BIND {
		if _, err := call.Memory(call.Args[1], unix.SizeofSockaddrInet4); err != nil {
			m.Memory = fmt.Errorf("the memory of a child cannot be read (%w): it takes CAP_SYS_PTRACE here", err)
		}
		return
	}
	fd := int(int32(call.Args[0]))
	if dup, err := call.Descriptor(fd); err == nil {
		unix.Close(dup)
	} else {
		m.Getfd = fmt.Errorf("the sockets of a child cannot be shared (%w): that takes Linux 5.6, and in a container a profile that allows pidfd_getfd(2)", err)
	}
	own, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		m.Put = os.NewSyscallError("socket", err)
		return
	}
	defer unix.Close(own)
	if err := call.Put(own, fd, true); err != nil {
		m.Put = fmt.Errorf("sockets cannot be put into a child (%w): that takes Linux 5.9", err)
	}
}

// filterError says why a shim could not install a filter.
func filterError(msg []byte) error {
	text := string(msg[min(5, len(msg)):])
	switch errno := errnoOf(msg); errno {
	case unix.EBUSY:
		return errors.New("a supervisor above this one watches system calls already (a container's, or another clusterd): the kernel allows one")
	case unix.EPERM, unix.EACCES:
		return fmt.Errorf("system call filters are refused here (seccomp: %w); a container needs a profile that allows seccomp(2)", errno)
	case unix.EINVAL, unix.ENOSYS:
		return fmt.Errorf("the kernel cannot report system calls (seccomp: %w): that takes Linux 5.9 with CONFIG_SECCOMP_FILTER", errno)
	}
	return errors.New(text)
}
