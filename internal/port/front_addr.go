package port

import (
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// Addr is what the listening sockets of one kernel reuseport group have in
// common, besides their owner. (inet_reuseport_add_sock in the kernel compares
// family, address, IPV6_V6ONLY, device and uid.)
type Addr struct {
	At     netip.AddrPort // as bound, without a zone
	IPv6   bool           // an IPv6 socket; at a v4-mapped address it is another group than an IPv4 one
	V6Only bool           // only for [::], where it divides; elsewhere the kernel changes it by itself
	Device int            // the interface it is bound to by SO_BINDTODEVICE or a link-local address; 0: none
}

func (a Addr) String() string {
	if a.V6Only {
		return a.At.String() + " (IPv6 only)"
	}
	return a.At.String()
}

// dial is where this machine reaches a listener at a.
func (a Addr) dial() netip.AddrPort {
	host := a.At.Addr().Unmap()
	switch {
	case host.IsUnspecified() && a.V6Only:
		host = netip.IPv6Loopback()
	case host.IsUnspecified():
		host = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case host.IsLinkLocalUnicast() && host.Is6():
		host = host.WithZone(fmt.Sprint(a.Device))
	}
	return netip.AddrPortFrom(host, a.At.Port())
}

// AddrOf reads the address that the socket fd is bound to.
func AddrOf(fd int) (Addr, error) {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return Addr{}, os.NewSyscallError("getsockname", err)
	}
	var a Addr
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		a.At = netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		a.At = netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port))
		a.IPv6 = true
		if a.At.Addr().IsUnspecified() {
			only, err := unix.GetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY)
			if err != nil {
				return Addr{}, os.NewSyscallError("getsockopt IPV6_V6ONLY", err)
			}
			a.V6Only = only != 0
		}
	default:
		return Addr{}, fmt.Errorf("the socket is none of TCP")
	}
	// SO_BINDTOIFINDEX is known since Linux 5.1; before, nothing is bound to a device.
	if device, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX); err == nil {
		a.Device = device
	}
	return a, nil
}

// plainTCP is nil for a socket that can be steered: Multipath TCP refuses
// steering programs with EOPNOTSUPP.
func plainTCP(fd int) error {
	switch protocol, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL); {
	case err != nil:
		return os.NewSyscallError("getsockopt SO_PROTOCOL", err)
	case protocol == unix.IPPROTO_MPTCP:
		return fmt.Errorf("the socket speaks Multipath TCP, which cannot be steered")
	case protocol != unix.IPPROTO_TCP:
		return fmt.Errorf("the socket speaks protocol %d, not TCP", protocol)
	}
	return nil
}

// join opens a socket bound to a, not listening yet, that the kernel takes into
// one group with the sockets of user uid there. The caller owns the descriptor,
// which is non-blocking and closed on exec.
func (a Addr) join(uid uint32) (fd int, err error) { return a.bind(uid, true) }

// Probe is Probe for an exact address.
func (a Addr) Probe() error {
	fd, err := a.bind(uint32(os.Geteuid()), false)
	if err != nil {
		return explain(a.At, err)
	}
	return unix.Close(fd)
}

func (a Addr) bind(uid uint32, share bool) (fd int, err error) {
	family := unix.AF_INET
	var sa unix.Sockaddr = &unix.SockaddrInet4{Port: int(a.At.Port())}
	if a.IPv6 {
		family = unix.AF_INET6
		sa = &unix.SockaddrInet6{Port: int(a.At.Port()), Addr: a.At.Addr().As16(), ZoneId: uint32(a.Device)}
	} else {
		sa.(*unix.SockaddrInet4).Addr = a.At.Addr().As4()
	}
	fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_TCP)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
			fd = -1
		}
	}()
	if int(uid) != os.Geteuid() {
		if err := unix.Fchown(fd, int(uid), -1); err != nil {
			return fd, os.NewSyscallError("fchown", err)
		}
	}
	options := []option{{unix.SOL_SOCKET, unix.SO_REUSEADDR, 1}}
	if share {
		options = append(options, option{unix.SOL_SOCKET, unix.SO_REUSEPORT, 1})
	}
	if a.IPv6 && a.At.Addr().IsUnspecified() {
		only := 0
		if a.V6Only {
			only = 1
		}
		options = append(options, option{unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only})
	} else if a.IPv6 {
		options = append(options, option{unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0}) // v4-mapped addresses need it
	}
	if a.Device != 0 {
		options = append(options, option{unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX, a.Device})
	}
	for _, o := range options {
		if err := o.set(fd); err != nil {
			return fd, err
		}
	}
	return fd, os.NewSyscallError("bind", unix.Bind(fd, sa))
}
