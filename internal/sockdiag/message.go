package sockdiag

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Message is what the kernel tells of one socket: a struct inet_diag_msg, and
// attributes behind it.
type Message []byte

const messageLen = 72

// States is the socket's state, as a bit of Query.States.
func (m Message) States() uint32 { return 1 << (m[1] & 31) }

// Local is the socket's own address; a v4-mapped one is IPv4's.
func (m Message) Local() netip.AddrPort { return m.addr(8, 4) }

// Remote is the address of the other end.
func (m Message) Remote() netip.AddrPort { return m.addr(24, 6) }

func (m Message) addr(host, port int) netip.AddrPort {
	ip := netip.AddrFrom16([16]byte(m[host:])).Unmap()
	if m[0] == unix.AF_INET {
		ip = netip.AddrFrom4([4]byte(m[host:]))
	}
	return netip.AddrPortFrom(ip, binary.BigEndian.Uint16(m[port:]))
}

// Cookie names the socket, and no other one until the next boot.
func (m Message) Cookie() uint64 {
	ne := binary.NativeEndian
	return uint64(ne.Uint32(m[44:])) | uint64(ne.Uint32(m[48:]))<<32
}

// UID is the owner of the socket.
func (m Message) UID() uint32 { return binary.NativeEndian.Uint32(m[64:]) }

// Inode is that in the links of /proc/PID/fd, "socket:[INODE]"; 0 of a connection
// that nobody has accepted yet, or whose last descriptor is closed.
func (m Message) Inode() uint32 { return binary.NativeEndian.Uint32(m[68:]) }

// V6Only tells whether a listening IPv6 socket leaves IPv4 to others.
func (m Message) V6Only() bool {
	v := m.attribute(AttrV6Only)
	return len(v) > 0 && v[0] != 0
}

// Info is what the query's AttrInfo asked for. The fields that an older kernel does
// not have are zero.
func (m Message) Info() (info unix.TCPInfo, ok bool) {
	v := m.attribute(AttrInfo)
	copy((*[unsafe.Sizeof(info)]byte)(unsafe.Pointer(&info))[:], v)
	return info, v != nil
}

// attribute is the value of an attribute; nil if there is none.
func (m Message) attribute(kind uint16) []byte {
	ne := binary.NativeEndian
	for attrs := m[messageLen:]; len(attrs) >= unix.SizeofRtAttr; {
		n := int(ne.Uint16(attrs))
		if n < unix.SizeofRtAttr || n > len(attrs) {
			break
		}
		if ne.Uint16(attrs[2:]) == kind {
			return attrs[unix.SizeofRtAttr:n:n]
		}
		attrs = attrs[min((n+3)&^3, len(attrs)):]
	}
	return nil
}
