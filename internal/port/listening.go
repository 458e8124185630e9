package port

import (
	"net/netip"

	"clusterd/internal/sockdiag"
)

// Listening is a TCP socket in the state LISTEN, of any process in this
// network namespace.
type Listening struct {
	Addr   netip.AddrPort // as bound; an unspecified IPv6 address takes IPv4 too unless V6Only
	V6Only bool
	UID    uint32
	Inode  uint32 // as in the links of /proc/PID/fd: "socket:[INODE]"
}

// DialAddr is the address at which this machine reaches the socket.
func (l Listening) DialAddr() netip.AddrPort {
	host := l.Addr.Addr()
	switch {
	case host.Is6() && host.IsUnspecified() && l.V6Only:
		host = netip.IPv6Loopback()
	case host.IsUnspecified():
		host = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return netip.AddrPortFrom(host, l.Addr.Port())
}

// Listeners lists the sockets that listen on port, or on any port when it is
// 0. It needs no privilege.
func Listeners(port int) ([]Listening, error) {
	var out []Listening
	err := sockdiag.Dump(sockdiag.Query{States: sockdiag.Listen, Port: port}, func(m sockdiag.Message) {
		out = append(out, Listening{Addr: m.Local(), V6Only: m.V6Only(), UID: m.UID(), Inode: m.Inode()})
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
