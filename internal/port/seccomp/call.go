package seccomp

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Call is one system call that waits for an answer: exactly one of Continue,
// Return, Fail. When the caller has died meanwhile, the answer goes nowhere,
// and that is no error.
type Call struct {
	TID    int // the calling thread, in the supervisor's PID namespace
	Number int // as in unix.SYS_BIND
	Args   [6]uint64

	listener *Listener
	id       uint64
}

// Valid tells whether the caller still waits: then whatever was looked up by
// its number before was the caller's.
func (c *Call) Valid() bool {
	return c.listener.ioctl(unix.SECCOMP_IOCTL_NOTIF_ID_VALID, unsafe.Pointer(&c.id)) == nil
}

// Continue lets the kernel do the call as if nobody had looked.
func (c *Call) Continue() error {
	return c.send(response{id: c.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE})
}

// Return answers in the kernel's place.
func (c *Call) Return(value int64) error { return c.send(response{id: c.id, val: value}) }

// Fail answers in the kernel's place with an error.
func (c *Call) Fail(errno unix.Errno) error { return c.send(response{id: c.id, error: -int32(errno)}) }

func (c *Call) send(r response) error {
	err := c.listener.ioctl(unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&r))
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return os.NewSyscallError("answer a system call", err)
}

// Put makes the caller's descriptor at a duplicate of fd, closed on exec or
// not, whatever it was before (Linux 5.9).
func (c *Call) Put(fd, at int, cloexec bool) error {
	a := addfd{id: c.id, flags: unix.SECCOMP_ADDFD_FLAG_SETFD, srcfd: uint32(fd), newfd: uint32(at)}
	if cloexec {
		a.newfdFlags = unix.O_CLOEXEC
	}
	return os.NewSyscallError("put a descriptor into a process", c.listener.ioctl(unix.SECCOMP_IOCTL_NOTIF_ADDFD, unsafe.Pointer(&a)))
}

// Memory reads n bytes at an address of the caller. Valid has to follow.
func (c *Call) Memory(address uint64, n int) ([]byte, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/mem", c.TID))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, n)
	if _, err := f.ReadAt(b, int64(address)); err != nil {
		return nil, err
	}
	return b, nil
}

// Descriptor returns a duplicate of a descriptor of the caller (Linux 5.6), to
// be closed by whoever called. Valid has to follow.
func (c *Call) Descriptor(fd int) (int, error) {
	pidfd, err := c.pidfd()
	if err != nil {
		return -1, err
	}
	defer unix.Close(pidfd)
	dup, err := unix.PidfdGetfd(pidfd, fd, 0)
	return dup, os.NewSyscallError("pidfd_getfd", err)
}

// pidfd refers to the calling thread, which need not share its descriptors with
// the others of its process, where the kernel can do that (Linux 6.9), else to
// the process.
func (c *Call) pidfd() (int, error) {
	fd, err := unix.PidfdOpen(c.TID, unix.PIDFD_THREAD)
	if errors.Is(err, unix.EINVAL) {
		var pid int
		if pid, err = c.Process(); err == nil {
			fd, err = unix.PidfdOpen(pid, 0)
		}
	}
	return fd, os.NewSyscallError("pidfd_open", err)
}

// Process is the caller's process ID.
func (c *Call) Process() (int, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.TID))
	if err != nil {
		return 0, err
	}
	_, rest, _ := bytes.Cut(b, []byte("\nTgid:"))
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	return strconv.Atoi(string(bytes.TrimSpace(line)))
}
