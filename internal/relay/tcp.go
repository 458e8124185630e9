package relay

import (
	"net"
	"syscall"
	"unsafe"

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

// readOnce reads from a non-blocking descriptor, once. Here and in writeAll the
// scheduler is not told of the call, as package syscall does: it takes no longer than
// what it costs, and telling would wake the scheduler's watchman again and again in
// a program that is idle in between, which costs a tenth of all.
func readOnce(fd int, b []byte) (int, error) {
	for {
		n, _, err := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		switch err {
		case 0:
			return int(n), nil
		case syscall.EINTR:
		default:
			return 0, err
		}
	}
}

// writeAll writes to a non-blocking descriptor until all is written or there is an
// error, syscall.EAGAIN perhaps.
func writeAll(fd int, b []byte) (n int, err error) {
	for n < len(b) {
		m, _, err := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&b[n])), uintptr(len(b)-n))
		switch err {
		case 0:
			n += int(m)
		case syscall.EINTR:
		default:
			return n, err
		}
	}
	return n, nil
}

// waitNothing is epoll_wait(2) without waiting; again without telling the scheduler.
func waitNothing(fd int, events []unix.EpollEvent) (int, error) {
	n, _, err := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), 0, 0, 0)
	if err != 0 {
		return 0, err
	}
	return int(n), nil
}
