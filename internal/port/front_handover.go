package port

import (
	"fmt"
	"net"
	"slices"
	"time"

	"clusterd/internal/handover"
)

// FrontState is what is handed over of a Front.
type FrontState struct {
	Held      []heldState
	Cohorts   []cohortState
	Standings []standingState
}

type heldState struct {
	Owner                        Owner
	Standing                     standing
	Cohort                       int // its index
	FD                           int
	Inode                        uint64
	Backlog                      int
	Listening, Drained, Retiring bool
	Shunned, Robbed              bool // see watch, of which also:
	Since                        time.Time
	Mean                         float64
}

type standingState struct {
	Owner    Owner
	Standing standing
}

// handOverLimit is how long HandOver waits for connections that have just been
// accepted to be given away. It takes that long only where an accept(2) blocks: see
// empty.
const handOverLimit = 500 * time.Millisecond

// HandOver ends the Front as Close does, but leaves everything as it is in the
// kernel: queues, the order of the sockets, and the program that chooses. What the
// Front has accepted by then it has given to Orphan, whose calls must return soon.
// A Drain that is under way ends with an error; probes of stuck slots end, too, and are
// begun anew. Adoptions must have been handed over before; afterwards nothing may be
// called but DialAny, by those to whom Orphan gave something.
func (f *Front) HandOver(b *handover.Bag) (FrontState, error) {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return FrontState{}, fmt.Errorf("hand over port %d: %w", f.opts.Port, net.ErrClosed)
	}
	f.left = f.anywhere()
	f.closed, f.handed = true, true
	f.end()
	if f.arrivals != nil {
		f.arrivals.end()
		defer f.arrivals.close()
	}
	st := f.pack(b)
	cohorts := f.cohorts
	// Whoever comes too late finds nothing that could be altered.
	f.held, f.cohorts = nil, nil
	for _, m := range ownMembers(cohorts) {
		_ = m.serve.SetDeadline(time.Unix(1, 0)) // what has been accepted is given away first
	}
	f.mu.Unlock()

	f.tasks.Wait()
	ended := make(chan struct{})
	go func() {
		f.helpers.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(handOverLimit):
	}
	for _, m := range ownMembers(cohorts) {
		m.serve.Close() // a duplicate
	}
	return st, nil
}

func ownMembers(cohorts []*cohort) (out []*member) {
	for _, c := range cohorts {
		for _, m := range c.members {
			if m.ours() {
				out = append(out, m)
			}
		}
	}
	return out
}

// pack keeps all sockets and programs, and ends the probes.
func (f *Front) pack(b *handover.Bag) (st FrontState) {
	for _, h := range f.held {
		h.endProbe()
		st.Held = append(st.Held, heldState{
			Owner: h.owner, Standing: h.standing, Cohort: slices.Index(f.cohorts, h.cohort),
			FD: b.Keep(h.fd), Inode: h.inode, Backlog: h.backlog,
			Listening: h.listening, Drained: h.drained, Retiring: h.retiring,
			Shunned: h.watch.shunned, Robbed: h.watch.robbed, Since: h.watch.since, Mean: h.watch.mean,
		})
	}
	for _, c := range f.cohorts {
		st.Cohorts = append(st.Cohorts, c.pack(f.held, b))
	}
	for o, s := range f.standings {
		st.Standings = append(st.Standings, standingState{o, s})
	}
	return st
}

// TakeFront returns the Front that was handed over. opts must be for the same port;
// Hold is not called again, since what it has attached to the sockets is there still,
// and Hash holds for addresses to come. Sockets that were being released are released
// now. Whoever was draining has to Drain again. The error is that of the bag, or that
// descriptors have run out; then all is closed.
func TakeFront(opts FrontOptions, st FrontState, b *handover.Bag) (*Front, error) {
	f, err := takeFront(opts, st, b)
	if err != nil {
		return nil, fmt.Errorf("take over port %d: %w", opts.Port, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.held) > 0 {
		f.begin.Do(func() { f.tasks.Go(f.watchAll) })
	}
	return f, nil
}

// takeFront is TakeFront without the watch.
func takeFront(opts FrontOptions, st FrontState, b *handover.Bag) (*Front, error) {
	if err := st.take(b); err != nil {
		return nil, err
	}
	f := NewFront(opts)
	if len(st.Held) > 0 {
		var err error
		if f.arrivals, err = newArrivals(); err != nil {
			closeAll(st.sockets())
			return nil, err
		}
	}
	for _, s := range st.Standings {
		f.standings[s.Owner] = s.Standing
	}
	for _, s := range st.Held {
		f.held = append(f.held, s.unpack())
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, s := range st.Cohorts {
		f.unpack(i, s, st.Held, b)
	}
	f.settleIn()
	return f, nil
}

// sockets are the descriptors in a state.
func (st FrontState) sockets() (fds []int) {
	for _, h := range st.Held {
		fds = append(fds, h.FD)
	}
	for _, c := range st.Cohorts {
		for _, m := range c.Members {
			if m.Held < 0 && m.FD >= 0 {
				fds = append(fds, m.FD)
			}
		}
	}
	return fds
}

// take takes the sockets out of the bag, all or none.
func (st FrontState) take(b *handover.Bag) error {
	all := st.sockets()
	for i, fd := range all {
		if _, err := b.Take(fd); err != nil {
			closeAll(all[:i])
			return err
		}
	}
	return nil
}

func (s heldState) unpack() *held {
	return &held{
		owner: s.Owner, standing: s.Standing, fd: s.FD, inode: s.Inode, backlog: s.Backlog,
		listening: s.Listening, drained: s.Drained, retiring: s.Retiring,
		// Nobody has looked at the queue for a while: it may well have moved.
		watch: watch{shunned: s.Shunned, robbed: s.Robbed, since: s.Since, mean: s.Mean, moved: time.Now()},
	}
}

// unpack adds a cohort, with the held sockets that are of it.
func (f *Front) unpack(index int, s cohortState, all []heldState, b *handover.Bag) {
	c := f.newCohort(cohort{
		addr: s.Addr, uid: s.UID, hash: s.Hash, wild: s.Wild, known: s.Known,
		why: s.Why, inForce: s.InForce, plan: s.Plan.unpack(f.held), changes: s.Changes, moved: s.Moved,
	})
	f.cohorts = append(f.cohorts, c)
	for _, old := range s.Past {
		c.past = append(c.past, pastPlan{plan: old.Plan.unpack(f.held), hashed: old.Hashed, until: old.Until})
	}
	for i, h := range f.held {
		if all[i].Cohort == index {
			h.cohort = c
			c.held = append(c.held, h)
		}
	}
	if err := c.take(s, f.held, b); err != nil {
		f.unsteer(c, err.Error())
	}
}

// settleIn makes up for what has happened while nobody looked.
func (f *Front) settleIn() {
	var shut []*held
	for _, h := range f.held {
		switch {
		case !h.listening:
		case !listens(h.fd):
			shut = append(shut, h)
		default:
			_ = f.arrivals.add(h.fd) // else it is seen late that something arrives
		}
	}
	f.lost(shut)
	f.steerAll()
	for _, h := range slices.Clone(f.held) {
		switch {
		case !h.retiring:
		case h.listening && !h.cohort.movesQueues():
			f.helpers.Go(func() { f.windUp(h) })
		default:
			f.drop(h)
		}
	}
}

// EachHeld calls do with every held socket, as FrontOptions.Hold is called.
func (f *Front) EachHeld(do func(slot, fd int)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, h := range f.held {
		do(h.owner.Slot, h.fd)
	}
}
