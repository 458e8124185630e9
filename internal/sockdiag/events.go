package sockdiag

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Events tells of every connection on some local ports that ends, with the last
// struct tcp_info of it (Linux 4.3). The kernel composes a message for each socket
// in the namespace as long as somebody listens, which a machine that opens ten
// thousand connections a second feels.
type Events struct{ file *os.File }

// ErrLost says that events came faster than they were read.
var ErrLost = errors.New("sock_diag: ends of connections were missed")

const (
	destroyGroups = 1<<(unix.SKNLGRP_INET_TCP_DESTROY-1) | 1<<(unix.SKNLGRP_INET6_TCP_DESTROY-1)
	eventBuffer   = 4 << 20 // bytes that wait to be read; less where net.core.rmem_max says so
)

// Subscribe begins to listen. The caller closes what it returns.
func Subscribe(port int) (*Events, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, os.NewSyscallError("socket NETLINK_SOCK_DIAG", err)
	}
	if err := subscribe(fd, port); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("listen for ends of connections: %w", err)
	}
	return Attach(fd), nil
}

func subscribe(fd, port int) error {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, eventBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, eventBuffer)
	}
	// Others are not even woken up for.
	const localPort = unix.NLMSG_HDRLEN + 4
	code := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: localPort},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(port), Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 1<<32 - 1},
		{Code: unix.BPF_RET | unix.BPF_K},
	}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}); err != nil {
		return os.NewSyscallError("setsockopt SO_ATTACH_FILTER", err)
	}
	return os.NewSyscallError("bind NETLINK_SOCK_DIAG", unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: destroyGroups}))
}

// Read blocks until connections have ended, and calls each for every one. After
// ErrLost it can be called again; after Close it returns os.ErrClosed.
func (e *Events) Read(buf []byte, each func(Message)) error {
	n, err := e.file.Read(buf)
	if errors.Is(err, unix.ENOBUFS) {
		return ErrLost
	}
	if err != nil {
		return err
	}
	_, err = messages(buf[:n], each)
	return err
}

// Detach is Close, but returns a descriptor of the socket, which is the caller's:
// what happens goes on to gather there.
func (e *Events) Detach() (fd int, err error) {
	raw, err := e.file.SyscallConn()
	if err != nil {
		return -1, err
	}
	var failed error
	err = raw.Control(func(own uintptr) { fd, failed = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 0) })
	return fd, errors.Join(err, os.NewSyscallError("fcntl F_DUPFD_CLOEXEC", failed), e.file.Close())
}

// Attach goes on with a descriptor that Detach has returned, and owns it.
func Attach(fd int) *Events { return &Events{os.NewFile(uintptr(fd), "sock_diag")} }

// Close ends a Read that blocks.
func (e *Events) Close() error { return e.file.Close() }
