package port

import (
	"cmp"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// Inherit returns listening sockets of o to start its process with, one for
// each address that host and port stand for (see Open): those that the slot's
// last process has left, or new ones. They block, as systemd's do. The caller
// closes them once the process has them.
func (f *Front) Inherit(o Owner, host string) (fds []int, err error) {
	defer func() {
		if err != nil {
			closeAll(fds)
			fds = nil
		}
	}()
	all, err := addresses(host, f.opts.Port)
	if err != nil {
		return nil, err
	}
	for _, a := range all {
		fd, err := f.inherit(o, a)
		if err != nil {
			return fds, fmt.Errorf("listen on %s: %w", a, explain(a, err))
		}
		fds = append(fds, fd)
		// The former process may have changed it; it is the file's, not the
		// descriptor's.
		if err := unix.SetNonblock(fd, false); err != nil {
			return fds, os.NewSyscallError("fcntl", err)
		}
	}
	return fds, nil
}

func (f *Front) inherit(o Owner, a netip.AddrPort) (int, error) {
	fd, err := bind(a, true)
	if err != nil {
		return -1, err
	}
	at, err := AddrOf(fd)
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	if left, ok := f.Vacant(o.Slot, at); ok {
		unix.Close(fd)
		return left, f.Occupy(o, at)
	}
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		unix.Close(fd)
		return -1, os.NewSyscallError("dup", err)
	}
	if err := f.Join(o, fd, backlog); err != nil {
		unix.Close(dup)
		return -1, err
	}
	return dup, nil
}

// Take duplicates a listening socket of other processes (Linux 5.6), which
// takes the right to trace them. The caller owns it.
func Take(l Listening, pids []int) (fd int, err error) {
	err = fmt.Errorf("find the socket at %s: nobody has it open", l.Addr)
	for _, pid := range pids {
		n, ok, lookErr := descriptorOf(pid, socketLink(l.Inode))
		if !ok {
			err = cmp.Or(lookErr, err)
			continue
		}
		pidfd, openErr := unix.PidfdOpen(pid, 0)
		if openErr != nil {
			err = os.NewSyscallError("pidfd_open", openErr)
			continue
		}
		fd, err = unix.PidfdGetfd(pidfd, n, 0)
		unix.Close(pidfd)
		if err == nil {
			return fd, nil
		}
		err = os.NewSyscallError("pidfd_getfd", err)
	}
	return -1, err
}
