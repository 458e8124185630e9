package port

import (
	"errors"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// Moved is the Berth of an instance behind the relay: what it binds to the
// public port is bound to a private one instead, on the loopback interface.
type Moved struct {
	Private int
	// Bound and Listening, if set, are told for which public address the instance
	// binds a socket, and when that is to listen. With an error the instance cannot
	// do it. They must not block.
	Bound, Listening func(at Addr) error

	asked map[uint64]Addr // by the inode of what has been bound
}

func (m *Moved) bind(_ *caller, s socket, at netip.AddrPort) (verdict, error) {
	var st unix.Stat_t
	if err := unix.Fstat(s.fd, &st); err != nil {
		return proceed, os.NewSyscallError("fstat", err)
	}
	public := Addr{At: at, IPv6: s.domain == unix.AF_INET6, V6Only: s.v6Only && at.Addr() == netip.IPv6Unspecified()}
	if v, ok := m.tell(m.Bound, public); !ok {
		return v, nil
	}
	if m.asked == nil {
		m.asked = map[uint64]Addr{}
	}
	m.asked[st.Ino] = public
	// A socket for both families is bound to the IPv4 one, which serves the
	// same clients.
	var sa unix.Sockaddr = &unix.SockaddrInet4{Port: m.Private, Addr: [4]byte{127, 0, 0, 1}}
	switch {
	case s.domain == unix.AF_INET6 && (s.v6Only || at.Addr() != netip.IPv6Unspecified() && !at.Addr().Is4In6()):
		sa = &unix.SockaddrInet6{Port: m.Private, Addr: netip.IPv6Loopback().As16()}
	case s.domain == unix.AF_INET6:
		sa = &unix.SockaddrInet6{Port: m.Private, Addr: netip.MustParseAddr("::ffff:127.0.0.1").As16()}
	}
	if err := unix.Bind(s.fd, sa); err != nil {
		v, _ := failure(err)
		return v, nil
	}
	return success, nil
}

func (m *Moved) declares(at netip.AddrPort) bool { return int(at.Port()) == m.Private }

func (m *Moved) held(uint64) (fd int, ok bool) { return -1, false }

func (m *Moved) listen(_ *caller, s socket, queue int) (verdict, Listening, error) {
	var st unix.Stat_t
	if err := unix.Fstat(s.fd, &st); err != nil {
		return proceed, Listening{}, os.NewSyscallError("fstat", err)
	}
	if public, ok := m.asked[st.Ino]; ok {
		if v, ok := m.tell(m.Listening, public); !ok {
			return v, Listening{}, nil
		}
	}
	if err := unix.Listen(s.fd, max(queue, backlog)); err != nil {
		v, _ := failure(err)
		return v, Listening{}, nil
	}
	at, _ := s.name()
	return success, Listening{Addr: netip.AddrPortFrom(at.Addr().Unmap(), at.Port()), V6Only: s.v6Only}, nil
}

// tell is false, and the call's verdict, when the public address cannot be had.
func (m *Moved) tell(who func(Addr) error, at Addr) (verdict, bool) {
	if who == nil {
		return verdict{}, true
	}
	err := who(at)
	var privilege *PrivilegeError
	var absent *AbsentError
	switch {
	case err == nil:
		return verdict{}, true
	case errors.As(err, &privilege):
		return verdict{done: true, errno: unix.EACCES}, false
	case errors.As(err, &absent):
		return verdict{done: true, errno: unix.EADDRNOTAVAIL}, false
	}
	return verdict{done: true, errno: unix.EADDRINUSE}, false
}
