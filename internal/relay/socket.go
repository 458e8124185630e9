package relay

import (
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// socket is a connected TCP socket in the runtime's poller. Against a
// net.TCPConn it saves the system calls that package net makes for each
// connection, which are a good part of what one costs that carries one request.
type socket struct {
	*os.File
	far net.Addr // nil: nobody asks
}

// newSocket takes over a connected, non-blocking descriptor.
func newSocket(fd int, far net.Addr) socket {
	return socket{os.NewFile(uintptr(fd), "connection"), far}
}

func (s socket) RemoteAddr() net.Addr { return s.far }

// LocalAddr asks the kernel.
func (s socket) LocalAddr() (at net.Addr) {
	_ = s.control(func(fd int) error {
		sa, err := unix.Getsockname(fd)
		if err == nil {
			at = tcpAddr(sa)
		}
		return err
	})
	return at
}

func (s socket) CloseWrite() error {
	return s.control(func(fd int) error { return os.NewSyscallError("shutdown", syscall.Shutdown(fd, syscall.SHUT_WR)) })
}

// setNoDelay is for a socket of dialTCP.
func (s socket) setNoDelay() error {
	return s.control(func(fd int) error {
		return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
	})
}

// SetLinger is that of net.TCPConn.
func (s socket) SetLinger(seconds int) error {
	return s.control(func(fd int) error {
		l := unix.Linger{Onoff: 1, Linger: int32(seconds)}
		return os.NewSyscallError("setsockopt", unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &l))
	})
}

func (s socket) control(f func(fd int) error) error {
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = f(int(fd)) }); err != nil {
		return err
	}
	return failed
}
