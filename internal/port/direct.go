package port

import (
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// Direct is the Berth of an instance that accepts straight from the kernel: its
// sockets on the public port become held sockets of the Front, or are replaced by
// those that the slot's last process has left.
type Direct struct {
	Front *Front
	Owner Owner
	Port  int          // the public one
	PIDs  func() []int // the living processes of the instance

	bound []bound
}

// bound is a socket that has been bound and may not listen yet.
type bound struct {
	At    Held
	Reuse bool // SO_REUSEADDR, by the process itself
}

func (d *Direct) declares(at netip.AddrPort) bool { return int(at.Port()) == d.Port }

// bind makes room for siblings at the address. For a process that has it already,
// it stays taken.
func (d *Direct) bind(c *caller, s socket, at netip.AddrPort) (verdict, error) {
	if !s.reuse && d.has(s, at) {
		return verdict{done: true, errno: unix.EADDRINUSE}, nil
	}
	reuse, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_REUSEADDR)
	if err != nil {
		return proceed, err
	}
	if s.protocol == unix.IPPROTO_MPTCP {
		// It cannot be steered (EOPNOTSUPP). The process gets what it would have
		// got on a kernel without Multipath TCP.
		plain, err := unix.Socket(s.domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
		if err != nil {
			return proceed, err
		}
		c.opened = append(c.opened, plain)
		if err := transplant(c, s, plain); err != nil {
			return proceed, fmt.Errorf("replace a Multipath TCP socket: %w", err)
		}
		s.fd = plain
	}
	var st unix.Stat_t
	if err := unix.Fstat(s.fd, &st); err != nil {
		return proceed, err
	}
	d.bound = append(d.bound, bound{
		At:    Held{Addr: Addr{At: at, IPv6: s.domain == unix.AF_INET6, V6Only: s.v6Only}, Inode: st.Ino},
		Reuse: reuse != 0,
	})
	return proceed, s.share()
}

// has tells whether the instance has a socket open that is in the way of s at an
// address: one that listens, or one that is bound, unless both have SO_REUSEADDR.
func (d *Direct) has(s socket, at netip.AddrPort) bool {
	for _, h := range d.Front.Sockets(d.Owner) {
		if conflicts(h.Addr, s, at) && d.open(h) {
			return true
		}
	}
	d.bound = slices.DeleteFunc(d.bound, func(b bound) bool { return !d.open(b.At) })
	reuse, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_REUSEADDR)
	return slices.ContainsFunc(d.bound, func(b bound) bool {
		return conflicts(b.At.Addr, s, at) && (!b.Reuse || reuse == 0 || err != nil)
	})
}

// conflicts tells whether a socket could not be bound to at beside one at a, if
// neither shared.
func conflicts(a Addr, s socket, at netip.AddrPort) bool {
	one, other := a.At.Addr().Unmap(), at.Addr().Unmap()
	dual := func(ip netip.Addr, v6Only bool) bool { return ip == netip.IPv6Unspecified() && !v6Only }
	switch {
	case dual(one, a.V6Only), dual(other, s.v6Only):
		return true
	case one.Is4() != other.Is4():
		return false
	}
	return one == other || one.IsUnspecified() || other.IsUnspecified()
}

// open tells whether a process of the instance still has a held socket.
func (d *Direct) open(h Held) bool { return new(descriptor).find(h.Inode, d.PIDs()) }

func (d *Direct) held(inode uint64) (fd int, ok bool) { return d.Front.Held(d.Owner, inode) }

// listen makes the socket one of the slot, or gives the process the one of the
// slot that waits at the same address.
func (d *Direct) listen(c *caller, s socket, queue int) (verdict, Listening, error) {
	at, err := AddrOf(s.fd)
	if err != nil {
		return proceed, Listening{}, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(s.fd, &st); err != nil {
		return proceed, Listening{}, err
	}
	for _, h := range d.Front.Sockets(d.Owner) {
		if !d.open(h) && c.Valid() { // not since all of its processes are dying
			d.Front.ReleaseSocket(d.Owner, h) // it has been closed, as after a look for a free port
		}
	}
	if again, resumeErr := d.Front.Resume(d.Owner, st.Ino); again {
		err = resumeErr
	} else if held, ok := d.Front.Vacant(d.Owner.Slot, at); ok {
		c.opened = append(c.opened, held)
		if err := transplant(c, s, held); err != nil {
			// Waiting for something that never comes would be worse.
			return verdict{done: true, errno: unix.EADDRINUSE}, Listening{}, fmt.Errorf("hand over the socket at %s: %w", at, err)
		}
		err = d.Front.Occupy(d.Owner, at)
	} else {
		var dup int
		if dup, err = unix.FcntlInt(uintptr(s.fd), unix.F_DUPFD_CLOEXEC, 0); err == nil {
			err = d.Front.Join(d.Owner, dup, queue)
		}
	}
	if v, ok := failure(err); ok {
		return v, Listening{}, nil
	}
	if err != nil {
		return proceed, Listening{}, err
	}
	return success, Listening{Addr: netip.AddrPortFrom(at.At.Addr().Unmap(), at.At.Port()), V6Only: at.V6Only}, nil
}
