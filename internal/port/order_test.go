package port

import (
	"testing"

	"golang.org/x/sys/unix"
)

// listens is a socket that an application lets listen by itself.
func (s *stage) listens() int {
	s.t.Helper()
	fd := s.bound()
	if err := unix.Listen(fd, 128); err != nil {
		s.t.Fatal(err)
	}
	return fd
}

// joinWild lets applications listen by themselves, and hands their sockets over in
// another order. In the middle, and at the end, are strangers.
func (s *stage) joinWild() (all []Owner, strangers []int) {
	s.t.Helper()
	fds := map[int]int{}
	for _, slot := range []int{3, 0, -1, 4, 1, 2, -1} {
		fd := s.listens()
		if slot < 0 {
			strangers = append(strangers, fd)
		} else {
			fds[slot] = fd
		}
	}
	s.t.Cleanup(func() { closeAll(strangers) })
	for _, o := range owners(5) {
		if err := s.JoinListening(o, fds[o.Slot]); err != nil {
			s.t.Fatal(err)
		}
		all = append(all, o)
	}
	return all, strangers
}

// Sockets that listen by themselves are steered to like others, at every kind of
// address, whatever the kernel's order is and whoever else is in it.
func TestWildSocketsAreSteered(t *testing.T) {
	withBoth(t, func(t *testing.T, program func(*FrontOptions)) {
		for name, at := range map[string]Addr{"0.0.0.0": anyIPv4, "127.0.0.1": loopbackIPv4, "[::]": dualStack,
			"[::] IPv6 only": anyIPv6, "[::1]": loopbackIPv6, "v4-mapped": mappedIPv4} {
			t.Run(name, func(t *testing.T) {
				s := newStage(t, at, program).unwatched()
				all, strangers := s.joinWild()
				for _, o := range all[1:] {
					s.Admit(o)
				}
				s.exact(all)
				live := func() int { return s.queueOf(1) + s.queueOf(2) + s.queueOf(3) + s.queueOf(4) }
				strange := func() uint32 { return queueOf(strangers[0]) + queueOf(strangers[1]) }
				had, others := live(), strange()
				s.connect(100)
				eventually(t, "the live ones have all", func() bool { return live() == had+100 })
				if n := strange(); n != others {
					t.Errorf("strangers have %d connections, and had %d", n, others)
				}
			})
		}
	})
}

// exact connects five times to each, and sees that the connection arrives there.
func (s *stage) exact(all []Owner) {
	s.t.Helper()
	for _, o := range all {
		for range 5 {
			before := s.queueOf(o.Slot)
			c, err := s.Dial(s.t.Context(), o)
			if err != nil {
				s.t.Fatal(err)
			}
			s.t.Cleanup(func() { c.Close() })
			eventually(s.t, "the slot has it", func() bool { return s.queueOf(o.Slot) == before+1 })
		}
	}
}

// A stranger that has left without a word is known to have by the next drain; one
// that stays is not: then the kernel chooses.
func TestStrangersComeAndGo(t *testing.T) {
	for name, hash := range map[string]bool{"steered": false, "hash": true} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, anyIPv4, classicOnly, hashOnly(hash)).unwatched()
			all, strangers := s.joinWild()
			for _, o := range all {
				s.Admit(o)
			}
			for _, fd := range strangers {
				unix.Shutdown(fd, unix.SHUT_RD)
			}
			s.relearnAll()
			s.stand(all[2], draining)
			s.exact(all)
			others := func() int { return s.queueOf(0) + s.queueOf(1) + s.queueOf(3) + s.queueOf(4) }
			n, had := s.queueOf(2), others()
			s.connect(60)
			eventually(t, "the others have all", func() bool { return others() == had+60 })
			if s.queueOf(2) != n {
				t.Error("who drains got connections")
			}
			if err := unix.Listen(strangers[1], 10); err != nil {
				t.Fatal(err)
			}
			for range strangerLooks {
				s.assert()
			}
			if s.Steered()[s.at] == "" {
				t.Error("steered past a stranger for good")
			}
		})
	}
}

// Applications whose sockets are held see nothing of the order's being learnt, nor
// does who came last, as one that is starting.
func TestLearningIsNotSeen(t *testing.T) {
	s := newStage(t, dualStack, classicOnly).unwatched()
	all, _ := s.joinWild()
	last := s.listens()
	defer unix.Close(last)
	had := map[Owner]int{}
	for _, o := range all {
		had[o] = s.queueOf(o.Slot)
	}
	for range 20 {
		s.mu.Lock()
		err := s.cohorts[0].learn()
		s.mu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, o := range all {
		if n := s.queueOf(o.Slot); n != had[o] {
			t.Errorf("slot %d has %d connections, and had %d", o.Slot, n, had[o])
		}
	}
	if n := queueOf(last); n != 0 {
		t.Errorf("who came last has %d connections", n)
	}
}
