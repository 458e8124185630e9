package port

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"
)

// planFor is how long a plan is remembered that is not in force any more.
const planFor = 10 * time.Second

// A pastPlan was in force until some time.
type pastPlan struct {
	plan   plan
	hashed bool // there was none: the kernel's hash chose
	until  time.Time
}

// supersede puts a plan in the place of the one in force, which is remembered.
func (c *cohort) supersede(p plan, now time.Time) {
	c.past = slices.DeleteFunc(c.past, func(old pastPlan) bool { return now.Sub(old.until) > planFor })
	first := c.changes == 0 && !c.hash // before it, nobody listened
	c.past = append(c.past, pastPlan{plan: c.plan, hashed: !c.inForce && !first, until: now})
	c.plan = p
	if c.replanned != nil {
		c.replanned()
	}
}

// SlotOf tells which slot a connection to a local address came to, by the client's:
// what the steering program chose, or must have chosen at any time from since to
// now. ok is false where the kernel's hash chose, or that cannot be told. What
// clusterd took itself, it does not know of.
func (f *Front) SlotOf(client, local netip.AddrPort, since time.Time) (slot int, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.cohortOf(local)
	if c == nil || c.hashed() != "" {
		return 0, false
	}
	if p, least := c.program.(*leastLoaded); least {
		return c.slotOfCell(p, client)
	}
	slot = c.plan.slotOf(client)
	for _, old := range c.past {
		switch other := old.plan.slotOf(client); {
		case old.until.Before(since.Add(-inFlight)):
		case old.hashed:
			return 0, false
		case other == own, other == slot:
		case slot == own:
			slot = other
		default:
			return 0, false
		}
	}
	return slot, slot != own
}

// own stands for the slot of what clusterd took itself.
const own = -1

// cohortOf is the one that gets connections to a local address: a specific address
// goes before every one, and an IPv4 one before IPv6's.
func (f *Front) cohortOf(local netip.AddrPort) (best *cohort) {
	rank := func(a Addr) int {
		switch at := a.At.Addr().Unmap(); {
		case at == local.Addr():
			return 3
		case at == netip.IPv4Unspecified() && local.Addr().Is4():
			return 2
		case at == netip.IPv6Unspecified() && (!a.V6Only || local.Addr().Is6()):
			return 1
		}
		return 0
	}
	top := 0
	for _, c := range f.cohorts {
		if r := rank(c.addr); r > top {
			best, top = c, r
		}
	}
	return best
}

// slotOfCell asks the program what it has chosen.
func (c *cohort) slotOfCell(p *leastLoaded, at netip.AddrPort) (slot int, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var latest placed
	client := clientAt(at)
	if p.closed || p.placed.Lookup(client.place(), &latest) != nil || latest.Client != client {
		return 0, false
	}
	for _, m := range c.members {
		if m.cell == latest.Cell && m.slot != nil {
			return m.slot.owner.Slot, true
		}
	}
	return 0, false
}

// slotOf is what the classic program answers: see steeringFilter.
func (p plan) slotOf(client netip.AddrPort) int {
	hash := uint32(client.Port()) * portFactor
	if ip := client.Addr().Unmap(); ip.Is4() {
		word := ip.As4()
		addr := binary.BigEndian.Uint32(word[:])
		if addr>>16 == markNet {
			for _, a := range p.exact {
				if a.mark == addr&(1<<16-1) {
					return a.to.owner.Slot
				}
			}
		}
		hash += addr * addressFactor
	} else {
		words, mixed := ip.As16(), uint32(0)
		for i := 0; i < len(words); i += 4 {
			mixed ^= binary.BigEndian.Uint32(words[i:])
		}
		hash += mixed * addressFactor
	}
	slot, all := own, ranges(nil, p.spread)
	for i := range p.spread {
		if all[i].from <= hash>>16 {
			slot = p.spread[i].to.owner.Slot
		}
	}
	return slot
}
