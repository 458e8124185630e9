package kernel

import (
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"clusterd/internal/handover"
	"clusterd/internal/traffic"
)

// takeOver does to the Watch what an upgrade does; meanwhile is done while no program
// runs.
func (s *stage) takeOver(opts Options, meanwhile func()) {
	s.t.Helper()
	opts.Port = s.ln.Addr().(*net.TCPAddr).Port
	b := handover.NewBag()
	st, err := s.w.HandOver(b)
	if err == nil {
		err = b.Pack("watch", st)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	meanwhile()
	var carried WatchState
	if err := b.Unpack("watch", &carried); err != nil {
		s.t.Fatal(err)
	}
	s.w = &Watch{}
	if err := s.w.Take(opts, carried, b); err != nil {
		s.t.Fatal(err)
	}
	b.Close()
}

// Connections that begin, go on or end while no program runs are counted like all
// others, and what is nobody's stays so.
func TestHandOver(t *testing.T) {
	opts := Options{
		Members: func() map[int][]int { return map[int][]int{3: {os.Getpid()}} },
		SlotOf:  func(_, _ netip.AddrPort, _ time.Time) (int, bool) { return 3, true },
	}
	s := newStage(t, opts)
	var want traffic.Totals
	converse := func(client, server net.Conn, n int) {
		t.Helper()
		s.converse(client, server, n)
		want.Requests += uint64(n)
		want.BytesIn += 30 * uint64(n)
		want.BytesOut += 100 * uint64(n)
	}
	open := func(n int) (client, server net.Conn) {
		t.Helper()
		client, server = s.pair()
		converse(client, server, n)
		want.ConnsTotal++
		want.ConnsOpen++
		return client, server
	}
	shut := func(client, server net.Conn) {
		client.Close()
		server.Close()
		want.ConnsOpen--
	}
	shut(open(1))
	longClient, longServer := open(2)
	goingClient, goingServer := open(1)
	ownClient, ownServer := s.pair()
	s.w.Own(ownClient.LocalAddr().(*net.TCPAddr).AddrPort())
	s.await(3, want)
	s.takeOver(opts, func() {
		converse(longClient, longServer, 3)
		converse(goingClient, goingServer, 1)
		shut(goingClient, goingServer)
		for range 100 {
			shut(open(1))
		}
	})
	newClient, newServer := open(1)
	s.await(3, want)
	s.takeOver(opts, func() { shut(newClient, newServer) })
	converse(longClient, longServer, 1)
	s.await(3, want)
	s.converse(ownClient, ownServer, 1)
	ownClient.Close()
	ownServer.Close()
	shut(longClient, longServer)
	s.await(3, want)
	s.await(2, traffic.Totals{})
}

// What clusterd has asked itself, and was open when a Watch was closed, is known to
// the next program as well: it counts neither.
func TestClosedWatchIsHandedOver(t *testing.T) {
	opts := Options{
		Members: func() map[int][]int { return map[int][]int{0: {os.Getpid()}} },
		SlotOf:  func(_, _ netip.AddrPort, _ time.Time) (int, bool) { return 0, true },
	}
	s := newStage(t, opts)
	client, server := s.pair()
	s.converse(client, server, 1)
	s.w.Close()
	want := traffic.Totals{ConnsTotal: 1, Requests: 1, BytesIn: 30, BytesOut: 100}
	s.await(0, want)
	s.takeOver(Options{}, func() {})
	s.await(0, want)
	opts.Port = s.ln.Addr().(*net.TCPAddr).Port
	if err := s.w.Open(opts); err != nil {
		t.Fatal(err)
	}
	client.Close()
	server.Close()
	client, server = s.pair()
	s.converse(client, server, 1)
	client.Close()
	server.Close()
	want = want.Add(want)
	s.await(0, want)
}

// awaitLook waits until a look has been taken, and another one asked for.
func (s *stage) awaitLook() {
	s.w.mu.Lock()
	before := s.w.looks
	s.w.mu.Unlock()
	for now := before; now == before; time.Sleep(time.Millisecond) {
		s.w.mu.Lock()
		now = s.w.looks
		s.w.mu.Unlock()
	}
	s.w.LookSoon()
}

// What cannot be taken is an error. The Watch can be opened again, and does not say
// that it has seen everything.
func TestWhatCannotBeTaken(t *testing.T) {
	opts := Options{Members: func() map[int][]int { return map[int][]int{0: {os.Getpid()}} }}
	s := newStage(t, opts)
	client, server := s.pair()
	defer client.Close()
	defer server.Close()
	b := handover.NewBag()
	st, err := s.w.HandOver(b)
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
	s.w = &Watch{}
	if err := s.w.Take(opts, st, b); err == nil {
		t.Error("a socket that is closed was taken")
	}
	opts.Port = s.ln.Addr().(*net.TCPAddr).Port
	if err := s.w.Open(opts); err != nil {
		t.Fatal(err)
	}
	s.await(0, traffic.Totals{ConnsOpen: 1, ConnsTotal: 1, ConnsInexact: true})
}

// However often a Watch is handed over, it has no socket when it is closed.
func TestHandOverLeavesNothingOpen(t *testing.T) {
	netlinks := func() (n int) {
		t.Helper()
		all, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range all {
			fd, err := strconv.Atoi(entry.Name())
			if err != nil {
				t.Fatal(err)
			}
			if domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN); err == nil && domain == unix.AF_NETLINK {
				n++
			}
		}
		return n
	}
	opts := Options{Members: func() map[int][]int { return nil }}
	s := newStage(t, opts)
	for range 5 {
		s.takeOver(opts, func() {})
	}
	s.w.Close()
	if n := netlinks(); n != 0 {
		t.Errorf("%d sockets are open", n)
	}
	opts.Port = s.ln.Addr().(*net.TCPAddr).Port
	if err := s.w.Open(opts); err != nil { // for the stage to close
		t.Fatal(err)
	}
}

// Many connections, short and long, are counted once each, however often the Watch is
// handed over.
func TestHandOverUnderTraffic(t *testing.T) {
	opts := Options{
		Members: func() map[int][]int { return map[int][]int{0: {os.Getpid()}} },
		SlotOf:  func(_, _ netip.AddrPort, _ time.Time) (int, bool) { return 0, true },
	}
	s := newStage(t, opts)
	end := s.echo()
	const workers, each = 6, 60
	var clients sync.WaitGroup
	var sent [workers]uint64
	for worker := range workers {
		clients.Go(func() {
			for i := range each {
				conn, err := net.Dial("tcp", s.ln.Addr().String())
				if err != nil {
					t.Error(err)
					return
				}
				for range 1 + i%7 {
					conn.Write([]byte("hello"))
					io.ReadFull(conn, make([]byte, 5))
					sent[worker]++
				}
				conn.Close()
			}
		})
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		clients.Wait()
	}()
	for round, done := 0, false; !done; round++ {
		select {
		case <-over:
			done = true
		default:
		}
		s.takeOver(opts, func() {})
		if round%4 == 0 {
			s.awaitLook()
		}
	}
	var n uint64
	for _, m := range sent {
		n += m
	}
	// With so many looks, one may meet a client's end in the moment between the state
	// and the bytes that the kernel tells of: it counts as a byte.
	in := s.w.Source(0).Totals().BytesIn
	for late := time.Now().Add(30 * time.Second); in < 5*n && time.Now().Before(late); in = s.w.Source(0).Totals().BytesIn {
		time.Sleep(5 * time.Millisecond)
	}
	if in > 5*n+5 {
		t.Errorf("%d bytes in, want %d", in, 5*n)
	}
	s.await(0, traffic.Totals{ConnsTotal: workers * each, Requests: n, BytesIn: in, BytesOut: 5 * n})
	end()
}
