package port

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"clusterd/internal/handover"
)

// Grip is how an Adoption gets hold of the sockets of its instance.
type Grip int

const (
	// Share has duplicates of the very sockets (pidfd_getfd(2), Linux 5.6).
	Share Grip = iota
	// Replace is for where that is refused, as in most containers: what is about
	// to be bound to the declared port makes way for a socket of clusterd's own. An
	// instance that has registered its socket with epoll by then, so that the other
	// one would not do in its place, cannot be adopted.
	//
	// The options that were set before are seen being set, but for those that are
	// mostly set on connections, which are not carried over, and socket filters.
	// What a process has made duplicates of by then, it has twice: the duplicates
	// stay its own socket, bound nowhere. A server behind the relay that shuts its
	// listener down and lets it listen again does so by itself.
	Replace
)

// reach is what a Grip comes to. A socket's fd is a duplicate of the caller's
// descriptor, which has to be closed by nobody else.
type reach interface {
	// binding returns the socket that a caller is about to bind to the declared
	// port; ok is false for anything but a stream socket of the internet.
	binding(c *caller) (s socket, ok bool, err error)
	// listening returns the socket that a caller is about to let listen; ok is
	// false for anything that cannot have been bound to the declared port.
	listening(c *caller) (s socket, ok bool, err error)
	// listens says that it does, or another one in its place.
	listens(s socket)
	// option takes note of an option that is about to be set.
	option(c *caller) error
	// epoll returns a duplicate of an epoll instance of the caller, which is closed
	// with it.
	epoll(c *caller, fd int) (int, error)
	close()
	// pack keeps what the reach has open, and adds what it knows; unpack takes it.
	pack(b *handover.Bag, st *AdoptionState)
	unpack(st AdoptionState, b *handover.Bag) error
}

func (g Grip) reach(pids func() []int, b Berth) reach {
	if g == Share {
		return sharing{}
	}
	return &replacing{pids: pids, berth: b, own: map[uint64]int{}}
}

// sharing is the reach of Share.
type sharing struct{}

func (sharing) binding(c *caller) (s socket, ok bool, err error) {
	fd, err := c.Descriptor(c.fd)
	switch {
	case errors.Is(err, unix.EBADF), errors.Is(err, unix.ESRCH):
		return socket{}, false, nil
	case err != nil:
		return socket{}, false, err
	}
	c.opened = append(c.opened, fd)
	s, ok = examine(fd)
	return s, ok, nil
}

func (r sharing) listening(c *caller) (socket, bool, error) { return r.binding(c) }
func (sharing) listens(socket)                              {}
func (sharing) option(*caller) error                        { return nil }
func (sharing) close()                                      {}

func (sharing) epoll(c *caller, fd int) (int, error) {
	dup, err := c.Descriptor(fd)
	if err == nil {
		c.opened = append(c.opened, dup)
	}
	return dup, err
}

// replacing is the reach of Replace.
type replacing struct {
	pids  func() []int // the living processes of the instance
	berth Berth
	own   map[uint64]int // its sockets that do not listen yet, by inode: what has been put in
	set   []settings     // the newest last
}

func (r *replacing) binding(c *caller) (s socket, ok bool, err error) {
	inode, ok := c.inode()
	if !ok {
		return socket{}, false, nil
	}
	if fd, ours := r.own[inode]; ours {
		s, ok = examine(fd)
		return s, ok, nil
	}
	family, ok, err := c.family()
	if err != nil || !ok {
		return socket{}, false, err
	}
	r.forget()
	fd, err := r.replace(c, family, inode)
	if err != nil {
		return socket{}, false, fmt.Errorf("replace a socket: %w", err)
	}
	s, ok = examine(fd)
	return s, ok, nil
}

// replace makes a socket for the caller's, and puts it in.
func (r *replacing) replace(c *caller, family int, inode uint64) (fd int, err error) {
	pid, err := c.Process()
	if err != nil {
		return -1, err
	}
	if same, err := sameNetwork(pid); err != nil || !same {
		return -1, errors.Join(err, errors.New("its process is in another network namespace"))
	}
	registrations, err := registrationsOf(pid, c.fd)
	if err != nil {
		return -1, err
	}
	if len(registrations) > 0 {
		return -1, errEpoll
	}
	flags, err := flagsOf(c.TID, c.fd)
	if err != nil {
		return -1, err
	}
	fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	r.apply(fd, inode)
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFL, flags); err != nil {
		return -1, os.NewSyscallError("fcntl", err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return -1, os.NewSyscallError("fstat", err)
	}
	if err := c.Put(fd, c.fd, flags&unix.O_CLOEXEC != 0); err != nil {
		return -1, err
	}
	r.own[st.Ino] = fd
	return fd, nil
}

// forget lets go of sockets that the instance has closed without listening: they
// are in the way of whoever wants their address.
func (r *replacing) forget() {
	for inode, fd := range r.own {
		if !new(descriptor).find(inode, r.pids()) {
			unix.Close(fd)
			delete(r.own, inode)
		}
	}
}

func (r *replacing) listening(c *caller) (s socket, ok bool, err error) {
	inode, ok := c.inode()
	if !ok {
		return socket{}, false, nil
	}
	fd, ours := r.own[inode]
	if !ours { // it may have listened already, and have been shut down
		if fd, ours = r.berth.held(inode); !ours {
			return socket{}, false, nil
		}
		c.opened = append(c.opened, fd)
	}
	s, ok = examine(fd)
	return s, ok, nil
}

func (r *replacing) listens(s socket) {
	for inode, fd := range r.own {
		if fd == s.fd {
			unix.Close(fd)
			delete(r.own, inode)
		}
	}
}

var errEpoll = errors.New("it has been registered with epoll already, which only pidfd_getfd(2) lets clusterd do in its place")

func (r *replacing) epoll(*caller, int) (int, error) { return -1, errEpoll }

func (r *replacing) close() {
	for _, fd := range r.own {
		unix.Close(fd)
	}
}

// inode is that of the caller's file; ok is false when there is none, or it may
// not be looked at.
func (c *caller) inode() (inode uint64, ok bool) {
	var st unix.Stat_t
	err := unix.Stat(c.path(), &st)
	return st.Ino, err == nil
}

func (c *caller) path() string { return fmt.Sprintf("/proc/%d/fd/%d", c.TID, c.fd) }

// family is that of the caller's socket; ok is false for what is none of TCP.
func (c *caller) family() (family int, ok bool, err error) {
	name := make([]byte, 32)
	n, err := unix.Getxattr(c.path(), "system.sockprotoname", name) // Linux 2.6.39
	switch {
	case errors.Is(err, unix.ENODATA), errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.ENOENT), errors.Is(err, unix.ERANGE):
		return 0, false, nil // no socket
	case err != nil:
		return 0, false, fmt.Errorf("ask for the protocol of a socket: %w", err)
	}
	switch unix.ByteSliceToString(name[:n]) {
	case "TCP", "MPTCP":
		return unix.AF_INET, true, nil
	case "TCPv6", "MPTCPv6":
		return unix.AF_INET6, true, nil
	}
	return 0, false, nil
}

// sameNetwork tells whether a process is in clusterd's network namespace.
func sameNetwork(pid int) (bool, error) {
	theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return false, err
	}
	ours, err := os.Readlink("/proc/self/ns/net")
	return theirs == ours, err
}
