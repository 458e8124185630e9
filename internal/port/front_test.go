package port

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// Each slot is reached exactly, at every kind of address, live or drained or not
// yet admitted, and by generation while two are there.
func TestDialIsExact(t *testing.T) {
	withBoth(t, testDialIsExact)
}

func testDialIsExact(t *testing.T, program func(*FrontOptions)) {
	for name, at := range map[string]Addr{"0.0.0.0": anyIPv4, "127.0.0.1": loopbackIPv4, "[::]": dualStack,
		"[::] IPv6 only": anyIPv6, "[::1]": loopbackIPv6, "v4-mapped": mappedIPv4} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, at, program).unwatched()
			all := owners(7)
			all = append(all, Owner{3, 2}, Owner{70, 9}, Owner{1023, 1})
			for i, o := range all {
				s.join(o)
				if i%3 > 0 {
					s.Admit(o)
				}
			}
			if err := s.Drain(t.Context(), all[4]); err != nil {
				t.Fatal(err)
			}
			want := map[int]int{}
			for round := range 3 {
				for i, o := range all {
					c, err := s.Dial(t.Context(), o)
					if err != nil {
						t.Fatal(err)
					}
					defer c.Close()
					want[i]++
					eventually(t, fmt.Sprintf("%v has %d connections, round %d", o, want[i], round),
						func() bool { return s.queueOfOwner(o) == want[i] })
				}
			}
			// Without a generation, it is the one that serves: 3/1 is not live.
			s.Admit(Owner{3, 2})
			c, err := s.Dial(t.Context(), Owner{Slot: 3})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			eventually(t, "the live generation has it", func() bool { return s.queueOfOwner(Owner{3, 2}) == 4 })
			if _, err := s.Dial(t.Context(), Owner{Slot: 8}); err == nil {
				t.Error("connected to a slot that is not there")
			}
		})
	}
}

func (s *stage) queueOfOwner(o Owner) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.held {
		if h.owner == o {
			n += int(h.queue())
		}
	}
	return n
}

// Whatever joins and leaves in whatever order, the indices stay those of the
// kernel: each slot is reached exactly.
func TestIndicesAreTheKernels(t *testing.T) {
	s := newStage(t, anyIPv4, classicOnly).unwatched()
	rng := rand.New(rand.NewPCG(1, 2))
	there := map[int]int{} // slot → connections
	for range 60 {
		slot := rng.IntN(8)
		o := Owner{slot, 1}
		if _, ok := there[slot]; ok {
			s.mu.Lock()
			for _, h := range slices.Clone(s.held) {
				if h.owner == o {
					h.standing = draining
					s.steerAll()
					s.drop(h)
				}
			}
			s.mu.Unlock()
			delete(there, slot)
		} else {
			s.start(o)
			there[slot] = 0
		}
		for slot := range there {
			c, err := s.Dial(t.Context(), Owner{slot, 1})
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
			there[slot]++
			eventually(t, "the slot has it", func() bool { return s.queueOf(slot) == there[slot] })
		}
	}
}

// No connection that begins after Drain reaches the drained generation, and every
// one is served by somebody, while generations come and go.
func TestDrain(t *testing.T) {
	withBoth(t, testDrain)
	t.Run("hash", func(t *testing.T) { testDrain(t, hashOnly(true)) })
}

func testDrain(t *testing.T, program func(*FrontOptions)) {
	s := newStage(t, dualStack, program, func(o *FrontOptions) {
		o.Orphan = func(c net.Conn) { // on a machine under load, a server may seem stuck
			c.Write([]byte{255, 255})
			c.Close()
		}
	})
	servers := map[Owner]*server{}
	for _, o := range owners(4) {
		servers[o] = s.start(o).greet(o)
	}
	var mu sync.Mutex
	drained := map[Owner]bool{}
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for range 2 {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				mu.Lock()
				gone := maps.Clone(drained)
				mu.Unlock()
				by, err := s.whoServes()
				if err != nil {
					t.Error("a connection is lost:", err)
					return
				}
				if gone[by] {
					t.Error("a connection reached a drained", by)
				}
			}
		})
	}
	for generation := range 8 {
		for slot := range 4 {
			old, next := Owner{slot, generation + 1}, Owner{slot, generation + 2}
			if slot%2 == 0 { // the successor comes before or after
				servers[next] = s.start(next).greet(next)
			}
			if err := s.Drain(t.Context(), old); err != nil {
				t.Error(err)
			}
			mu.Lock()
			drained[old] = true
			mu.Unlock()
			servers[old].exit()
			s.Ended(old)
			s.Release(old)
			if slot%2 != 0 {
				servers[next] = s.start(next).greet(next)
			}
		}
	}
	close(stop)
	clients.Wait()
	if s.opts.Hash {
		s.rests()
	}
}

// rests waits until the kernel alone chooses, among the slots.
func (s *stage) rests() {
	s.t.Helper()
	eventually(s.t, "nothing steers, and only slots listen", func() bool {
		all, err := Listeners(s.opts.Port)
		if err != nil {
			s.t.Fatal(err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		c := s.cohorts[0]
		return !c.inForce && !c.tidying && len(all) == len(s.held) && len(c.members) == len(s.held)
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	fd, _ := s.cohorts[0].door()
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_REUSEPORT_BPF, 0); err != unix.ENOENT {
		s.t.Errorf("detach a program where there should be none: %v", err)
	}
}

// whoServes connects, and reads who greets.
func (s *stage) whoServes() (Owner, error) {
	c, err := net.DialTimeout("tcp", s.at.dial().String(), patience)
	if err != nil {
		return Owner{}, err
	}
	defer c.Close()
	var who [2]byte
	_, err = io.ReadFull(c, who[:])
	return Owner{int(who[0]), int(who[1])}, err
}

// New connections are spread over live slots alone, as evenly as a hash can.
func TestSpread(t *testing.T) {
	withBoth(t, testSpread)
}

func testSpread(t *testing.T, program func(*FrontOptions)) {
	for name, at := range map[string]Addr{"IPv4": anyIPv4, "IPv6": loopbackIPv6, "dual": dualStack} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, at, program).unwatched()
			for _, o := range owners(6) {
				s.join(o)
				if o.Slot%2 == 0 {
					s.Admit(o)
				}
			}
			const n = 600
			s.connect(n)
			eventually(t, "all are queued", func() bool { return s.queueOf(0)+s.queueOf(2)+s.queueOf(4) == n })
			for _, slot := range []int{0, 2, 4} {
				if got := s.queueOf(slot); got < n/6 || got > n/2 {
					t.Errorf("slot %d has %d of %d connections", slot, got, n)
				}
			}
		})
	}
}

// withBoth runs a test with either program.
func withBoth(t *testing.T, test func(t *testing.T, program func(*FrontOptions))) {
	t.Run("classic", func(t *testing.T) { test(t, classicOnly) })
	t.Run("eBPF", func(t *testing.T) {
		needEBPF(t)
		test(t, func(*FrontOptions) {})
	})
}

func classicOnly(o *FrontOptions) { o.classic = true }

func needEBPF(t *testing.T) {
	t.Helper()
	if err := canEBPF(); err != nil {
		missing(t, "no eBPF program can be loaded (run as root): "+err.Error())
	}
}

func hashOnly(on bool) func(*FrontOptions) { return func(o *FrontOptions) { o.Hash = on } }

// With nobody live, connections wait for those that are expected, and only when
// there are none does clusterd accept them.
func TestNobodyIsLive(t *testing.T) {
	withBoth(t, testNobodyIsLive)
	t.Run("hash", func(t *testing.T) { testNobodyIsLive(t, hashOnly(true)) })
}

func testNobodyIsLive(t *testing.T, program func(*FrontOptions)) {
	s := newStage(t, anyIPv4, program)
	a, b := s.start(Owner{0, 1}), s.start(Owner{1, 1})
	a.exit()
	s.Ended(Owner{0, 1})
	s.connect(20)
	eventually(t, "the live slot has all", func() bool { return s.queueOf(1) == 20 })
	b.exit()
	s.Ended(Owner{1, 1})
	s.connect(20)
	eventually(t, "both slots have some", func() bool { return s.queueOf(0)+s.queueOf(1) == 40 && s.queueOf(0) > 0 && s.queueOf(1) > 20 })
	if len(s.orphans) > 0 {
		t.Error("clusterd accepted what could wait")
	}
	third := s.start(Owner{2, 1}).serve()
	if err := s.Drain(t.Context(), Owner{2, 1}); err != nil {
		t.Fatal(err)
	}
	s.GiveUp(0)
	s.GiveUp(1)
	eventually(t, "the queues are handed over", func() bool { return len(s.orphans) == 40 })
	eventually(t, "only the drained slot is left", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.held) == 1
	})
	s.connect(20)
	eventually(t, "strays are handed over", func() bool { return len(s.orphans) == 60 })
	if third.served() != 0 {
		t.Error("the drained slot got connections")
	}
	if s.opts.Hash {
		s.Admit(Owner{2, 1})
		s.rests()
		s.connect(20)
		eventually(t, "the kernel chooses the only slot", func() bool { return third.served() == 20 })
	}
}

// What waits for a dead process is served by its successor, on the same socket.
func TestSuccessorGetsTheQueue(t *testing.T) {
	withBoth(t, testSuccessorGetsTheQueue)
}

func testSuccessorGetsTheQueue(t *testing.T, program func(*FrontOptions)) {
	for _, shut := range []bool{false, true} {
		t.Run(fmt.Sprintf("shut down %v", shut), func(t *testing.T) {
			s := newStage(t, anyIPv4, program)
			v := s.start(Owner{0, 1})
			if _, ok := s.Vacant(0, s.at); ok {
				t.Error("the socket of a living process is vacant")
			}
			const n = 200
			if shut { // the former process has done so: what waited is reset
				if err := unix.Shutdown(v.fd, unix.SHUT_RD); err != nil {
					t.Fatal(err)
				}
				eventually(t, "it is noticed", func() bool { return !s.hasListening(Owner{0, 1}) })
			} else {
				s.connect(n)
			}
			v.exit()
			s.Ended(Owner{0, 1})
			if shut {
				s.start(Owner{1, 1})
			}
			fd, ok := s.Vacant(0, s.at)
			if !ok {
				t.Fatal("nothing is vacant")
			}
			next := &server{t: t, fd: fd}
			t.Cleanup(next.exit)
			if err := s.Occupy(Owner{0, 2}, s.at); err != nil {
				t.Fatal(err)
			}
			if _, ok := s.Vacant(0, s.at); ok {
				t.Error("the socket is vacant still")
			}
			if h := s.heldBy(Owner{0, 2}); !errors.Is(s.arrivals.add(h.fd), unix.EEXIST) {
				t.Error("nobody is told of what arrives there")
			}
			s.Admit(Owner{0, 2})
			next.serve()
			if shut {
				for range n {
					c, err := s.Dial(t.Context(), Owner{0, 2})
					if err != nil {
						t.Fatal(err)
					}
					defer c.Close()
				}
			}
			eventually(t, "all are served", func() bool { return next.served() == n })
			if sockets := s.Sockets(Owner{0, 2}); len(sockets) != 1 || sockets[0].Addr != s.at || sockets[0].Inode == 0 {
				t.Errorf("sockets: %+v", sockets)
			}
		})
	}
}

// Whoever looks at a process in the moment in which it ends leaves its socket to the
// successor, which has what it does not want closed.
func TestLookAtTheDead(t *testing.T) {
	s := newStage(t, anyIPv4)
	old, successor := Owner{0, 1}, Owner{0, 2}
	v := s.start(old)
	clients := s.connect(1)
	v.exit()
	s.Ended(old)
	s.ReleaseVacant(old)
	if n := s.queueOf(0); n != len(clients) {
		t.Errorf("%d wait, want %d", n, len(clients))
	}
	v = s.join(successor)
	s.ReleaseVacant(successor)
	if !s.isVacant(0) {
		t.Error("closed before the successor was ready")
	}
	v.serve()
	s.Admit(successor)
	s.ReleaseVacant(successor)
	eventually(t, "who waited is served by others", func() bool { return v.served()+len(s.orphans) == len(clients) })
	if s.isVacant(0) {
		t.Error("the socket that the successor did not want is there still")
	}
}

// What is done for a process after its end leaves its sockets to the successor.
func TestLateForTheDead(t *testing.T) {
	for name, late := range map[string]func(*stage, Owner){
		"drain": func(s *stage, o Owner) {
			s.start(o).exit()
			s.Ended(o)
			if err := s.Drain(s.t.Context(), o); err != nil {
				s.t.Error(err)
			}
		},
		"join": func(s *stage, o Owner) {
			s.Ended(o)
			s.start(o).exit()
		},
		"occupy": func(s *stage, o Owner) {
			before := Owner{o.Slot, o.Generation - 1}
			s.start(before).exit()
			s.Ended(before)
			s.Ended(o)
			if err := s.Occupy(o, s.at); err != nil {
				s.t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, anyIPv4)
			dead := Owner{0, 2}
			late(s, dead)
			s.connect(1)
			if n := s.queueOf(0); n != 1 {
				t.Errorf("%d wait for the slot, want 1", n)
			}
			if !s.isVacant(0) {
				t.Error("the successor gets nothing")
			}
			s.Forget(dead)
			if len(s.ended) > 1 || len(s.standings) > 1 {
				t.Errorf("remembered: %v, %v", s.ended, s.standings)
			}
		})
	}
}

// isVacant tells whether a slot has something for its next process.
func (s *stage) isVacant(slot int) bool {
	fd, ok := s.Vacant(slot, s.at)
	if ok {
		unix.Close(fd)
	}
	return ok
}

func (s *stage) hasListening(o Owner) bool {
	h := s.heldBy(o)
	s.mu.Lock()
	defer s.mu.Unlock()
	return h != nil && h.listening
}

// heldBy is the held socket of o, or nil.
func (s *stage) heldBy(o Owner) *held {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.held {
		if h.owner == o {
			return h
		}
	}
	return nil
}

// A slot that gives up loses nothing of its queue.
func TestGiveUp(t *testing.T) {
	s := newStage(t, anyIPv4, classicOnly)
	v := s.start(Owner{0, 1})
	const n = 200
	clients := s.connect(n)
	v.exit()
	s.Ended(Owner{0, 1})
	s.start(Owner{1, 1})
	s.GiveUp(0)
	for range n {
		c := <-s.orphans
		if _, err := c.Write([]byte("x")); err != nil {
			t.Error(err)
		}
		c.Close()
	}
	for _, c := range clients {
		if b, err := io.ReadAll(c); string(b) != "x" || err != nil {
			t.Fatalf("a client got %q, %v", b, err)
		}
	}
	eventually(t, "the slot is gone", func() bool { _, ok := s.Queue(0); return !ok })
}

// An application that detaches the program from its own descriptor does not
// change anything for long.
func TestDetachedProgramComesBack(t *testing.T) {
	withBoth(t, testDetachedProgramComesBack)
}

func testDetachedProgramComesBack(t *testing.T, program func(*FrontOptions)) {
	s := newStage(t, anyIPv4, program)
	v := s.start(Owner{0, 1})
	s.start(Owner{1, 1})
	if err := s.Drain(t.Context(), Owner{1, 1}); err != nil {
		t.Fatal(err)
	}
	if err := unix.SetsockoptInt(v.fd, unix.SOL_SOCKET, unix.SO_DETACH_REUSEPORT_BPF, 0); err != nil {
		t.Fatal(err)
	}
	exact := func() bool {
		before := s.queueOf(1)
		for range 20 {
			c, err := s.Dial(t.Context(), Owner{1, 1})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
		}
		return s.queueOf(1) == before+20
	}
	if exact() {
		t.Error("the program is not detached")
	}
	eventually(t, "the program is back", exact)
}

// Sockets that cannot be steered are told apart.
func TestUnsteered(t *testing.T) {
	t.Run("by choice", func(t *testing.T) {
		s := newStage(t, anyIPv4, hashOnly(true))
		s.start(Owner{0, 1})
		if c, err := s.Dial(t.Context(), Owner{0, 1}); err != nil {
			t.Error("the only slot:", err)
		} else {
			if from := c.LocalAddr().String(); !strings.HasPrefix(from, "127.77.") {
				t.Errorf("it is asked from %s, as any client does", from)
			}
			c.Close()
		}
		s.start(Owner{1, 1})
		s.rests()
		if _, err := s.Dial(t.Context(), Owner{0, 1}); !errors.Is(err, ErrInexact) {
			t.Errorf("%v, want %v", err, ErrInexact)
		}
		s.connect(40)
		eventually(t, "all are queued in slots", func() bool { return s.queueOf(0)+s.queueOf(1) == 41 })
	})
	t.Run("in an order that cannot be learnt", func(t *testing.T) {
		s := newStage(t, anyIPv4, classicOnly).unwatched()
		const n = mostLearnt + 2
		for slot := range n {
			if err := s.JoinListening(Owner{slot, 1}, s.listens()); err != nil {
				t.Fatal(err)
			}
		}
		s.connect(40)
		all := func() (sum int) {
			for slot := range n {
				sum += s.queueOf(slot)
			}
			return sum
		}
		eventually(t, "all are queued in slots", func() bool { return all() == 40 })
		if why := s.Steered()[s.at]; !strings.Contains(why, "more than 64") {
			t.Errorf("not steered, since %q", why)
		}
	})
	t.Run("a stranger listens", func(t *testing.T) {
		s := newStage(t, anyIPv4)
		fd := s.bound()
		defer unix.Close(fd)
		if err := unix.Listen(fd, 10); err != nil {
			t.Fatal(err)
		}
		s.start(Owner{0, 1})
		if s.Steered()[s.at] == "" {
			t.Error("it says that it is steered")
		}
	})
	t.Run("Multipath TCP", func(t *testing.T) {
		s := newStage(t, anyIPv4)
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_MPTCP)
		if err != nil {
			missing(t, "this kernel has no Multipath TCP")
		}
		if err := s.Join(Owner{0, 1}, fd, 10); err == nil {
			t.Error("joined")
		} else {
			t.Log(err)
		}
	})
}

// Close ends a Drain, a retreat and everything else.
func TestCloseEndsEverything(t *testing.T) {
	s := newStage(t, anyIPv4)
	s.start(Owner{0, 1})
	s.connect(3)
	drained := make(chan error)
	go func() { drained <- s.Drain(context.Background(), Owner{0, 1}) }()
	s.Release(Owner{0, 1})
	s.Close()
	<-drained
	if err := s.Join(Owner{0, 2}, s.bound(), 10); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v, want %v", err, net.ErrClosed)
	}
}

// The own socket joins the group of a server that runs as another user.
func TestAnotherUsersSockets(t *testing.T) {
	if unix.Geteuid() != 0 {
		missing(t, "run as root: only root makes a socket another user's")
	}
	withBoth(t, func(t *testing.T, program func(*FrontOptions)) {
		s := newStage(t, dualStack, program).unwatched()
		for slot := range 3 {
			fd, err := s.at.join(65534)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Join(Owner{slot, 1}, fd, 0); err != nil {
				t.Fatal(err)
			}
			s.Admit(Owner{slot, 1})
		}
		if why := s.Steered()[s.at]; why != "" {
			t.Error("not steered:", why)
		}
		for slot := range 3 {
			c, err := s.Dial(t.Context(), Owner{Slot: slot})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			eventually(t, "the slot has it", func() bool { return s.queueOf(slot) == 1 })
		}
	})
}

// Steered says how new connections are spread at every address: "" for steering,
// otherwise the reason why the kernel's hash chooses.
func (f *Front) Steered() map[Addr]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := map[Addr]string{}
	for _, c := range f.cohorts {
		out[c.addr] = c.why
	}
	return out
}
