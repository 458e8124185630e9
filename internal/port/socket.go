package port

import (
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// socket is what is to be known of a stream socket of an instance. fd is a
// duplicate of its descriptor.
type socket struct {
	fd        int
	domain    int // AF_INET or AF_INET6
	protocol  int // IPPROTO_TCP or IPPROTO_MPTCP
	v6Only    bool
	reuse     bool // SO_REUSEPORT is set
	listening bool
}

// examine looks at fd; ok is false for what is no internet stream socket.
func examine(fd int) (s socket, ok bool) {
	get := func(level, option int) int {
		v, err := unix.GetsockoptInt(fd, level, option)
		if err != nil {
			return -1
		}
		return v
	}
	s = socket{
		fd:        fd,
		domain:    get(unix.SOL_SOCKET, unix.SO_DOMAIN),
		protocol:  get(unix.SOL_SOCKET, unix.SO_PROTOCOL),
		reuse:     get(unix.SOL_SOCKET, unix.SO_REUSEPORT) == 1,
		listening: get(unix.SOL_SOCKET, unix.SO_ACCEPTCONN) == 1,
	}
	switch {
	case get(unix.SOL_SOCKET, unix.SO_TYPE) != unix.SOCK_STREAM:
		return s, false
	case s.protocol != unix.IPPROTO_TCP && s.protocol != unix.IPPROTO_MPTCP:
		return s, false
	case s.domain == unix.AF_INET6:
		s.v6Only = get(unix.IPPROTO_IPV6, unix.IPV6_V6ONLY) == 1
	case s.domain != unix.AF_INET:
		return s, false
	}
	return s, true
}

// share lets other sockets of the same user be bound to where this one will be.
func (s *socket) share() error {
	for _, option := range []int{unix.SO_REUSEADDR, unix.SO_REUSEPORT} {
		if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, option, 1); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	return nil
}

// name is where the socket is bound; a v4-mapped address stays one. ok is
// false when it is bound nowhere.
func (s *socket) name() (at netip.AddrPort, ok bool) {
	sa, err := unix.Getsockname(s.fd)
	if err != nil {
		return netip.AddrPort{}, false
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		at = netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		at = netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port))
	}
	return at, at.Port() != 0
}

// parseSockaddr reads a struct sockaddr_in or sockaddr_in6; ok is false for
// any other family.
func parseSockaddr(b []byte) (at netip.AddrPort, ok bool) {
	const inet, inet6 = 8, 24
	if len(b) < inet {
		return at, false
	}
	port := uint16(b[2])<<8 | uint16(b[3])
	switch family := uint16(b[0]) | uint16(b[1])<<8; {
	case family == unix.AF_INET:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), port), true
	case family == unix.AF_INET6 && len(b) >= inet6:
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[8:24])), port), true
	}
	return at, false
}
