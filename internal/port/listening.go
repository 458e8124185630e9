package port

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
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

// The kernel's interface for listing sockets, sock_diag(7).
const (
	diagReqLen = 56 // struct inet_diag_req_v2
	diagMsgLen = 72 // struct inet_diag_msg
	tcpListen  = 10 // TCP_LISTEN in the kernel's enum
	attrV6Only = 11 // INET_DIAG_SKV6ONLY
)

// Listeners lists the sockets that listen on port, or on any port when it is
// 0. It needs no privilege.
func Listeners(port int) ([]Listening, error) {
	var out []Listening
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		found, err := dump(family, port)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	return out, nil
}

func dump(family uint8, port int) ([]Listening, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, os.NewSyscallError("socket NETLINK_SOCK_DIAG", err)
	}
	defer unix.Close(fd)

	req := make([]byte, unix.NLMSG_HDRLEN+diagReqLen)
	ne := binary.NativeEndian
	ne.PutUint32(req[0:], uint32(len(req)))
	ne.PutUint16(req[4:], unix.SOCK_DIAG_BY_FAMILY)
	ne.PutUint16(req[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	body := req[unix.NLMSG_HDRLEN:]
	body[0] = family
	body[1] = unix.IPPROTO_TCP
	ne.PutUint32(body[4:], 1<<tcpListen)
	binary.BigEndian.PutUint16(body[8:], uint16(port)) // 0 matches all
	if err := unix.Sendto(fd, req, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, os.NewSyscallError("sendto NETLINK_SOCK_DIAG", err)
	}

	var out []Listening
	buf := make([]byte, 32<<10)
	for {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, os.NewSyscallError("recvfrom NETLINK_SOCK_DIAG", err)
		}
		done, err := messages(buf[:n], func(msg []byte) {
			if l, ok := parseListening(msg); ok {
				out = append(out, l)
			}
		})
		if err != nil || done {
			return out, err
		}
	}
}

// messages calls each for every message of a netlink datagram; done is true
// after the last of a dump.
func messages(b []byte, each func([]byte)) (done bool, err error) {
	ne := binary.NativeEndian
	for len(b) >= unix.NLMSG_HDRLEN {
		n := int(ne.Uint32(b))
		if n < unix.NLMSG_HDRLEN || n > len(b) {
			return false, fmt.Errorf("sock_diag: message of %d bytes in a datagram of %d", n, len(b))
		}
		body := b[unix.NLMSG_HDRLEN:n]
		switch ne.Uint16(b[4:]) {
		case unix.NLMSG_DONE:
			return true, nil
		case unix.NLMSG_ERROR:
			if len(body) < 4 {
				return false, fmt.Errorf("sock_diag: short error message")
			}
			return true, os.NewSyscallError("sock_diag", unix.Errno(-int32(ne.Uint32(body))))
		default:
			each(body)
		}
		b = b[min((n+3)&^3, len(b)):]
	}
	return false, nil
}

func parseListening(b []byte) (Listening, bool) {
	if len(b) < diagMsgLen {
		return Listening{}, false
	}
	ne := binary.NativeEndian
	var host netip.Addr
	if b[0] == unix.AF_INET {
		host = netip.AddrFrom4([4]byte(b[8:12]))
	} else {
		host = netip.AddrFrom16([16]byte(b[8:24])).Unmap()
	}
	l := Listening{
		Addr:  netip.AddrPortFrom(host, binary.BigEndian.Uint16(b[4:])),
		UID:   ne.Uint32(b[64:]),
		Inode: ne.Uint32(b[68:]),
	}
	for attrs := b[diagMsgLen:]; len(attrs) >= 4; {
		n := int(ne.Uint16(attrs))
		if n < 4 || n > len(attrs) {
			break
		}
		if ne.Uint16(attrs[2:]) == attrV6Only && n > 4 {
			l.V6Only = attrs[4] != 0
		}
		attrs = attrs[min((n+3)&^3, len(attrs)):]
	}
	return l, true
}
