package seccomp

import (
	"io"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Listener receives the calls of one filter. Its methods may be called by any
// goroutine, Receive by one at a time.
type Listener struct{ file *os.File }

// NewListener takes over the descriptor that seccomp(2) returned for a Filter.
func NewListener(fd int) (*Listener, error) {
	if err := unix.SetNonblock(fd, true); err != nil { // for the poller's sake
		unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	return &Listener{os.NewFile(uintptr(fd), "seccomp listener")}, nil
}

// Close lets go of the filter: every call that it reports fails with ENOSYS
// from then on.
func (l *Listener) Close() error { return l.file.Close() }

// Stop ends a Receive that blocks, and every later one, with
// os.ErrDeadlineExceeded. A call that Receive has taken from the kernel by then is
// returned first; all others wait in the kernel, for another Listener.
func (l *Listener) Stop() {
	_ = l.file.SetReadDeadline(time.Unix(1, 0)) // fails only once it is closed
}

// Dup returns a duplicate of the descriptor, for another Listener.
func (l *Listener) Dup() (fd int, err error) {
	raw, err := l.file.SyscallConn()
	if err != nil {
		return -1, err
	}
	var failed error
	if err := raw.Control(func(old uintptr) { fd, failed = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return -1, err
	}
	return fd, os.NewSyscallError("dup", failed)
}

// notif is struct seccomp_notif of linux/seccomp.h.
type notif struct {
	id    uint64
	pid   uint32
	flags uint32
	nr    int32
	arch  uint32
	ip    uint64
	args  [6]uint64
}

// response is struct seccomp_notif_resp.
type response struct {
	id    uint64
	val   int64
	error int32
	flags uint32
}

// addfd is struct seccomp_notif_addfd.
type addfd struct {
	id         uint64
	flags      uint32
	srcfd      uint32
	newfd      uint32
	newfdFlags uint32
}

// Receive blocks until a process makes one of the calls, or Stop is called. io.EOF
// says that there is no process any more that could: the last of the tree has been
// waited for, or is about to be.
func (l *Listener) Receive() (*Call, error) {
	raw, err := l.file.SyscallConn()
	if err != nil {
		return nil, err
	}
	var n notif
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		for {
			// Receiving itself would block when there is nothing, or, before
			// Linux 6.11, when there is nobody left.
			poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			if _, failed = unix.Poll(poll, 0); failed == unix.EINTR {
				continue
			}
			switch {
			case failed != nil:
				return true
			case poll[0].Revents&unix.POLLIN != 0:
				n = notif{} // the kernel insists
				switch failed = ioctl(fd, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&n)); failed {
				case unix.ENOENT, unix.EINTR:
					continue // the caller has died, or was interrupted
				}
				return true
			case poll[0].Revents != 0:
				failed = io.EOF
				return true
			}
			return false
		}
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return nil, err
	}
	return &Call{listener: l, id: n.id, TID: int(n.pid), Number: int(n.nr), Args: n.args}, nil
}

func (l *Listener) ioctl(request uintptr, arg unsafe.Pointer) error {
	raw, err := l.file.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = ioctl(fd, request, arg) }); err != nil {
		return err
	}
	return failed
}

func ioctl(fd, request uintptr, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, request, uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}
