package port

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A cohort is one kernel reuseport group: the listening sockets of one address.
// It knows at which index of the group each of them is, which a classic steering
// program needs. The kernel appends a socket by listen(2), and when one leaves,
// moves the last into its place.
//
// The first member, at index 0, is a socket of clusterd's own: it gets what no
// slot can take. Other sockets of its own are spares: nothing is sent to them,
// they only keep places. When a slot's socket leaves from the middle, a spare
// moves into the place, and the next socket that joins takes the spare's: so no
// index that the program in force uses ever changes its meaning.
//
// A cohort that is not steered (why says the reason) has no sockets of clusterd's
// own, since the kernel's hash would give them their share; nor has one that is
// left to the hash, while that chooses: see hash.go.
type cohort struct {
	addr      Addr
	uid       uint32          // owner of the sockets: the kernel groups only sockets of one
	hash      bool            // steered only while the kernel's hash would choose wrong
	wild      bool            // sockets join by themselves: see learn
	known     []uint64        // by inode, who listened when the order was learnt
	foreign   int             // looks in a row that found a stranger
	members   []*member       // in the kernel's order; while why is ""
	held      []*held         // all held sockets at the address, also those that listen no more
	why       string          // why the cohort cannot be steered; "": it can
	program   steering        // nil while it cannot
	inForce   bool            // the program chooses
	plan      plan            // in force
	past      []pastPlan      // those before it, the latest last
	replanned func()          // nil: nobody wants to know
	same      bool            // shares do not follow the queues
	changes   int             // of the plan
	moved     bool            // a member that the plan uses may have another index by now
	tidying   bool            // Front.tidy is at work
	stray     func(net.Conn)  // takes over what a socket of clusterd's own accepted
	loops     *sync.WaitGroup // runs the accept loops
}

// add lets a slot's socket listen, if it does not yet, and makes it a member.
func (c *cohort) add(h *held, backlog int) error {
	if err := c.wake(); err != nil {
		return err
	}
	if err := unix.Listen(h.fd, backlog); err != nil {
		return os.NewSyscallError("listen", err)
	}
	h.listening = true
	if c.why != "" {
		return nil
	}
	m := &member{fd: h.fd, slot: h, cell: c.freeCell(1)}
	c.members = append(c.members, m)
	if i := slices.IndexFunc(c.members, func(m *member) bool { return m.spare }); i >= 0 {
		c.leave(i)
	}
	return c.program.join(m)
}

// freeCell is the lowest one from cell on.
func (c *cohort) freeCell(cell uint32) uint32 {
	for slices.ContainsFunc(c.members, func(m *member) bool { return m.cell == cell }) {
		cell++
	}
	return cell
}

// remove takes a slot's socket out of the group and leaves a spare in its place.
// The program in force must not use the socket any more. What waits in its queue
// is reset, or migrated where the program can do that.
func (c *cohort) remove(h *held) {
	i := slices.IndexFunc(c.members, func(m *member) bool { return m.slot == h })
	if i >= 0 && i < len(c.members)-1 && c.inForce && c.ordered() {
		if spare, err := c.own(); err == nil {
			spare.spare = true
			c.members = append(c.members, spare)
		} else {
			c.moved = true // the last member; until it is steered to anew, its share is hashed
		}
	}
	// A process may hold a copy, so that closing alone changes nothing. But one that
	// its process has shut down already, and may let listen again, must be spared:
	// shut down twice, it hands the end of its input on to all that it accepts.
	if listens(h.fd) {
		_ = unix.Shutdown(h.fd, unix.SHUT_RD)
	}
	h.listening = false
	if i >= 0 {
		c.left(i)
	}
}

// leave closes the own socket at index i.
func (c *cohort) leave(i int) {
	c.members[i].close()
	c.left(i)
}

// left says that the member at index i is in the group no more.
func (c *cohort) left(i int) {
	last := len(c.members) - 1
	c.members[i] = c.members[last]
	c.members = c.members[:last]
}

// movesQueues tells that nothing is lost when a socket is removed.
func (c *cohort) movesQueues() bool { return c.program != nil && c.program.movesQueues() }

// lost takes note of sockets that stopped listening without clusterd's doing: an
// application may call shutdown(2) on its listener. The kernel has closed the
// gaps already; of more than one, nobody knows in which order, unless it is learnt.
func (c *cohort) lost(gone []*held) (ordered bool) {
	n := 0
	for _, h := range gone {
		h.listening = false
		if i := slices.IndexFunc(c.members, func(m *member) bool { return m.slot == h }); i >= 0 {
			c.left(i)
			c.moved = true
			n++
		}
	}
	return n < 2 || !c.ordered()
}

// begin finds a program, and opens the own socket at index 0 unless the kernel's
// hash would choose it.
func (c *cohort) begin(unprivileged bool) error {
	all, err := listening(c.addr)
	if err != nil {
		return err
	}
	if len(all) > 0 && !c.wild {
		return errors.New("somebody else listens there too")
	}
	if c.hash {
		c.program = &classic{}
		return nil
	}
	own, err := c.own()
	if err != nil {
		return fmt.Errorf("clusterd cannot listen there itself: %w", err)
	}
	c.members = []*member{own}
	c.program, err = newSteering(own, unprivileged)
	return err
}

// steer puts the plan in force that the standings ask for.
func (c *cohort) steer() error {
	if c.why != "" {
		return nil
	}
	if c.hash && c.rested() {
		return c.rest()
	}
	p := choose(c.held)
	if len(p.spread) == 1 || c.same || !c.program.weighs() {
		p = p.even()
	}
	if len(p.spread) == 0 && !slices.ContainsFunc(c.members, (*member).fallback) {
		own, err := c.own()
		if err != nil {
			return err
		}
		c.members = append(c.members, own)
		if err := c.program.join(own); err != nil {
			return err
		}
	}
	return c.follow(p)
}

// follow puts a plan in force.
func (c *cohort) follow(p plan) error {
	if c.inForce && !c.moved && p.equal(c.plan) {
		return nil
	}
	if err := c.program.apply(c.members, p); err != nil {
		return err
	}
	c.supersede(p, time.Now())
	c.moved, c.inForce = false, true
	c.changes++
	return c.attach()
}

// attach puts the program that is in force there again.
func (c *cohort) attach() error {
	fd, ok := c.door()
	if !ok || !c.inForce {
		return nil
	}
	return c.program.attach(fd)
}

// door is a descriptor by which the group can be spoken to: of a member that
// listens. An application may have shut its socket down without anybody's notice.
func (c *cohort) door() (fd int, ok bool) {
	for _, m := range c.members {
		if listens(m.fd) {
			return m.fd, true
		}
	}
	return -1, false
}

// unsteer leaves the choice to the kernel's hash from here on.
func (c *cohort) unsteer(why string) {
	if c.why != "" {
		return
	}
	c.why = why
	if c.program != nil {
		_ = c.detach() // fails only where none is attached
		c.program.close()
		c.program = nil
	}
	for _, m := range c.members {
		if m.ours() {
			m.close()
		}
	}
	c.members = nil
}

// detach leaves the choice to the kernel's hash.
func (c *cohort) detach() error {
	c.supersede(plan{}, time.Now())
	c.inForce = false
	fd, ok := c.door()
	if !ok {
		return nil // nobody to choose
	}
	return os.NewSyscallError("setsockopt SO_DETACH_REUSEPORT_BPF",
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_REUSEPORT_BPF, 0))
}

// listening lists who listens at an address, by inode, ascending.
func listening(a Addr) (inodes []uint64, err error) {
	all, err := Listeners(int(a.At.Port()))
	if err != nil {
		return nil, fmt.Errorf("list who listens: %w", err)
	}
	for _, l := range all {
		if l.Addr.Addr() == a.At.Addr().Unmap() && (!a.At.Addr().IsUnspecified() || l.V6Only == a.V6Only) {
			inodes = append(inodes, uint64(l.Inode))
		}
	}
	slices.Sort(inodes)
	return inodes, nil
}
