package port

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long a test waits for what has to happen.
const patience = 90 * time.Second

func open(t *testing.T, host string, port int) *Group {
	t.Helper()
	g, err := Open(host, port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

func hold(t *testing.T, g *Group, slots ...int) {
	t.Helper()
	for _, slot := range slots {
		if err := g.Hold(slot); err != nil {
			t.Fatal(err)
		}
	}
}

func dial(t *testing.T, host string, port int) net.Conn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(host, strconv.Itoa(port)), patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// queued waits until the slots have that many connections in their queues, all
// together: a connection is complete for its client a moment before the last
// segment of the handshake puts it into the queue.
func queued(t *testing.T, g *Group, want uint64, slots ...int) {
	t.Helper()
	var sum uint64
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		sum = 0
		for _, slot := range slots {
			n, ok := g.Queue(slot)
			if !ok {
				t.Fatalf("slot %d has no queue", slot)
			}
			sum += n
		}
		if sum == want {
			return
		}
	}
	t.Fatalf("%d connections are queued, want %d", sum, want)
}

// Connections complete and wait while no process accepts.
func TestConnectionsWait(t *testing.T) {
	closesAll(t)
	port := freePort(t)
	g := open(t, "127.0.0.1", port)
	if _, ok := g.Queue(0); ok {
		t.Error("a slot that was never held has a queue")
	}
	hold(t, g, 0, 1)
	hold(t, g, 1) // changes nothing
	queued(t, g, 0, 0, 1)
	const n = 40
	for i := range n {
		if _, err := dial(t, "127.0.0.1", port).Write([]byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
	}
	queued(t, g, n, 0, 1)
	for _, slot := range []int{0, 1} {
		// The kernel hashes: of 40 connections, none to one of two slots has a
		// chance of 2^-39.
		if waiting, _ := g.Queue(slot); waiting == 0 {
			t.Errorf("slot %d has no connection", slot)
		}
	}
	// Whoever accepts gets all of them, with what they sent.
	seen := map[byte]bool{}
	for _, slot := range []int{0, 1} {
		waiting, _ := g.Queue(slot)
		for _, l := range listeners(t, g, slot) {
			for range waiting {
				conn, err := l.Accept()
				if err != nil {
					t.Fatal(err)
				}
				var b [1]byte
				if _, err := io.ReadFull(conn, b[:]); err != nil {
					t.Error(err)
				}
				seen[b[0]] = true
				conn.Close()
			}
		}
	}
	if len(seen) != n {
		t.Errorf("%d of %d connections were there", len(seen), n)
	}
	queued(t, g, 0, 0, 1)
}

func listeners(t *testing.T, g *Group, slot int) []net.Listener {
	t.Helper()
	all, err := g.Listeners(slot)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range all {
		t.Cleanup(func() { l.Close() })
	}
	return all
}

// A duplicate may be closed, as by a process that dies: nothing that waits is lost.
func TestQueueOutlivesWhoServes(t *testing.T) {
	closesAll(t)
	port := freePort(t)
	g := open(t, "127.0.0.1", port)
	hold(t, g, 0)
	first := listeners(t, g, 0)[0]
	conn := dial(t, "127.0.0.1", port)
	queued(t, g, 1, 0)
	first.Close()
	queued(t, g, 1, 0)
	served, err := listeners(t, g, 0)[0].Accept()
	if err != nil {
		t.Fatal(err)
	}
	if served.RemoteAddr().String() != conn.LocalAddr().String() {
		t.Errorf("%s was accepted, want %s", served.RemoteAddr(), conn.LocalAddr())
	}
	served.Close()
}

// Release resets what waits, and gives new connections to the other slots.
func TestRelease(t *testing.T) {
	closesAll(t)
	port := freePort(t)
	g := open(t, "127.0.0.1", port)
	hold(t, g, 0)
	conn := dial(t, "127.0.0.1", port)
	queued(t, g, 1, 0)
	hold(t, g, 1)
	g.Release(0)
	g.Release(0) // changes nothing
	if _, ok := g.Queue(0); ok {
		t.Error("a released slot has a queue")
	}
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("the connection that waited: %v, want a reset", err)
	}
	for range 5 {
		dial(t, "127.0.0.1", port)
	}
	queued(t, g, 5, 1)
	g.Close()
	if conn, err := net.Dial("tcp", netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port)).String()); err == nil {
		conn.Close()
		t.Error("somebody listens on a closed group")
	}
	if err := Probe("127.0.0.1", port); err != nil {
		t.Errorf("after Close: %v", err)
	}
}

// "localhost" is both loopback addresses, and each is queued for the slot.
func TestLocalhostIsBothFamilies(t *testing.T) {
	closesAll(t)
	needIPv6(t)
	port := freePort(t)
	g := open(t, "localhost", port)
	hold(t, g, 0)
	if n := len(listeners(t, g, 0)); n != 2 {
		t.Errorf("%d listeners, want 2", n)
	}
	dial(t, "127.0.0.1", port)
	dial(t, "::1", port)
	queued(t, g, 2, 0)
}

// No host is every address of both families, by one socket.
func TestEveryAddress(t *testing.T) {
	closesAll(t)
	needIPv6(t)
	port := freePort(t)
	g := open(t, "", port)
	hold(t, g, 0)
	for _, host := range []string{"127.0.0.1", "127.0.0.2", "::1"} {
		dial(t, host, port)
	}
	queued(t, g, 3, 0)
}

// A slot is held on all of its addresses or on none.
func TestHoldIsAllOrNothing(t *testing.T) {
	closesAll(t)
	needIPv6(t)
	port := freePort(t)
	g := open(t, "localhost", port)
	other, err := net.Listen("tcp", net.JoinHostPort("::1", strconv.Itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	before := descriptors(t)
	if _, ok := errors.AsType[*TakenError](g.Hold(0)); !ok {
		t.Error("a slot is held beside a stranger")
	}
	if _, ok := g.Queue(0); ok || descriptors(t) != before {
		t.Error("half a slot is held")
	}
}
