package relay

import (
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

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
	s := newSocket(fd, tcpAddr(from))
	s.in.ready = true // most clients have said something already
	return s, nil
}
