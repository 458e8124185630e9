package ebpf

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// elsewhere makes the test's process its own child, in which no connection gets a seat.
const elsewhere = "CLUSTERD_TEST_ELSEWHERE"

// open is OPEN of bpf/seats.h.
const open = 2

// What is counted does not depend on whether there is a seat.
func TestElsewhere(t *testing.T) {
	if os.Getenv(elsewhere) != "" {
		t.Skip("it is the child of itself")
	}
	if err := Supported(); err != nil {
		missing(t, err.Error())
	}
	cmd := exec.Command("/proc/self/exe", "-test.v", "-test.run=^Test(AllSeatsTaken|Conversations|CountedIsServed|Pipelined|Random.*|Damaged.*|Disorder|Resynced|PortsUsedAgain|StrayPackets|Disown.*|Marked.*|Replies|HandOverUnderTraffic)$")
	cmd.Env = append(os.Environ(), elsewhere+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestAllSeatsTaken") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestAllSeatsTaken is a part of TestElsewhere.
func TestAllSeatsTaken(t *testing.T) {
	if os.Getenv(elsewhere) == "" {
		t.Skip("it is a part of TestElsewhere")
	}
	c := newCounter(t, 1)
	s := serve(t, listen(t, c, 0, "tcp", "127.0.0.1:0"))
	if err := post(client(t, false, false), s.url, nil, false); err != nil {
		t.Fatal(err)
	}
	if n := entries(t, c); n != 1 {
		t.Errorf("%d connections are without a seat, want 1", n)
	}
	for at, s := range seated(t, c) {
		if s.Key != (requestsKey{}) {
			t.Fatalf("%+v has seat %d", s.Key, at)
		}
	}
}

// takeSeats takes all seats for connections that nobody has.
func takeSeats(t testing.TB, c *Counter) {
	t.Helper()
	taken := requestsSeat{Use: open}
	taken.Conn.AskedAt = now(t)
	keys := make([]uint32, c.incoming.Seats.MaxEntries())
	values := make([]requestsSeat, len(keys))
	for i := range keys {
		keys[i], values[i] = uint32(i), taken
	}
	if _, err := c.incoming.Seats.BatchUpdate(keys, values, nil); err != nil {
		t.Fatal(err)
	}
}

// now is what the programs take for it.
func now(t testing.TB) uint64 {
	t.Helper()
	var at unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &at); err != nil {
		t.Fatal(err)
	}
	return uint64(at.Nano())
}

// entries is how many connections are without a seat.
func entries(t *testing.T, c *Counter) (n int) {
	t.Helper()
	var key requestsKey
	var conn requestsConn
	all := c.incoming.Conns.Iterate()
	for all.Next(&key, &conn) {
		n++
	}
	if err := all.Err(); err != nil {
		t.Fatal(err)
	}
	return n
}

// seated are the seats that are taken, by their number.
func seated(t *testing.T, c *Counter) map[uint32]requestsSeat {
	t.Helper()
	keys := make([]uint32, c.incoming.Seats.MaxEntries())
	values := make([]requestsSeat, len(keys))
	var from ebpf.MapBatchCursor
	if _, err := c.incoming.Seats.BatchLookup(&from, keys, values, nil); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		t.Fatal(err)
	}
	taken := map[uint32]requestsSeat{}
	for i, key := range keys {
		if values[i].Use != 0 {
			taken[key] = values[i]
		}
	}
	return taken
}

// rival is another port of a client whose connection would have the same seat.
func rival(port uint16) uint16 { return port ^ 1<<15 }

const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

// Of two connections that would have the same seat, the later has none, and both count.
func TestSeatTaken(t *testing.T) {
	c := newCounter(t, 1)
	w := newWire(t)
	ln := w.listen(t, c, 0)
	first := w.dial(t, 20000, port(ln), 1000)
	second := w.dial(t, rival(20000), port(ln), 5000)
	for i := range 3 {
		first.send(i*len(get), get)
		second.send(i*len(get), get)
	}
	if n, free := len(seated(t, c)), entries(t, c); n != 1 || free != 1 {
		t.Errorf("%d have a seat and %d have none, want 1 and 1", n, free)
	}
	if got := read(t, c, 0); got.ConnsTotal != 2 || got.Requests != 6 || got.Resynced != 0 || got.Unparsed != 0 {
		t.Errorf("counted %+v", got)
	}
}

// A handshake that is not done yet gives up its seat, and counts when it is.
func TestSeatOfAHandshake(t *testing.T) {
	c := newCounter(t, 1)
	w := newWire(t)
	ln := w.listen(t, c, 0)
	slow := &peer{t: t, wire: w, from: 20000, to: port(ln), seq: 1000}
	slow.write(slow.seq, 0, syn, nil)
	slow.answered()
	quick := w.dial(t, rival(20000), port(ln), 5000)
	quick.send(0, get)
	slow.write(slow.seq, slow.acks, ack, nil)
	slow.send(0, get)
	slow.send(len(get), get)
	for _, s := range seated(t, c) {
		if s.Use < open || s.Conn.Slot != 0 {
			t.Errorf("the seat is %+v", s)
		}
	}
	if got := read(t, c, 0); got.ConnsTotal != 2 || got.Requests != 3 || got.Resynced != 0 {
		t.Errorf("counted %+v", got)
	}
}

// A connection that has asked nothing for long gives up its seat, in the middle of a
// request, and goes on where it was.
func TestSeatOfTheSilent(t *testing.T) {
	c := newCounter(t, 1)
	w := newWire(t)
	ln := w.listen(t, c, 0)
	silent := w.dial(t, 20000, port(ln), 1000)
	silent.send(0, get+get[:9])
	for at, s := range seated(t, c) {
		s.Conn.AskedAt = now(t) - uint64(20*time.Minute)
		if err := c.incoming.Seats.Put(at, s); err != nil {
			t.Fatal(err)
		}
	}
	other := w.dial(t, rival(20000), port(ln), 5000)
	other.send(0, get)
	silent.send(len(get)+9, get[9:])
	silent.send(2*len(get), get)
	for _, s := range seated(t, c) {
		if client := uint16(s.Key.Ports); swap(int(client)) != rival(20000) {
			t.Errorf("port %d has the seat, want %d", swap(int(client)), rival(20000))
		}
	}
	if n := entries(t, c); n != 1 {
		t.Errorf("%d have no seat, want 1", n)
	}
	if got := read(t, c, 0); got.ConnsTotal != 2 || got.Requests != 4 || got.Resynced != 0 {
		t.Errorf("counted %+v", got)
	}
}

// A connection of which packets wait for one before them keeps its seat, by which they
// are found.
func TestSeatWithPacketsWaiting(t *testing.T) {
	c := newCounter(t, 1)
	w := newWire(t)
	ln := w.listen(t, c, 0)
	p := w.dial(t, 20000, port(ln), 1000)
	p.send(0, get)
	p.send(len(get)+9, get[9:]+get)
	for at, s := range seated(t, c) {
		s.Conn.AskedAt = now(t) - uint64(20*time.Minute)
		if err := c.incoming.Seats.Put(at, s); err != nil {
			t.Fatal(err)
		}
	}
	w.dial(t, rival(20000), port(ln), 5000).send(0, get)
	p.send(len(get), get[:9])
	if got := read(t, c, 0); got.ConnsTotal != 2 || got.Requests != 4 || got.Resynced != 0 {
		t.Errorf("counted %+v, want 2 connections and 4 requests", got)
	}
}

// A connection to which something is sent keeps its seat, however long ago it has asked.
func TestSeatWhileSending(t *testing.T) {
	c := newCounter(t, 1)
	watch(t, c)
	ln := listen(t, c, 0, "tcp4", "127.0.0.1:0")
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	served, err := ln.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	defer served.Close()
	for _, step := range []struct {
		to   net.Conn
		from net.Conn
		send string
	}{{conn, served, get}, {served, conn, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"}} {
		if _, err := io.WriteString(step.to, step.send); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(step.from, make([]byte, len(step.send))); err != nil {
			t.Fatal(err)
		}
	}
	for at, s := range seated(t, c) {
		s.Conn.AskedAt = now(t) - uint64(20*time.Minute)
		if err := c.incoming.Seats.Put(at, s); err != nil {
			t.Fatal(err)
		}
	}
	own := uint16(conn.LocalAddr().(*net.TCPAddr).Port)
	other := net.Dialer{LocalAddr: &net.TCPAddr{Port: int(rival(own))}}
	other.SetMultipathTCP(false)
	second, err := other.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	for _, s := range seated(t, c) {
		if client := swap(int(uint16(s.Key.Ports))); client != own {
			t.Errorf("port %d has the seat, want %d", client, own)
		}
	}
}

// A probe over ::1 does not count, nor when an ordinary client has had its port before
// and was not seen to end.
func TestProbeOnPortsUsedBefore(t *testing.T) {
	if !haveIPv6() {
		missing(t, "this machine has no IPv6")
	}
	c := newCounter(t, 1)
	ln := listen(t, c, 0, "tcp6", "[::1]:0")
	local := &net.TCPAddr{IP: net.IPv6loopback}
	for _, hops := range []int{64, 200} {
		dialer := net.Dialer{LocalAddr: local, Control: func(_, _ string, raw syscall.RawConn) error {
			return raw.Control(func(fd uintptr) {
				if err := unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, hops); err != nil {
					t.Error(err)
				}
			})
		}}
		dialer.SetMultipathTCP(false)
		conn, err := dialer.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		local = conn.LocalAddr().(*net.TCPAddr)
		served, err := ln.AcceptTCP()
		if err != nil {
			t.Fatal(err)
		}
		defer served.Close()
		if _, err := io.WriteString(conn, get); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(served, make([]byte, len(get))); err != nil {
			t.Fatal(err)
		}
		conn.(*net.TCPConn).SetLinger(0) // it resets
		conn.Close()
	}
	if got := read(t, c, 0); got.ConnsTotal != 1 || got.Requests != 1 || got.Resynced != 0 {
		t.Errorf("counted %+v, want the ordinary client's connection and request", got)
	}
}

// A connection that has ended, as far as can be told, does not keep its seat from others.
func TestSeatOfWhoHasEnded(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, c *Counter, p *peer, served *net.TCPConn){
		"reset by the client": func(_ *testing.T, _ *Counter, p *peer, _ *net.TCPConn) {
			p.write(p.seq+uint32(len(get)), p.acks, rst|ack, nil)
		},
		"closed by the server, and the client only knows": func(_ *testing.T, _ *Counter, p *peer, served *net.TCPConn) {
			served.Close()
			p.write(p.seq+uint32(len(get)), p.acks+1, ack, nil)
		},
		"disowned": func(t *testing.T, c *Counter, _ *peer, served *net.TCPConn) {
			disown(t, c, 0, served)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCounter(t, 1)
			w := newWire(t)
			ln := w.listen(t, c, 0)
			p := w.dial(t, 20000, port(ln), 1000)
			p.send(0, get)
			served, err := ln.AcceptTCP()
			if err != nil {
				t.Fatal(err)
			}
			defer served.Close()
			if _, err := io.ReadFull(served, make([]byte, len(get))); err != nil {
				t.Fatal(err)
			}
			end(t, c, p, served)
			w.dial(t, rival(20000), port(ln), 5000).send(0, get)
			for _, s := range seated(t, c) {
				if client := swap(int(uint16(s.Key.Ports))); client != rival(20000) {
					t.Errorf("port %d has the seat, want %d", client, rival(20000))
				}
			}
			want := uint64(2)
			if name == "disowned" {
				want = 1
			}
			if got := read(t, c, 0); got.ConnsTotal != want || got.Requests != want || got.Resynced != 0 {
				t.Errorf("counted %+v, want %d connections and requests", got, want)
			}
		})
	}
}

// What is known of a connection that had no seat is not taken for that of the next one
// with the same ports.
func TestPortsUsedAgainWithoutASeat(t *testing.T) {
	c := newCounter(t, 1)
	w := newWire(t)
	ln := w.listen(t, c, 0)
	reset := func(p *peer) { p.write(p.seq+uint32(len(get)), p.acks, rst|ack, nil) }
	holder := w.dial(t, 20000, port(ln), 1000)
	holder.send(0, get)
	first := w.dial(t, rival(20000), port(ln), 1<<20)
	first.send(0, get)
	reset(first)
	reset(holder)
	again := &peer{t: t, wire: w, from: rival(20000), to: port(ln), seq: 2000}
	again.write(again.seq, 0, syn, nil)
	again.answered()
	w.dial(t, 20000, port(ln), 3000).send(0, get) // displaces it
	again.write(again.seq, again.acks, ack, nil)
	again.send(0, get)
	if got := read(t, c, 0); got.ConnsTotal != 4 || got.Requests != 4 || got.Resynced != 0 {
		t.Errorf("counted %+v, want 4 connections and requests", got)
	}
}

// Whoever ends a connection, and whether replies are watched or not, its seat is free
// when all has been sent, and what a client sends again then counts for nothing.
func TestSeatIsGivenUp(t *testing.T) {
	for _, watched := range []bool{false, true} {
		for name, closes := range map[string]string{"by the client": "", "by the server": "Connection: close\r\n"} {
			t.Run(name+map[bool]string{true: ", replies watched"}[watched], func(t *testing.T) {
				c := newCounter(t, 1)
				if watched {
					watch(t, c)
				}
				s := serve(t, listen(t, c, 0, "tcp4", "127.0.0.1:0"))
				for range 50 {
					conn, err := net.Dial("tcp", s.addr)
					if err != nil {
						t.Fatal(err)
					}
					if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n"+closes+"\r\n"); err != nil {
						t.Fatal(err)
					}
					if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
						t.Fatal(err)
					}
					if closes != "" {
						if _, err := io.Copy(io.Discard, conn); err != nil {
							t.Fatal(err)
						}
					}
					conn.Close()
				}
				for deadline := time.Now().Add(90 * time.Second); len(seated(t, c)) > 0; time.Sleep(10 * time.Millisecond) {
					if time.Now().After(deadline) {
						t.Fatalf("%d of 50 connections still have their seats: %+v", len(seated(t, c)), seated(t, c))
					}
				}
				if got := read(t, c, 0); got.ConnsTotal != 50 || got.Requests != 50 || got.Resynced != 0 || entries(t, c) != 0 {
					t.Errorf("counted %+v, %d have no seat", got, entries(t, c))
				}
			})
		}
	}
}

// What a client sends again when both sides are about to end is not taken for the
// beginning of another connection.
func TestSentAgainAtTheEnd(t *testing.T) {
	c := newCounter(t, 1)
	w := newWire(t)
	ln := w.listen(t, c, 0)
	p := w.dial(t, 20000, port(ln), 1000)
	p.send(0, get)
	p.end(len(get))
	conn, err := ln.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(conn); err != nil {
		t.Fatal(err)
	}
	p.send(0, get)
	conn.Close() // of which this client says only later that it knows
	p.send(0, get)
	p.send(0, get)
	p.write(p.seq+uint32(len(get))+1, p.acks+1, ack, nil)
	p.send(0, get)
	if n := len(seated(t, c)); n != 0 {
		t.Errorf("%d seats are taken", n)
	}
	if got := read(t, c, 0); got.ConnsTotal != 1 || got.Requests != 1 || got.Resynced != 0 || entries(t, c) != 0 {
		t.Errorf("counted %+v, %d have no seat", got, entries(t, c))
	}
}
