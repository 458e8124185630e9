package port

import (
	"cmp"
	"slices"
)

// A steering is a program in the kernel that chooses the member of a cohort for
// every new connection.
type steering interface {
	// join makes a socket that has begun to listen one that may be chosen.
	join(m *member) error
	// apply has the plan followed from the next attach on, or at once.
	apply(members []*member, p plan) error
	// attach puts the program in force through any listening member. An application
	// may detach it by its own descriptor, so that this is repeated.
	attach(fd int) error
	// weighs tells whether the shares of a plan are followed.
	weighs() bool
	// movesQueues tells that what waits for a socket that stops listening, or is on
	// its way there, goes to one that the plan names.
	movesQueues() bool
	close()
}

// A plan says who gets new connections.
type plan struct {
	spread []share // empty: clusterd's own socket
	exact  []aim   // by mark, ascending
}

// A share is a slot's socket and the part of the connections it gets: 256 is a
// full one.
type share struct {
	to     *held
	weight uint32
}

const fullShare = 256

// An aim sends whoever bears the mark to one slot's socket.
type aim struct {
	mark uint32
	to   *held
}

func (p plan) equal(q plan) bool {
	return slices.Equal(p.spread, q.spread) && slices.Equal(p.exact, q.exact)
}

// standing is how the process of a held socket stands to new connections. The
// order is by who rather gets a connection that is for the slot.
type standing int

const (
	vacant   standing = iota // it is gone, a successor is expected
	joined                   // it listens, and is not admitted yet
	draining                 // it is about to go
	live                     // it wants them
)

// choose decides who gets new connections: the live sockets that are not
// shunned, else all live ones, else those that somebody will serve soon, so that
// what arrives waits in their queues.
func choose(all []*held) plan {
	var well, living, expected []share
	for _, h := range all {
		s := share{to: h, weight: h.watch.weight()}
		switch {
		case !h.listening:
		case h.standing == live:
			living = append(living, s)
			if !h.watch.shunned {
				well = append(well, s)
			}
		case h.standing == joined, h.standing == vacant:
			expected = append(expected, share{to: h, weight: fullShare})
		}
	}
	p := plan{exact: aims(all)}
	for _, choice := range [][]share{well, living, expected} {
		if len(choice) > 0 {
			p.spread = choice
			break
		}
	}
	return p
}

// even gives everybody a full share: where shares make no difference, a plan is
// not to change with them.
func (p plan) even() plan {
	for i := range p.spread {
		p.spread[i].weight = fullShare
	}
	return p
}

// aims marks a socket of every slot, and where a slot has several generations
// one of each.
func aims(all []*held) []aim {
	first := map[uint32]*held{}
	aimAt := func(mark uint32, h *held) {
		if old := first[mark]; old == nil || h.before(old) {
			first[mark] = h
		}
	}
	generations := map[int]int{} // the first one seen of each slot
	several := map[int]bool{}
	for _, h := range all {
		if !h.listening || h.owner.Slot < 0 || h.owner.Slot >= markedSlots {
			continue
		}
		aimAt(slotMark(h.owner.Slot), h)
		g, seen := generations[h.owner.Slot]
		generations[h.owner.Slot] = h.owner.Generation
		if seen && g != h.owner.Generation {
			several[h.owner.Slot] = true
		}
	}
	for _, h := range all {
		if h.listening && several[h.owner.Slot] {
			aimAt(h.owner.mark(), h)
		}
		if h.listening && h.watch.probe != nil {
			aimAt(h.watch.probe.mark, h)
		}
	}
	var out []aim
	for mark, h := range first {
		out = append(out, aim{mark, h})
	}
	slices.SortFunc(out, func(a, b aim) int { return cmp.Compare(a.mark, b.mark) })
	return out
}

// before tells whether h stands for its slot rather than other.
func (h *held) before(other *held) bool {
	if h.retiring != other.retiring {
		return other.retiring
	}
	return cmp.Or(cmp.Compare(h.standing, other.standing), cmp.Compare(h.owner.Generation, other.owner.Generation)) > 0
}

// newSteering returns the best program that this machine allows, with clusterd's
// own socket in it.
func newSteering(own *member, unprivileged bool) (steering, error) {
	if !unprivileged && canEBPF() == nil {
		if p, err := newLeastLoaded(nil); err == nil {
			if p.join(own) == nil {
				return p, nil
			}
			p.close()
		}
	}
	return &classic{}, nil
}
