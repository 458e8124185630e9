package port

import (
	"slices"
	"time"

	"clusterd/internal/handover"
)

type cohortState struct {
	Addr        Addr
	UID         uint32
	Hash, Wild  bool
	Known       []uint64
	Members     []memberState // in the kernel's order
	Why         string
	InForce     bool
	Plan        planState
	Past        []pastState
	Changes     int
	Moved       bool
	LeastLoaded *leastLoadedState // nil: another program, or none
}

type memberState struct {
	Held  int // -1: none
	FD    int // of clusterd's own; -1: a stranger's
	Cell  uint32
	Spare bool
}

type planState struct {
	Spread []shareState
	Exact  []aimState
}

type shareState struct {
	To     heldRef
	Weight uint32
}

type aimState struct {
	Mark uint32
	To   heldRef
}

// heldRef names a held socket. Of one that is held no more, as there may be in a plan
// of before, the owner is known.
type heldRef struct {
	Held  int // -1: no more
	Owner Owner
}

type pastState struct {
	Plan   planState
	Hashed bool
	Until  time.Time
}

// pack keeps clusterd's own sockets and the program; all are the Front's held
// sockets.
func (c *cohort) pack(all []*held, b *handover.Bag) cohortState {
	s := cohortState{
		Addr: c.addr, UID: c.uid, Hash: c.hash, Wild: c.wild, Known: c.known,
		Why: c.why, InForce: c.inForce, Plan: c.plan.pack(all), Changes: c.changes, Moved: c.moved,
	}
	for _, m := range c.members {
		state := memberState{Held: slices.Index(all, m.slot), FD: -1, Cell: m.cell, Spare: m.spare}
		if m.ours() {
			state.FD = b.Keep(m.fd)
		}
		s.Members = append(s.Members, state)
	}
	for _, old := range c.past {
		s.Past = append(s.Past, pastState{old.plan.pack(all), old.hashed, old.until})
	}
	if p, ok := c.program.(*leastLoaded); ok {
		s.LeastLoaded = p.pack(b)
	}
	return s
}

// take makes the members anew, in their order, accepts from clusterd's own, and knows
// again of the program that is attached. With an error, those that are missing are
// closed.
func (c *cohort) take(s cohortState, sockets []*held, b *handover.Bag) (failed error) {
	for _, s := range s.Members {
		m := &member{fd: s.FD, cell: s.Cell, spare: s.Spare}
		if s.Held >= 0 {
			m.slot = sockets[s.Held]
			m.fd = m.slot.fd
		} else if s.FD >= 0 {
			if _, err := c.accepting(m); err != nil {
				failed = err
				continue
			}
		}
		c.members = append(c.members, m)
	}
	if c.why != "" {
		return nil
	}
	c.program = &classic{} // it can be detached by any
	switch {
	case failed != nil:
		return failed
	case s.LeastLoaded != nil:
		p, replaced, err := takeLeastLoaded(s.LeastLoaded, b)
		if err != nil {
			return err
		}
		c.program, c.moved = p, c.moved || replaced
	case c.inForce:
		return c.program.apply(c.members, c.plan)
	}
	return nil
}

func (p plan) pack(all []*held) (s planState) {
	ref := func(h *held) heldRef { return heldRef{slices.Index(all, h), h.owner} }
	for _, to := range p.spread {
		s.Spread = append(s.Spread, shareState{ref(to.to), to.weight})
	}
	for _, a := range p.exact {
		s.Exact = append(s.Exact, aimState{a.mark, ref(a.to)})
	}
	return s
}

func (s planState) unpack(all []*held) (p plan) {
	held := func(r heldRef) *held {
		if r.Held >= 0 {
			return all[r.Held]
		}
		return &held{owner: r.Owner}
	}
	for _, to := range s.Spread {
		p.spread = append(p.spread, share{held(to.To), to.Weight})
	}
	for _, a := range s.Exact {
		p.exact = append(p.exact, aim{a.Mark, held(a.To)})
	}
	return p
}
