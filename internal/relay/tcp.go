package relay

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// tcpAddr is nil for an address that is none of TCP.
func tcpAddr(sa unix.Sockaddr) net.Addr {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return &net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}
	case *unix.SockaddrInet6:
		return &net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}
	}
	return nil
}

// unread is how many bytes wait to be read; -1 if that cannot be told.
func unread(conn syscall.RawConn) int {
	n, err := -1, error(nil)
	if failed := conn.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.SIOCINQ) }); failed != nil || err != nil {
		return -1
	}
	return n
}

// tcpClose is TCP_CLOSE in the kernel's enum of states.
const tcpClose = 7

// wasReset tells of a TCP connection that has ended that the other end did not
// read all it was sent: its kernel resets a connection that is closed before. If
// it has read all, a connection that is closed is half open for now.
func wasReset(conn syscall.RawConn) (reset bool) {
	_ = conn.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		reset = err == nil && info.State == tcpClose
	})
	return reset
}
