package kernel

import (
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"clusterd/internal/traffic"
)

// a stage is a listening socket of this process that is watched.
type stage struct {
	t  *testing.T
	ln net.Listener
	w  *Watch
}

func newStage(t *testing.T, opts Options) *stage {
	t.Helper()
	return newStageAt(t, "127.0.0.1:0", opts)
}

func newStageAt(t *testing.T, at string, opts Options) *stage {
	t.Helper()
	var config net.ListenConfig
	config.SetMultipathTCP(false)
	ln, err := config.Listen(t.Context(), "tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{t: t, ln: ln, w: &Watch{}}
	opts.Port = ln.Addr().(*net.TCPAddr).Port
	if opts.Members == nil {
		opts.Members = func() map[int][]int { return nil }
	}
	if opts.SlotOf == nil {
		opts.SlotOf = func(client, local netip.AddrPort, _ time.Time) (int, bool) {
			t.Errorf("nobody knows of %v to %v", client, local)
			return 0, false
		}
	}
	if err := s.w.Open(opts); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ln.Close()
		s.w.Close()
	})
	return s
}

// pair is a connection, both ends of it.
func (s *stage) pair() (client, server net.Conn) {
	s.t.Helper()
	return s.pairFrom("")
}

// pairFrom is pair with a client's address.
func (s *stage) pairFrom(ip string) (client, server net.Conn) {
	s.t.Helper()
	client, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}).Dial("tcp", s.ln.Addr().String())
	if err != nil {
		s.t.Fatal(err)
	}
	server, err = s.ln.Accept()
	if err != nil {
		s.t.Fatal(err)
	}
	return client, server
}

// converse has n requests answered on a connection.
func (s *stage) converse(client, server net.Conn, n int) {
	s.t.Helper()
	buf := make([]byte, 100)
	for range n {
		if _, err := client.Write(buf[:30]); err != nil {
			s.t.Fatal(err)
		}
		if _, err := io.ReadFull(server, buf[:30]); err != nil {
			s.t.Fatal(err)
		}
		if _, err := server.Write(buf); err != nil {
			s.t.Fatal(err)
		}
		if _, err := io.ReadFull(client, buf); err != nil {
			s.t.Fatal(err)
		}
	}
}

// await waits for the totals of a slot to be as wanted.
func (s *stage) await(slot int, want traffic.Totals) {
	s.t.Helper()
	want.Estimated, want.NoStatus = true, true
	var got traffic.Totals
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if got = s.w.Source(slot).Totals(); got == want {
			return
		}
	}
	s.t.Errorf("slot %d:\ngot  %+v\nwant %+v", slot, got, want)
}

// What a process of a slot has open is the slot's, while it is open and after.
func TestOpenConnections(t *testing.T) {
	s := newStage(t, Options{Members: func() map[int][]int { return map[int][]int{3: {os.Getpid()}} }})
	client, server := s.pair()
	s.converse(client, server, 5)
	open := traffic.Totals{ConnsOpen: 1, ConnsTotal: 1, Requests: 5, BytesIn: 150, BytesOut: 500}
	s.await(3, open)
	s.await(2, traffic.Totals{})
	s.converse(client, server, 2)
	open.Requests, open.BytesIn, open.BytesOut = 7, 210, 700
	s.await(3, open)
	client.Close()
	server.Close()
	open.ConnsOpen = 0
	s.await(3, open)
	s.await(2, traffic.Totals{})
}

// What clusterd asks itself is nobody's, whether it has been seen before it is told
// or not, and what others ask is.
func TestOwnConnections(t *testing.T) {
	if ln, err := net.Listen("tcp", "[::1]:0"); err != nil {
		t.Skip("SKIPPED, NOT TESTED: this machine has no IPv6: ", err)
	} else {
		ln.Close()
	}
	for _, tt := range []struct {
		name, listen, from string
		seen, told         bool
	}{
		{"IPv4", "127.0.0.1:0", "127.77.3.4", false, false},
		{"both families", "[::]:0", "", false, true},
		{"IPv6", "[::1]:0", "", false, true},
		{"IPv6, seen before", "[::1]:0", "", true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStageAt(t, tt.listen, Options{
				Members: func() map[int][]int { return map[int][]int{3: {os.Getpid()}} },
				SlotOf:  func(_, _ netip.AddrPort, _ time.Time) (int, bool) { return 3, true },
			})
			client, server := s.pairFrom(tt.from)
			if tt.seen {
				s.await(3, traffic.Totals{ConnsOpen: 1, ConnsTotal: 1})
			}
			if tt.told {
				s.w.Own(client.LocalAddr().(*net.TCPAddr).AddrPort())
			}
			s.converse(client, server, 2)
			client.Close()
			server.Close()
			client, server = s.pair()
			s.converse(client, server, 1)
			client.Close()
			server.Close()
			s.await(3, traffic.Totals{ConnsTotal: 1, Requests: 1, BytesIn: 30, BytesOut: 100})
		})
	}
}

// Connections that nobody is seen to have are those of whom they were steered to.
func TestShortConnections(t *testing.T) {
	const conns, slots = 200, 4
	of := func(client netip.AddrPort) int { return int(client.Port()/2) % slots }
	s := newStage(t, Options{SlotOf: func(client, _ netip.AddrPort, _ time.Time) (int, bool) { return of(client), true }})
	var want [slots]traffic.Totals
	for range conns {
		client, server := s.pair()
		w := &want[of(client.LocalAddr().(*net.TCPAddr).AddrPort())]
		s.converse(client, server, 1)
		client.Close()
		server.Close()
		*w = w.Add(traffic.Totals{ConnsTotal: 1, Requests: 1, BytesIn: 30, BytesOut: 100})
	}
	for slot := range slots {
		s.await(slot, want[slot])
	}
}

// Of connections that cannot be told whose they were, it is said that they are
// missing, and what was taken for itself by clusterd is nobody's.
func TestNobodysConnections(t *testing.T) {
	asked := make(chan time.Time, 1)
	s := newStage(t, Options{SlotOf: func(_, _ netip.AddrPort, since time.Time) (int, bool) {
		asked <- since
		return 0, false
	}})
	client, server := s.pair()
	client.Close()
	server.Close()
	if since := <-asked; time.Since(since) < 0 {
		t.Errorf("it began after %v", since)
	}
	s.await(0, traffic.Totals{ConnsInexact: true})
}

// What was counted stays when a Watch is closed, and goes on when it is opened again.
func TestClosedWatchRemembers(t *testing.T) {
	opts := Options{Members: func() map[int][]int { return map[int][]int{0: {os.Getpid()}} }}
	s := newStage(t, opts)
	opts.SlotOf = func(_, _ netip.AddrPort, _ time.Time) (int, bool) { return 0, true }
	opts.Port = s.ln.Addr().(*net.TCPAddr).Port
	client, server := s.pair()
	s.converse(client, server, 1)
	s.w.Close()
	s.await(0, traffic.Totals{ConnsTotal: 1, Requests: 1, BytesIn: 30, BytesOut: 100})
	client.Close()
	server.Close()
	if err := s.w.Open(opts); err != nil {
		t.Fatal(err)
	}
	client, server = s.pair()
	s.converse(client, server, 1)
	s.await(0, traffic.Totals{ConnsOpen: 1, ConnsTotal: 2, Requests: 2, BytesIn: 60, BytesOut: 200})
	client.Close()
	server.Close()
	s.await(0, traffic.Totals{ConnsTotal: 2, Requests: 2, BytesIn: 60, BytesOut: 200})
}

// Many connections at once, short and long, add up while they are read.
func TestManyConnections(t *testing.T) {
	s := newStage(t, Options{
		Members: func() map[int][]int { return map[int][]int{0: {os.Getpid()}} },
		SlotOf:  func(_, _ netip.AddrPort, _ time.Time) (int, bool) { return 0, true },
	})
	end := s.echo()
	const workers, each = 8, 60
	var clients sync.WaitGroup
	for range workers {
		clients.Go(func() {
			for range each {
				conn, err := net.Dial("tcp", s.ln.Addr().String())
				if err != nil {
					t.Error(err)
					return
				}
				conn.Write([]byte("hello"))
				io.ReadFull(conn, make([]byte, 5))
				conn.Close()
			}
		})
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		clients.Wait()
	}()
	var before traffic.Totals
	for done := false; !done; {
		select {
		case <-over:
			done = true
		default:
			now := s.w.Source(0).Totals()
			if now.ConnsTotal < before.ConnsTotal || now.BytesIn < before.BytesIn {
				t.Errorf("a total went down: %+v after %+v", now, before)
			}
			before = now
		}
	}
	s.await(0, traffic.Totals{ConnsTotal: workers * each, Requests: workers * each, BytesIn: 5 * workers * each, BytesOut: 5 * workers * each})
	end()
}

// echo serves until end is called, which blocks until nobody is served any more.
func (s *stage) echo() (end func()) {
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := s.ln.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				io.Copy(conn, conn)
				conn.Close()
			})
		}
	})
	return func() {
		s.ln.Close()
		serving.Wait()
	}
}
