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

// tcpAddr is nil for an address that is none of TCP.
func tcpAddr(sa unix.Sockaddr) net.Addr {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return &net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}
	case *unix.SockaddrInet6:
		return &net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}
	}
	return nil
}

// acceptor takes connections from one listening socket.
type acceptor interface {
	Accept() (net.Conn, error)
	Close() error
}

// newAcceptor takes l over. Connections have what net.Listener gives them
// (TCP_NODELAY, keep-alive probes), of a *net.TCPListener by inheritance: Linux
// copies these options from the listening socket.
func newAcceptor(l net.Listener) acceptor {
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return l
	}
	file, err := tcp.File() // that of package net does not let others accept
	if err != nil {
		return l
	}
	raw, err := file.SyscallConn()
	if err == nil {
		var failed error
		if err = raw.Control(func(fd uintptr) { failed = setAccepted(int(fd)) }); err == nil {
			err = failed
		}
	}
	if err != nil {
		file.Close()
		return l
	}
	l.Close()
	return &rawAcceptor{file, raw}
}

// The kernel probes a silent client after 15 s, and 9 times, as package net has
// it.
func setAccepted(fd int) error {
	for _, o := range []struct{ level, name, value int }{
		{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 15},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 15},
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 9},
	} {
		if err := unix.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	return nil
}

type rawAcceptor struct {
	*os.File
	raw syscall.RawConn
}

func (a *rawAcceptor) Accept() (net.Conn, error) {
	var fd int
	var from unix.Sockaddr
	var failed error
	err := a.raw.Read(func(listener uintptr) bool {
		for {
			fd, from, failed = unix.Accept4(int(listener), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
			// The kernel also tells of connections that have ended since, see
			// accept(2).
			if failed != unix.EINTR && failed != unix.ECONNABORTED {
				return failed != unix.EAGAIN
			}
		}
	})
	if err != nil {
		return nil, err
	}
	if failed != nil {
		return nil, os.NewSyscallError("accept4", failed)
	}
	return newSocket(fd, tcpAddr(from)), nil
}

// unread is how many bytes wait to be read; -1 if that cannot be told.
func unread(conn syscall.RawConn) int {
	n, err := -1, error(nil)
	if failed := conn.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.SIOCINQ) }); failed != nil || err != nil {
		return -1
	}
	return n
}

// tcpClose is TCP_CLOSE in the kernel's enum of states.
const tcpClose = 7

// wasReset tells of a TCP connection that has ended that the other end did not
// read all it was sent: its kernel resets a connection that is closed before. If
// it has read all, a connection that is closed is half open for now.
func wasReset(conn syscall.RawConn) (reset bool) {
	_ = conn.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		reset = err == nil && info.State == tcpClose
	})
	return reset
}
