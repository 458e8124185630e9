package port

import (
	"net"
	"testing"
	"time"
)

// Connections that stay open are spread evenly, one by one.
func TestLeastLoadedIsEven(t *testing.T) {
	needEBPF(t)
	for name, at := range map[string]Addr{"IPv4": anyIPv4, "IPv6": loopbackIPv6, "dual": dualStack} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, at).unwatched()
			const slots, each = 7, 60
			for _, o := range owners(slots) {
				s.start(o)
			}
			s.connect(slots * each)
			for slot := range slots {
				eventually(t, "every slot has its share", func() bool { return s.queueOf(slot) == each })
			}
		})
	}
}

// Connections that have ended count no more: those who have the fewest get the
// next ones, a slot that comes later included.
func TestEndedConnectionsDoNotCount(t *testing.T) {
	needEBPF(t)
	s := newStage(t, anyIPv4).unwatched()
	var servers []*server
	for _, o := range owners(3) {
		servers = append(servers, s.start(o).serve())
	}
	const each = 50
	s.connect(3 * each)
	for _, v := range servers {
		eventually(t, "every slot has its share", func() bool { return v.served() == each })
	}
	servers[1].mu.Lock()
	for _, c := range servers[1].conns {
		// Not TIME_WAIT on both sides, but gone.
		if err := c.(*net.TCPConn).SetLinger(0); err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	servers[1].mu.Unlock()
	eventually(t, "the census has seen it", func() bool {
		if s.loadOf(1) != 0 {
			s.count(time.Now().Add(time.Hour))
			return false
		}
		return !s.counting() // what arrives during a census may count twice until the next
	})
	s.connect(each)
	eventually(t, "all go to the slot that has none", func() bool { return servers[1].served() == 2*each })
}

// loadOf is how many connections the program believes a slot to have.
func (s *stage) loadOf(slot int) (load uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.cohorts {
		for _, m := range c.members {
			if m.slot != nil && m.slot.owner.Slot == slot {
				if err := c.program.(*leastLoaded).loads.Lookup(m.cell, &load); err != nil {
					s.t.Fatal(err)
				}
			}
		}
	}
	return load
}

func (s *stage) counting() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.cohorts[0].program.(*leastLoaded)
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.census.running
}

// The queue of a slot that gives up moves to a live one without passing through
// clusterd.
func TestQueueMoves(t *testing.T) {
	needEBPF(t)
	s := newStage(t, anyIPv4)
	v := s.start(Owner{0, 1})
	const n = 200
	s.connect(n)
	v.exit()
	s.Ended(Owner{0, 1})
	s.start(Owner{1, 1})
	s.join(Owner{2, 1})
	s.GiveUp(0)
	eventually(t, "the live slot has all", func() bool { return s.queueOf(1) == n })
	if len(s.orphans) > 0 {
		t.Error("clusterd accepted some of it")
	}
}
