// Package sockdiag asks the kernel which TCP sockets there are, in the network
// namespace of this process, by sock_diag(7). It needs no privilege.
package sockdiag

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// The states of a connection, as bits of Query.States.
const (
	Established = 1 << 1
	SynRecv     = 1<<3 | 1<<12 // the kernel has two
	FinWait     = 1<<4 | 1<<5
	Closed      = 1 << 7
	CloseWait   = 1 << 8
	LastAck     = 1 << 9
	Listen      = 1 << 10
	Closing     = 1 << 11
)

// The attributes of a message that Query.Extensions can ask for, and others that
// come by themselves.
const (
	AttrInfo   = 2  // struct tcp_info
	AttrV6Only = 11 // by itself
)

// A Query selects sockets.
type Query struct {
	States     uint32
	Port       int   // local; 0 matches all
	Extensions uint8 // 1 << (AttrInfo - 1)
}

// The kernel's first request of this kind (TCPDIAG_GETSOCK with a struct
// inet_diag_req), since it selects sockets of IPv4 and of IPv6 at once: the newer one
// goes through the table of all connections, which is large where memory is, for each.
const (
	kindTCP    = 18
	requestLen = 60
)

// Dump calls each for every socket that the query selects. A message is only good
// during the call.
func Dump(q Query, each func(Message)) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return os.NewSyscallError("socket NETLINK_SOCK_DIAG", err)
	}
	defer unix.Close(fd)
	req := make([]byte, unix.NLMSG_HDRLEN+requestLen)
	ne := binary.NativeEndian
	ne.PutUint32(req[0:], uint32(len(req)))
	ne.PutUint16(req[4:], kindTCP)
	ne.PutUint16(req[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	body := req[unix.NLMSG_HDRLEN:]
	body[3] = q.Extensions
	binary.BigEndian.PutUint16(body[4:], uint16(q.Port))
	ne.PutUint32(body[52:], q.States)
	if err := unix.Sendto(fd, req, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return os.NewSyscallError("sendto NETLINK_SOCK_DIAG", err)
	}
	buf := make([]byte, 32<<10)
	for {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return os.NewSyscallError("recvfrom NETLINK_SOCK_DIAG", err)
		}
		if done, err := messages(buf[:n], each); err != nil || done {
			return err
		}
	}
}

// messages calls each for every message of a netlink datagram; done is true
// after the last of a dump.
func messages(b []byte, each func(Message)) (done bool, err error) {
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
				return false, errors.New("sock_diag: short error message")
			}
			return true, os.NewSyscallError("sock_diag", unix.Errno(-int32(ne.Uint32(body))))
		default:
			if len(body) >= messageLen {
				each(body)
			}
		}
		b = b[min((n+3)&^3, len(b)):]
	}
	return false, nil
}
