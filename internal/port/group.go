package port

import (
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// backlog is the accept queue asked for; the kernel lowers it to
// net.core.somaxconn (4096 since Linux 5.4).
const backlog = 4096

// Group is the kernel's reuseport group of one public address: for every slot
// a listening socket of its own (two for "localhost", one per family). The
// kernel spreads new connections over them by a hash of the addresses.
//
// The sockets belong to the Group, not to any process that serves them: as long
// as it is open, connections complete and wait, whoever dies. A Group is not
// safe for concurrent use.
type Group struct {
	addrs []groupAddr
	slots map[int][]int // slot → its listening descriptors, one per address
}

// groupAddr is one address of a Group.
type groupAddr struct {
	At    netip.AddrPort
	Exact *Addr // nil: the address as the config means it
}

// bind opens a socket there, not listening yet.
func (a groupAddr) bind() (fd int, err error) {
	if a.Exact != nil {
		return a.Exact.join(uint32(os.Geteuid()))
	}
	return bind(a.At, true)
}

// Open makes sure that nobody else listens on the address and returns a Group
// without slots. host is "" (every address), "localhost", or an IP address. The
// errors are *TakenError, *PrivilegeError and *AbsentError, or the system's.
//
// A process of the same user that joins the address with SO_REUSEPORT later
// cannot be kept out; the kernel has no means for that.
func Open(host string, port int) (*Group, error) {
	if err := Probe(host, port); err != nil {
		return nil, err
	}
	addrs, err := addresses(host, port)
	if err != nil {
		return nil, err
	}
	g := &Group{slots: map[int][]int{}}
	for _, at := range addrs {
		g.addrs = append(g.addrs, groupAddr{At: at})
	}
	return g, nil
}

// OpenAt is Open for the very address that a socket would be bound to. Others of
// the caller's own Groups may be open that it overlaps with.
func OpenAt(a Addr) *Group {
	return &Group{
		addrs: []groupAddr{{a.At, &a}},
		slots: map[int][]int{},
	}
}

// Hold opens the listening sockets of a slot. From here on the kernel queues
// connections for it.
func (g *Group) Hold(slot int) error {
	if g.slots[slot] != nil {
		return nil
	}
	var fds []int
	for _, a := range g.addrs {
		fd, err := a.listen()
		if err != nil {
			closeAll(fds)
			return fmt.Errorf("listen on %s: %w", a.At, explain(a.At, err))
		}
		fds = append(fds, fd)
	}
	g.slots[slot] = fds
	return nil
}

// Listeners returns duplicates of a slot's sockets to accept from. The caller
// owns and closes them, which leaves the held sockets as they are.
func (g *Group) Listeners(slot int) ([]net.Listener, error) {
	var out []net.Listener
	for _, fd := range g.slots[slot] {
		l, err := listener(fd)
		if err != nil {
			for _, l := range out {
				l.Close()
			}
			return nil, err
		}
		out = append(out, l)
	}
	return out, nil
}

// Queue is how many connections wait to be accepted from a slot's sockets; ok
// is false when the slot holds none. (TCP_INFO of a listening socket has the
// queue's length in tcpi_unacked, since Linux 2.6.)
func (g *Group) Queue(slot int) (n uint64, ok bool) {
	for _, fd := range g.slots[slot] {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return 0, false
		}
		n += uint64(info.Unacked)
		ok = true
	}
	return n, ok
}

// Dropped is how many connections were turned away since a slot's queue was full.
func (g *Group) Dropped(slot int) (n uint64, ok bool) {
	for _, fd := range g.slots[slot] {
		dropped, err := droppedBy(fd)
		if err != nil {
			return 0, false
		}
		n += dropped
		ok = true
	}
	return n, ok
}

// Release closes a slot's sockets; the kernel resets what waits in their
// queues unless another descriptor keeps them open.
func (g *Group) Release(slot int) {
	closeAll(g.slots[slot])
	delete(g.slots, slot)
}

// Close releases every slot.
func (g *Group) Close() {
	for slot := range g.slots {
		g.Release(slot)
	}
}

func (a groupAddr) listen() (int, error) {
	fd, err := a.bind()
	if err != nil {
		return -1, err
	}
	if err := unix.Listen(fd, backlog); err != nil {
		unix.Close(fd)
		return -1, os.NewSyscallError("listen", err)
	}
	return fd, nil
}

// listener wraps a duplicate of fd, which listens for TCP; net.FileListener makes it.
func listener(fd int) (*net.TCPListener, error) {
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("dup", err)
	}
	f := os.NewFile(uintptr(dup), "held socket")
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	return l.(*net.TCPListener), nil
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}
