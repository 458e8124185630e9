package port

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// addresses are the socket addresses that a public host and port stand for:
// "" is every address of the machine (one dual-stack socket, or IPv4 alone on a
// machine without IPv6), "localhost" the loopback addresses of both families,
// anything else must be an IP address.
func addresses(host string, port int) ([]netip.AddrPort, error) {
	at := func(hosts ...netip.Addr) []netip.AddrPort {
		var out []netip.AddrPort
		for _, h := range hosts {
			out = append(out, netip.AddrPortFrom(h, uint16(port)))
		}
		return out
	}
	v6 := haveIPv6()
	switch {
	case host == "" && v6:
		return at(netip.IPv6Unspecified()), nil
	case host == "":
		return at(netip.IPv4Unspecified()), nil
	case host == "localhost" && v6:
		return at(netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()), nil
	case host == "localhost":
		return at(netip.AddrFrom4([4]byte{127, 0, 0, 1})), nil
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return nil, err
	}
	return at(ip.Unmap()), nil
}

// haveIPv6 tells whether ::1 can be bound, which needs the kernel's support
// and an interface that has it switched on.
func haveIPv6() bool {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return unix.Bind(fd, &unix.SockaddrInet6{Addr: netip.IPv6Loopback().As16()}) == nil
}

func sockaddr(a netip.AddrPort) (family int, sa unix.Sockaddr) {
	if a.Addr().Is4() {
		return unix.AF_INET, &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	zone, err := strconv.ParseUint(a.Addr().Zone(), 10, 32)
	if err != nil && a.Addr().Zone() != "" {
		if ifi, err := net.InterfaceByName(a.Addr().Zone()); err == nil {
			zone = uint64(ifi.Index)
		}
	}
	return unix.AF_INET6, &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16(), ZoneId: uint32(zone)}
}

// bind opens a TCP socket bound to a, not listening yet. The caller owns the
// descriptor, which is non-blocking and closed on exec. With share it is a
// member of the address's SO_REUSEPORT group; without, it fails with
// EADDRINUSE when anybody listens there, reuse or not.
func bind(a netip.AddrPort, share bool) (fd int, err error) {
	family, sa := sockaddr(a)
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
	// Connections in TIME_WAIT must not keep the address from being bound.
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return fd, os.NewSyscallError("setsockopt SO_REUSEADDR", err)
	}
	if share {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
			return fd, os.NewSyscallError("setsockopt SO_REUSEPORT", err)
		}
	}
	if family == unix.AF_INET6 {
		only := 1
		if a.Addr().IsUnspecified() {
			only = 0 // the system's default (net.ipv6.bindv6only) may differ
		}
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only); err != nil {
			return fd, os.NewSyscallError("setsockopt IPV6_V6ONLY", err)
		}
	}
	if err := unix.Bind(fd, sa); err != nil {
		return fd, os.NewSyscallError("bind", err)
	}
	return fd, nil
}

// Probe tells whether a public address can be had: nil, or a *TakenError,
// *PrivilegeError, *AbsentError, or the system's own error. Nothing stays open.
func Probe(host string, port int) error {
	all, err := addresses(host, port)
	if err != nil {
		return err
	}
	for _, a := range all {
		fd, err := bind(a, false)
		if err != nil {
			return explain(a, err)
		}
		unix.Close(fd)
	}
	return nil
}

// explain turns a failed bind of a into a sentence that says what to do.
func explain(a netip.AddrPort, err error) error {
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return &TakenError{Addr: a}
	case errors.Is(err, unix.EACCES):
		return &PrivilegeError{Addr: a, First: FirstUnprivileged()}
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return &AbsentError{Addr: a}
	}
	return err
}
