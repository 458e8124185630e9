package port

import (
	"io"
	"net"
	"net/netip"
	"testing"
	"time"
)

// Which slot a connection came to can be told from its client's address alone.
func TestSlotOf(t *testing.T) {
	for name, at := range map[string]Addr{"IPv4": anyIPv4, "IPv6": loopbackIPv6, "dual": dualStack} {
		t.Run(name, func(t *testing.T) {
			withBoth(t, func(t *testing.T, program func(*FrontOptions)) {
				s := newStage(t, at, program).unwatched()
				for _, o := range owners(5) {
					s.start(o).greet(o)
				}
				s.settled()
				for range 300 {
					slot, client, local := s.greeting()
					if got, ok := s.SlotOf(client, local, time.Now()); !ok || got != slot {
						t.Fatalf("%v came to slot %d, and is said to have come to %d (%v)", client, slot, got, ok)
					}
				}
			})
		})
	}
}

// When the plan has changed meanwhile, it is told of whom that makes no difference,
// and of nobody else.
func TestSlotOfWhenThePlanChanges(t *testing.T) {
	s := newStage(t, anyIPv4, classicOnly).unwatched()
	for _, o := range owners(4) {
		s.start(o).greet(o)
	}
	s.settled()
	before, told := time.Now(), 0
	type greeted struct {
		slot          int
		client, local netip.AddrPort
	}
	var all []greeted
	for range 100 {
		slot, client, local := s.greeting()
		all = append(all, greeted{slot, client, local})
	}
	s.stand(Owner{2, 1}, draining)
	for _, g := range all {
		got, ok := s.SlotOf(g.client, g.local, before)
		if ok && got != g.slot {
			t.Errorf("%v came to slot %d, and is said to have come to %d", g.client, g.slot, got)
		}
		if ok {
			told++
		}
	}
	if told == 0 || told == len(all) {
		t.Errorf("of %d connections it was told where %d came to", len(all), told)
	}
}

func TestSlotOfWhatTheKernelChose(t *testing.T) {
	s := newStage(t, anyIPv4, hashOnly(true)).unwatched()
	s.start(Owner{0, 1}).greet(Owner{0, 1})
	_, client, local := s.greeting()
	if slot, ok := s.SlotOf(client, local, time.Now()); ok {
		t.Errorf("slot %d", slot)
	}
}

// settled forgets the plans of the time when the slots were made.
func (s *stage) settled() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.cohorts {
		c.past = nil
	}
}

// greeting connects, and returns the slot that said hello.
func (s *stage) greeting() (slot int, client, local netip.AddrPort) {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.at.dial().String())
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	who, err := io.ReadAll(conn)
	if err != nil || len(who) != 2 {
		s.t.Fatalf("%v %v", who, err)
	}
	return int(who[0]), conn.LocalAddr().(*net.TCPAddr).AddrPort(), conn.RemoteAddr().(*net.TCPAddr).AddrPort()
}
