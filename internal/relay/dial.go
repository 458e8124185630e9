package relay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// dial connects to an instance, unless ctx ends first. The poller is for what has to
// be waited for. With net.Dialer, a connection that carries one request costs the relay about a quarter more CPU: that starts a goroutine to
// watch the timeout, waits for the poller although a connect on one machine is
// over at once, and sets up keep-alive probes, which nobody needs against a
// process next door.
func dial(ctx context.Context, at *poller, in *Instance) (instanceConn, error) {
	if in.Dial != nil {
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		return asInstanceConn(in.Dial(ctx))
	}
	to, err := netip.ParseAddrPort(in.Address)
	if err != nil || in.Network != "tcp" || to.Addr().Zone() != "" {
		return dialSlowly(ctx, in)
	}
	c, err := dialTCP(ctx, at, to)
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

func dialSlowly(ctx context.Context, in *Instance) (instanceConn, error) {
	d := net.Dialer{Timeout: dialTimeout, KeepAlive: -1}
	d.SetMultipathTCP(false) // it gains nothing on one machine, and costs
	return asInstanceConn(d.DialContext(ctx, in.Network, in.Address))
}

func asInstanceConn(conn net.Conn, err error) (instanceConn, error) {
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

func dialTCP(ctx context.Context, at *poller, to netip.AddrPort) (*socket, error) {
	family, address := sockaddr(to)
	fd, err := syscall.Socket(family, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	err = connectOnce(fd, address)
	if again(err) {
		// The answer may be here already, and connect(2) tells when it is
		// called a second time.
		err = connectOnce(fd, address)
	}
	if err != nil && !again(err) {
		syscall.Close(fd)
		return nil, os.NewSyscallError("connect", err)
	}
	s := newSocket(fd, nil)
	s.poller = at
	if err != nil {
		err = s.await(ctx, address)
	}
	if err == nil && to.Port() >= firstEphemeral() && selfConnected(fd, address) {
		err = os.NewSyscallError("connect", syscall.ECONNREFUSED)
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// await blocks until a connect that has begun is over, or ctx ends.
func (s *socket) await(ctx context.Context, address syscall.Sockaddr) error {
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	if err := s.SetWriteDeadline(time.Now().Add(dialTimeout)); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = s.SetWriteDeadline(longAgo) })()
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

// firstEphemeral is the lowest port that the kernel chooses for the near end of a
// connection, see net.ipv4.ip_local_port_range in ip(7); 0 if that cannot be told.
var firstEphemeral = sync.OnceValue(func() uint16 {
	b, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return 0
	}
	var first uint16
	_, _ = fmt.Sscan(string(b), &first)
	return first
})

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
