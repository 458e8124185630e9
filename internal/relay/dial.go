package relay

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// dial connects to an instance. With net.Dialer, a connection that carries one
// request costs the relay about a quarter more CPU: that starts a goroutine to
// watch the timeout, waits for the poller although a connect on one machine is
// over at once, and sets up keep-alive probes, which nobody needs against a
// process next door.
func dial(in *Instance) (instanceConn, error) {
	to, err := netip.ParseAddrPort(in.Address)
	if err != nil || in.Network != "tcp" || to.Addr().Zone() != "" {
		return dialSlowly(in)
	}
	c, err := dialTCP(to)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: in.Network, Addr: net.TCPAddrFromAddrPort(to), Err: err}
	}
	return c, nil
}

// instanceConn is what a link needs of its connection.
type instanceConn interface {
	syscall.Conn
	Write([]byte) (int, error)
	CloseWrite() error
	SetDeadline(time.Time) error
	Close() error
}

func dialSlowly(in *Instance) (instanceConn, error) {
	d := net.Dialer{Timeout: dialTimeout, KeepAlive: -1}
	d.SetMultipathTCP(false) // it gains nothing on one machine, and costs
	conn, err := d.Dial(in.Network, in.Address)
	if err != nil {
		return nil, err
	}
	c, ok := conn.(instanceConn)
	if !ok {
		conn.Close()
		return nil, errors.ErrUnsupported
	}
	return c, nil
}

// socket is a connected TCP socket. Its file is in the runtime's poller.
type socket struct{ *os.File }

func (s socket) CloseWrite() error {
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = syscall.Shutdown(int(fd), syscall.SHUT_WR) }); err != nil {
		return err
	}
	return os.NewSyscallError("shutdown", failed)
}

func dialTCP(to netip.AddrPort) (socket, error) {
	family, address := sockaddr(to)
	fd, err := syscall.Socket(family, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return socket{}, os.NewSyscallError("socket", err)
	}
	// Without it the last part of a large request would wait for an answer.
	if err := syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1); err != nil {
		syscall.Close(fd)
		return socket{}, os.NewSyscallError("setsockopt", err)
	}
	err = connectOnce(fd, address)
	if again(err) {
		// The answer may be here already, and connect(2) tells when it is
		// called a second time.
		err = connectOnce(fd, address)
	}
	if err != nil && !again(err) {
		syscall.Close(fd)
		return socket{}, os.NewSyscallError("connect", err)
	}
	s := socket{os.NewFile(uintptr(fd), "instance")}
	if err != nil {
		err = s.await(address)
	}
	if err == nil && selfConnected(fd, address) {
		err = os.NewSyscallError("connect", syscall.ECONNREFUSED)
	}
	if err != nil {
		s.Close()
		return socket{}, err
	}
	return s, nil
}

// await blocks until a connect that has begun is over.
func (s socket) await(address syscall.Sockaddr) error {
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	if err := s.SetWriteDeadline(time.Now().Add(dialTimeout)); err != nil {
		return err
	}
	var failed error
	if err := raw.Write(func(fd uintptr) bool {
		failed = connectOnce(int(fd), address)
		return !again(failed)
	}); err != nil {
		return err
	}
	if failed != nil {
		return os.NewSyscallError("connect", failed)
	}
	return s.SetWriteDeadline(time.Time{})
}

// connectOnce is connect(2); that the socket is connected is no error.
func connectOnce(fd int, address syscall.Sockaddr) error {
	err := syscall.Connect(fd, address)
	if err == syscall.EISCONN {
		return nil
	}
	return err
}

// again tells that a connect goes on.
func again(err error) bool {
	return err == syscall.EINPROGRESS || err == syscall.EALREADY || err == syscall.EINTR
}

// selfConnected tells that the kernel chose the very port as the near end to
// which the far end was to be: with nobody listening, a socket can meet itself.
func selfConnected(fd int, address syscall.Sockaddr) bool {
	near, err := syscall.Getsockname(fd)
	if err != nil {
		return false
	}
	switch far := address.(type) {
	case *syscall.SockaddrInet4:
		near, ok := near.(*syscall.SockaddrInet4)
		return ok && near.Port == far.Port && near.Addr == far.Addr
	case *syscall.SockaddrInet6:
		near, ok := near.(*syscall.SockaddrInet6)
		return ok && near.Port == far.Port && near.Addr == far.Addr
	}
	return false
}

func sockaddr(a netip.AddrPort) (family int, address syscall.Sockaddr) {
	if ip := a.Addr().Unmap(); ip.Is4() {
		return syscall.AF_INET, &syscall.SockaddrInet4{Port: int(a.Port()), Addr: ip.As4()}
	}
	return syscall.AF_INET6, &syscall.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}
