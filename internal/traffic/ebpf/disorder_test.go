package ebpf

import (
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"
)

// part is a run of bytes of a stream.
type part struct{ from, to int }

// disorders are ways in which a stream's packets may arrive.
var disorders = []struct {
	name    string
	arrange func(r *rand.Rand, parts []part) []part
}{
	{"in order", func(_ *rand.Rand, parts []part) []part { return parts }},
	{"each twice", func(_ *rand.Rand, parts []part) (out []part) {
		for _, p := range parts {
			out = append(out, p, p)
		}
		return out
	}},
	{"pairs swapped", func(_ *rand.Rand, parts []part) []part {
		for i := 1; i < len(parts); i += 2 {
			parts[i-1], parts[i] = parts[i], parts[i-1]
		}
		return parts
	}},
	{"first last", func(_ *rand.Rand, parts []part) []part {
		for i := 1; i < len(parts); i++ {
			parts[i-1], parts[i] = parts[i], parts[i-1]
		}
		return parts
	}},
	{"backwards", func(_ *rand.Rand, parts []part) []part {
		for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
			parts[i], parts[j] = parts[j], parts[i]
		}
		return parts
	}},
	{"shuffled, some sent again with all before", func(r *rand.Rand, parts []part) (out []part) {
		r.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		for _, p := range parts {
			out = append(out, p)
			if r.IntN(3) == 0 {
				out = append(out, p)
			}
		}
		for range 3 { // all of it came before
			p := parts[r.IntN(len(parts))]
			out = append(out, part{max(0, p.from-r.IntN(100)), p.to})
		}
		return out
	}},
}

// Neither the order of packets nor sending them again changes what is counted.
func TestDisorder(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	c := newCounter(t, 2*len(conversations)*len(disorders))
	w := newWire(t)
	slot := 0
	for _, tt := range conversations {
		if tt.bytes == "" || len(tt.bytes) > 60000 {
			continue // more than the window that the kernel opens at once
		}
		for _, disorder := range disorders {
			for _, most := range []int{7, 1400} {
				most = max(most, len(tt.bytes)/40) // some 80 packets, fewer than wait for a hole
				t.Run(tt.name+"/"+disorder.name, func(t *testing.T) {
					ln := w.listen(t, c, slot)
					// Sequence numbers that run over are the odd case.
					p := w.dial(t, uint16(20000+slot), port(ln), uint32(-r.IntN(3000)))
					for _, p2 := range disorder.arrange(r, cut(r, len(tt.bytes), most)) {
						p.send(p2.from, tt.bytes[p2.from:p2.to])
					}
					p.end(len(tt.bytes))
					if got := accepted(t, ln); got != tt.bytes {
						t.Errorf("%d bytes were sent, and %d or others arrived", len(tt.bytes), len(got))
					}
					want := Counts{ConnsTotal: 1, Requests: tt.requests, BytesIn: uint64(len(tt.bytes)), Unparsed: tt.unparsed}
					if got := read(t, c, slot); got != want {
						t.Errorf("got  %+v\nwant %+v", got, want)
					}
				})
				slot++
			}
		}
	}
}

// A hole in a head that is filled by other packets than those that left it is
// not waited for without end: counting goes on at a later request, and says so.
func TestResynced(t *testing.T) {
	c := newCounter(t, 1)
	w := newWire(t)
	ln := w.listen(t, c, 0)
	p := w.dial(t, 20000, port(ln), 7)
	const request = "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"
	stream := strings.Repeat(request, 600)
	at := func(i int) int { return i * len(request) }
	p.send(0, stream[:at(1)])
	p.send(at(1)+20, stream[at(1)+20:at(2)]) // the start of the second is missing
	p.send(at(1), stream[at(1):at(1)+30])    // and comes with a part of its end
	for i := 2; i < 600; i++ {
		p.send(at(i), stream[at(i):at(i+1)])
	}
	p.end(len(stream))
	if got := accepted(t, ln); got != stream {
		t.Errorf("%d bytes were sent, and %d or others arrived", len(stream), len(got))
	}
	if got := read(t, c, 0); got.Resynced != 1 || got.Requests < 300 || got.Requests > 599 || got.Unparsed != 0 || got.ConnsTotal != 1 {
		t.Errorf("counted %+v of 600", got)
	}
}

// The packets of a connection whose process has died, and the reuse of its
// ports, count for no request that nobody can have read.
func TestPortsUsedAgain(t *testing.T) {
	c := newCounter(t, 1)
	w := newWire(t)
	ln := w.listen(t, c, 0)
	for round := range uint64(3) {
		p := w.dial(t, 20000, port(ln), uint32(round)*5000)
		p.send(0, "GET / HTTP/1.1\r\n")
		conn, err := ln.AcceptTCP()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, make([]byte, 16)); err != nil {
			t.Fatal(err)
		}
		conn.SetLinger(0) // as when its process is killed: reset
		conn.Close()
		p.send(16, "\r\n")
		p.send(18, "GET / HTTP/1.1\r\n\r\n")
		if got := read(t, c, 0); got.ConnsTotal != round+1 || got.Requests != 0 || got.Unparsed != 0 {
			t.Errorf("counted %+v after %d connections", got, round+1)
		}
	}
}

// Packets of no connection count for nothing.
func TestStrayPackets(t *testing.T) {
	c := newCounter(t, 1)
	w := newWire(t)
	ln := w.listen(t, c, 0)
	for from := range uint16(100) {
		p := &peer{t: t, wire: w, from: 20000 + from, to: port(ln), seq: 1, acks: 1}
		p.send(0, "")
		p.send(0, "GET / HTTP/1.1\r\n\r\n")
		p.end(18)
	}
	if got := read(t, c, 0); got != (Counts{}) {
		t.Errorf("counted %+v", got)
	}
}

// listen opens a listening socket at the kernel's end that counts for slot.
func (w *wire) listen(t *testing.T, c *Counter, slot int) (ln *net.TCPListener) {
	t.Helper()
	w.inside(func() { ln = listen(t, c, slot, "tcp4", net.IP(wireHere[:]).String()+":0") })
	if err := ln.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return ln
}

func port(ln *net.TCPListener) uint16 { return uint16(ln.Addr().(*net.TCPAddr).Port) }

// accepted returns all that comes on the next connection.
func accepted(t *testing.T, ln *net.TCPListener) string {
	t.Helper()
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	if err != nil {
		t.Errorf("after %d bytes: %v", len(got), err)
	}
	return string(got)
}

// cut cuts a stream of so many bytes into parts of random length.
func cut(r *rand.Rand, length, most int) (parts []part) {
	for at := 0; at < length; {
		n := min(1+r.IntN(most), length-at)
		parts = append(parts, part{at, at + n})
		at += n
	}
	return parts
}
