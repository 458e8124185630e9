package port

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"clusterd/internal/handover"
)

// carry has a state carried as it would be to the next program.
func carry[T any](t *testing.T, b *handover.Bag, st T) (out T) {
	t.Helper()
	if err := b.Pack("state", st); err != nil {
		t.Fatal(err)
	}
	if err := b.Unpack("state", &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// handOver has another Front go on in the place of the stage's. between is done
// while there is none.
func (s *stage) handOver(between func(*FrontState)) {
	s.t.Helper()
	s.takeOver(between, TakeFront)
}

func (s *stage) takeOver(between func(*FrontState), take func(FrontOptions, FrontState, *handover.Bag) (*Front, error)) {
	s.t.Helper()
	b := handover.NewBag()
	st, err := s.HandOver(b)
	if err != nil {
		s.t.Fatal(err)
	}
	st = carry(s.t, b, st)
	between(&st)
	f, err := take(s.opts, st, b)
	if err != nil {
		s.t.Fatal(err)
	}
	b.Close()
	s.Front = f
}

func leave(*FrontState) {}

// While one Front after the other takes over, every connection is served by a slot
// that is live, what waits for a slot goes on to wait, and slots come and go as
// before.
func TestFrontHandOver(t *testing.T) {
	withBoth(t, testFrontHandOver)
	t.Run("hash", func(t *testing.T) { testFrontHandOver(t, hashOnly(true)) })
}

const orphaned = 255 // greets for clusterd

func testFrontHandOver(t *testing.T, program func(*FrontOptions)) {
	var holds atomic.Int32
	s := newStage(t, dualStack, program, func(o *FrontOptions) {
		o.Orphan = func(c net.Conn) { // on a machine under load, a server may seem stuck
			c.Write([]byte{orphaned, orphaned})
			c.Close()
		}
		o.Hold = func(int, int) { holds.Add(1) }
	})
	s.start(Owner{0, 1}).greet(Owner{0, 1})
	s.start(Owner{1, 1}).greet(Owner{1, 1})
	s.start(Owner{2, 1}).exit()
	s.Ended(Owner{2, 1})
	s.start(Owner{3, 1}).greet(Owner{3, 1})
	if err := s.Drain(t.Context(), Owner{3, 1}); err != nil {
		t.Fatal(err)
	}
	const n = 20
	var waiting []net.Conn
	for range n {
		c, err := s.Dial(t.Context(), Owner{Slot: 2})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		waiting = append(waiting, c)
	}
	eventually(t, "they wait for the vacant slot", func() bool { return s.queueOf(2) == n })

	// may tells which slots may serve a connection that begins now.
	var may sync.Map
	may.Store(0, true)
	may.Store(1, true)
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
				by, err := s.whoServes()
				if err != nil {
					t.Error("a connection is lost:", err)
					return
				}
				if _, ok := may.Load(by.Slot); !ok && by.Slot != orphaned {
					t.Error("a connection reached", by)
				}
			}
		})
	}
	for range 3 {
		s.handOver(func(*FrontState) {
			for range 10 {
				if by, err := s.whoServes(); err != nil || by.Slot > 1 && by.Slot != orphaned {
					t.Errorf("while nobody looks, %v serves: %v", by, err)
				}
			}
			c, err := s.DialAny(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
		})
	}
	if got := s.queueOf(2); got != n {
		t.Errorf("%d wait for the vacant slot, want %d", got, n)
	}
	if got := holds.Load(); got != 4 {
		t.Errorf("Hold was called %d times for 4 sockets", got)
	}

	may.Store(2, true)
	fd, ok := s.Vacant(2, s.at)
	if !ok {
		t.Fatal("nothing is vacant")
	}
	next := &server{t: t, fd: fd}
	t.Cleanup(next.exit)
	if err := s.Occupy(Owner{2, 2}, s.at); err != nil {
		t.Fatal(err)
	}
	next.greet(Owner{2, 2})
	for _, c := range waiting {
		var who [2]byte
		if _, err := io.ReadFull(c, who[:]); err != nil || who != [2]byte{2, 2} {
			t.Fatalf("who has waited for slot 2 is served by %v: %v", who, err)
		}
	}
	s.Admit(Owner{2, 2})
	for slot := range 2 {
		if err := s.Drain(t.Context(), Owner{slot, 1}); err != nil {
			t.Fatal(err)
		}
		if slot == 0 {
			s.handOver(leave)
		}
	}
	if by, err := s.whoServes(); err != nil || by.Slot != 2 && by.Slot != orphaned {
		t.Errorf("%v serves, though only slot 2 is live: %v", by, err)
	}
	may.Store(3, true)
	s.Admit(Owner{3, 1})
	s.Admit(Owner{0, 1})
	s.Admit(Owner{1, 1})
	if s.opts.Hash {
		s.rests()
		s.handOver(leave)
		s.rests()
	}
	close(stop)
	clients.Wait()
}

// What has come for nobody while there was no Front is taken by the next one.
func TestStraysAreHandedOver(t *testing.T) {
	withBoth(t, testStraysAreHandedOver)
	t.Run("hash", func(t *testing.T) { testStraysAreHandedOver(t, hashOnly(true)) })
}

func testStraysAreHandedOver(t *testing.T, program func(*FrontOptions)) {
	var taken atomic.Int32
	s := newStage(t, anyIPv4, program, func(o *FrontOptions) {
		o.Taken = func(slot int, _ net.Conn) {
			if slot != own {
				t.Errorf("one is taken from slot %d", slot)
			}
			taken.Add(1)
		}
	})
	s.start(Owner{0, 1})
	if err := s.Drain(t.Context(), Owner{0, 1}); err != nil {
		t.Fatal(err)
	}
	const n = 20
	for round := 1; round <= 3; round++ {
		s.connect(n) // some of them are not accepted yet
		s.handOver(func(*FrontState) { s.connect(n) })
		eventually(t, "all are given away", func() bool { return len(s.orphans) == 2*n*round && int(taken.Load()) == 2*n*round })
	}
}

// What a slot that is being released leaves goes to others, though the Front is
// handed over meanwhile.
func TestReleaseIsHandedOver(t *testing.T) {
	s := newStage(t, anyIPv4, classicOnly)
	s.start(Owner{0, 1}).exit()
	s.Ended(Owner{0, 1})
	const n = 200
	s.connect(n)
	s.start(Owner{1, 1})
	s.GiveUp(0)
	s.handOver(leave)
	s.handOver(leave)
	eventually(t, "all are given away", func() bool { return len(s.orphans) == n })
	eventually(t, "the slot is gone", func() bool { _, ok := s.Queue(0); return !ok })
}

// Sockets that stop listening while nobody looks change the kernel's order.
func TestSocketsAreShutWhileHandedOver(t *testing.T) {
	withBoth(t, func(t *testing.T, program func(*FrontOptions)) {
		s := newStage(t, anyIPv4, program).unwatched()
		var servers []*server
		for _, o := range owners(6) {
			servers = append(servers, s.start(o))
		}
		s.takeOver(func(*FrontState) {
			for _, slot := range []int{1, 3} {
				if err := unix.Shutdown(servers[slot].fd, unix.SHUT_RD); err != nil {
					t.Fatal(err)
				}
			}
		}, takeFront)
		for _, slot := range []int{0, 2, 4, 5} {
			c, err := s.Dial(t.Context(), Owner{Slot: slot})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			eventually(t, "the slot has it", func() bool { return s.queueOf(slot) == 1 })
		}
		if _, err := s.Dial(t.Context(), Owner{Slot: 1}); !errors.Is(err, ErrNotListening) {
			t.Errorf("%v, want %v", err, ErrNotListening)
		}
	})
}

// Loads are handed over with the program; where the program is another version's, it
// is replaced.
func TestLoadsAreHandedOver(t *testing.T) {
	needEBPF(t)
	for name, revision := range map[string]int{"taken": leastLoadedRevision, "replaced": leastLoadedRevision - 1} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, anyIPv4).unwatched()
			const slots, each = 3, 20
			for _, o := range owners(slots + 1) {
				s.start(o)
			}
			s.Ended(Owner{slots, 1})
			s.connect(slots * each)
			for slot := range slots {
				eventually(t, "every slot has its share", func() bool { return s.queueOf(slot) == each })
			}
			s.takeOver(func(st *FrontState) { st.Cohorts[0].LeastLoaded.Revision = revision }, takeFront)
			for slot := range slots {
				if load := s.loadOf(slot); name == "taken" && load != each {
					t.Errorf("slot %d has %d connections for the program, want %d", slot, load, each)
				}
			}
			c := s.connect(1)[0]
			client, local := addrPorts(t, c)
			if _, ok := s.SlotOf(client, local, time.Now()); !ok {
				t.Error("it cannot be told whose a connection is")
			}
			s.connect(slots*each - 1)
			for slot := range slots {
				eventually(t, "every slot has its share again", func() bool { return s.queueOf(slot) == 2*each })
			}
			if got := s.queueOf(slots); got != 0 {
				t.Errorf("%d came to the vacant slot", got)
			}
		})
	}
}

// It is known what former programs chose, and a queue that stood still is known to.
func TestFrontHandOverKeepsWhatItKnows(t *testing.T) {
	s := newStage(t, anyIPv4, classicOnly, func(o *FrontOptions) { o.Even = true }).unwatched()
	s.start(Owner{0, 1})
	s.join(Owner{1, 1})
	begun := time.Now()
	client, local := addrPorts(t, s.connect(1)[0])
	s.Admit(Owner{1, 1})
	s.Ended(Owner{0, 1}) // from here on, all go to the other
	s.mu.Lock()
	for _, h := range s.held {
		h.watch.shunned, h.watch.robbed, h.watch.since = h.owner.Slot == 1, true, begun
	}
	s.mu.Unlock()
	if _, ok := s.SlotOf(client, local, begun); ok {
		t.Fatal("what has changed meanwhile is told for sure")
	}
	s.takeOver(leave, takeFront)
	if _, ok := s.SlotOf(client, local, begun); ok {
		t.Error("what has changed meanwhile is told for sure")
	}
	if slot, ok := s.SlotOf(client, local, time.Now().Add(time.Minute)); slot != 1 || !ok {
		t.Errorf("slot %d, %v, want 1", slot, ok)
	}
	if since, ok := s.Stuck(1); !ok || !since.Equal(begun) {
		t.Errorf("stuck since %v, %v, want %v", since, ok, begun)
	}
	if _, ok := s.Stuck(0); ok {
		t.Error("a slot is stuck that was not")
	}
}

// A Front that has ended is not handed over, and one of which something is missing is
// not taken.
func TestFrontIsNotHandedOver(t *testing.T) {
	s := newStage(t, anyIPv4)
	s.start(Owner{0, 1})
	b := handover.NewBag()
	st, err := s.HandOver(b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.HandOver(handover.NewBag()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v, want %v", err, net.ErrClosed)
	}
	if _, err := TakeFront(s.opts, st, handover.NewBag()); err == nil {
		t.Error("taken out of an empty bag")
	}
	b.Close()
}

func addrPorts(t *testing.T, c net.Conn) (client, local netip.AddrPort) {
	t.Helper()
	return c.LocalAddr().(*net.TCPAddr).AddrPort(), c.RemoteAddr().(*net.TCPAddr).AddrPort()
}
