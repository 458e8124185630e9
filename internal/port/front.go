package port

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// Owner is one generation of a slot: the process that a held socket belongs to at
// the moment. Generations count from 1.
type Owner struct{ Slot, Generation int }

// FrontOptions say what a Front is for.
type FrontOptions struct {
	Port int
	Hash bool // leave the choice to the kernel's hash while all slots are live

	// Orphan takes over a connection that clusterd accepted, since no slot could:
	// because none is live, or from the queue of a slot that is stuck or will not
	// come back. It owns the connection and has a goroutine of its own.
	Orphan func(net.Conn)

	// Hold, if set, is called with every socket that is about to be held for a
	// slot, before it listens if it does not yet. It must neither block nor keep
	// the descriptor.
	Hold func(slot, fd int)
	// Taken, if set, is called with every connection that clusterd takes from the
	// queue of a slot, or from its own socket, which is slot -1, before Orphan. It must
	// neither block nor keep it.
	Taken func(slot int, conn net.Conn)
	// Asking, if set, is called with the own address of every connection that clusterd
	// has made to one exact slot, which is no client's. It must not block.
	Asking func(own netip.AddrPort)
	// Even gives every live slot the same share, whatever waits in its queue: then it
	// can be told by SlotOf whose nearly every connection was.
	Even bool
	// Replanned, if set, is called when connections are steered to others than before.
	// It must not block.
	Replanned func()

	Log func(sentence string) // for a human; must not block

	classic bool // steer as without CAP_BPF
}

// A Front is the public side of an app whose instances accept straight from the
// kernel. It holds the listening sockets of all slots, so that their queues
// outlive the processes, and steers new connections to those that are live.
//
// It is safe for concurrent use. Only Drain, Dial and Close block; everything
// else is a few system calls, some of which take 0.2 ms.
type Front struct {
	opts FrontOptions

	mu        sync.Mutex
	cohorts   []*cohort
	held      []*held
	standings map[Owner]standing
	ended     map[Owner]bool // and not forgotten
	closed    bool
	handed    bool           // and what it held goes on in another Front
	left      netip.AddrPort // where that was, for DialAny

	tasks    sync.WaitGroup // the goroutines of the Front
	helpers  sync.WaitGroup // and those that give connections away, which others may hold up
	life     context.Context
	end      context.CancelFunc
	begin    sync.Once // starts the watch
	arrivals *arrivals // at what is held and listens; nil before the first Join
}

// NewFront returns a Front that holds nothing yet. Whoever has joined it must
// Close it.
func NewFront(opts FrontOptions) *Front {
	if opts.Log == nil {
		opts.Log = func(string) {}
	}
	if opts.Orphan == nil {
		opts.Orphan = func(conn net.Conn) { conn.Close() }
	}
	f := &Front{opts: opts, standings: map[Owner]standing{}, ended: map[Owner]bool{}}
	f.life, f.end = context.WithCancel(context.Background())
	return f
}

// Join makes fd a held socket of o and lets it listen, with a queue of at least
// 4096. fd must be plain TCP, bound, not listening, and have SO_REUSEPORT; the
// Front owns it from here on, also when it returns an error. It gets no
// connections before Admit, unless nobody else is there.
func (f *Front) Join(o Owner, fd, wanted int) error {
	return f.join(o, fd, wanted, plainTCP(fd), false)
}

// JoinListening is Join for a socket that listens already. Its place in the
// kernel's group is learnt; where that fails, as for Multipath TCP, from here on the
// kernel's hash chooses at that address.
func (f *Front) JoinListening(o Owner, fd int) error {
	return f.join(o, fd, 0, nil, true)
}

func (f *Front) join(o Owner, fd, wanted int, err error, wild bool) error {
	h := &held{owner: o, fd: fd, backlog: max(wanted, backlog)}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil && f.closed {
		err = net.ErrClosed
	}
	if err == nil {
		err = f.admitSocket(h, wild)
	}
	if err != nil {
		unix.Close(fd)
		return fmt.Errorf("hold a socket of slot %d: %w", o.Slot, err)
	}
	return nil
}

func (f *Front) admitSocket(h *held, wild bool) error {
	at, err := AddrOf(h.fd)
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(h.fd, &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	h.inode = st.Ino
	h.standing = f.beginning(h.owner)
	c, err := f.cohortAt(at, st.Uid, wild)
	if err != nil {
		return err
	}
	h.cohort = c
	if err := plainTCP(h.fd); err != nil {
		f.unsteer(c, err.Error())
	}
	if f.arrivals == nil {
		if f.arrivals, err = newArrivals(); err != nil {
			f.dropEmpty(c)
			return err
		}
	}
	if f.opts.Hold != nil {
		f.opts.Hold(h.owner.Slot, h.fd)
	}
	err = f.arrivals.add(h.fd)
	if err == nil {
		if err = c.add(h, h.backlog); err != nil {
			f.arrivals.remove(h.fd)
		}
	}
	if err != nil {
		f.dropEmpty(c)
		return err
	}
	c.held = append(c.held, h)
	f.held = append(f.held, h)
	f.standings[h.owner] = h.standing
	if wild {
		f.learn(c)
	}
	f.steer(c)
	f.begin.Do(func() { f.tasks.Go(f.watchAll) })
	return nil
}

// cohortAt returns the cohort of an address. A new one is steered, unless that
// cannot work.
func (f *Front) cohortAt(at Addr, uid uint32, wild bool) (*cohort, error) {
	for _, c := range f.cohorts {
		if c.addr == at {
			c.wild = c.wild || wild
			return c, nil
		}
	}
	c := f.newCohort(cohort{addr: at, uid: uid, hash: f.opts.Hash, wild: wild})
	f.cohorts = append(f.cohorts, c)
	if err := c.begin(f.opts.classic); err != nil {
		f.unsteer(c, err.Error())
	}
	return c, nil
}

// newCohort adds what all cohorts have of the Front.
func (f *Front) newCohort(c cohort) *cohort {
	c.stray, c.loops, c.replanned, c.same = f.stray, &f.tasks, f.opts.Replanned, f.opts.Even
	return &c
}

// steer brings what is in force at an address in line with the standings.
func (f *Front) steer(c *cohort) {
	if err := c.steer(); err != nil {
		f.unsteer(c, err.Error())
	}
	if c.untidy() && !c.tidying && !f.closed {
		c.tidying = true
		f.tasks.Go(func() { f.tidy(c) })
	}
}

func (f *Front) unsteer(c *cohort, why string) {
	if c.why == "" {
		c.unsteer(why)
		f.opts.Log(fmt.Sprintf("connections to %s are spread by the kernel's hash, dead and stopping instances included: %s", c.addr, why))
	}
}

// stray takes what arrived at a socket of clusterd's own.
func (f *Front) stray(conn net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.opts.Taken != nil {
		f.opts.Taken(-1, conn)
	}
	f.orphan(conn)
}

// orphan gives a connection away, or closes it: one that asked for an exact slot
// is for no other.
func (f *Front) orphan(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); f.closed && !f.handed || ok && marked(tcp) {
		conn.Close()
		return
	}
	f.helpers.Go(func() { f.opts.Orphan(conn) })
}

// Resume lets a held socket of o listen again that its process has shut down. It is
// false when there is none of that inode.
func (f *Front) Resume(o Owner, inode uint64) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var shut []*held
	for _, h := range f.held {
		if h.listening && !listens(h.fd) { // nobody has looked since
			shut = append(shut, h)
		}
	}
	f.lost(shut)
	for _, h := range f.held {
		if h.owner == o && h.inode == inode && !h.listening {
			h.unwatch()
			err := h.cohort.add(h, h.backlog)
			f.steer(h.cohort)
			return true, cmp.Or(err, f.arrivals.add(h.fd))
		}
	}
	return false, nil
}

// Admit lets new connections go to o, through the sockets that it has and those
// that will join.
func (f *Front) Admit(o Owner) { f.stand(o, live) }

// Ended says that the process of o is gone. Its sockets stay for the successor:
// what is in their queues waits. They get new connections only while no slot is
// live. Until Forget, nothing makes o come back: the call of a process, or a Drain,
// may be on its way still.
func (f *Front) Ended(o Owner) { f.stand(o, vacant) }

func (f *Front) stand(o Owner, s standing) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case s == vacant:
		f.ended[o] = true
	case f.ended[o]:
		return
	}
	f.standings[o] = s
	f.restand(o)
	f.prune()
}

// Forget says that nothing is left that could act for o, which has ended.
func (f *Front) Forget(o Owner) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.ended, o)
}

// beginning is how a socket stands that o has now.
func (f *Front) beginning(o Owner) standing {
	switch {
	case f.ended[o]:
		return vacant
	case f.standings[o] == live:
		return live
	}
	return joined
}

// restand carries the standing of o over to its sockets.
func (f *Front) restand(o Owner) {
	for _, h := range f.held {
		if h.owner == o && !h.retiring {
			h.standing = f.standings[o]
			h.drained = false
			h.unwatch()
		}
	}
	f.steerAll()
}

func (f *Front) steerAll() {
	for _, c := range f.cohorts {
		f.steer(c)
	}
}

// prune drops generations that are gone and hold nothing.
func (f *Front) prune() {
	for o, s := range f.standings {
		if s == vacant && !slices.ContainsFunc(f.held, func(h *held) bool { return h.owner == o }) {
			delete(f.standings, o)
		}
	}
}

// Close closes all sockets, and returns when no goroutine of the Front is left;
// those in Orphan are waited for. What waits in a queue is reset.
func (f *Front) Close() {
	f.mu.Lock()
	if !f.closed {
		f.closed = true
		f.end()
		for _, h := range slices.Clone(f.held) {
			f.drop(h)
		}
		if f.arrivals != nil {
			f.arrivals.end()
			defer f.arrivals.close()
		}
	}
	f.mu.Unlock()
	f.tasks.Wait()
	f.helpers.Wait() // from here on, only they start others of their kind
}

// drop closes a held socket.
func (f *Front) drop(h *held) {
	c := h.cohort
	h.unwatch()
	f.arrivals.remove(h.fd)
	c.remove(h)
	unix.Close(h.fd)
	same := func(other *held) bool { return other == h }
	f.held = slices.DeleteFunc(f.held, same)
	c.held = slices.DeleteFunc(c.held, same)
	f.dropEmpty(c)
	f.prune()
}

// dropEmpty ends a cohort when no slot is left in it.
func (f *Front) dropEmpty(c *cohort) {
	if len(c.held) > 0 {
		f.steer(c)
		return
	}
	c.unsteer("nobody listens")
	f.cohorts = slices.DeleteFunc(f.cohorts, func(other *cohort) bool { return other == c })
}
