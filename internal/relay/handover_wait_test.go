package relay

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Strict relays follow through hand-overs as well, and refuse what they would.
func TestHandOverStrict(t *testing.T) {
	for _, talk := range conversations {
		if talk.opaque || talk.name == "server speaks first" {
			continue
		}
		t.Run(talk.name, func(t *testing.T) {
			t.Parallel()
			talk.check(t, Options{Strict: true}, func(r *rig, in Instance) { r.handOver(in) })
		})
	}
	for request, status := range map[string]int{
		"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n":                              400,
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd": 400,
		"GET / HTTP/1.1\r\nX: " + strings.Repeat("x", maxHead) + "\r\n\r\n":         431,
		"GET / HTTP/1.1\r\nHost: strange\r\n\r\n":                                   502,
	} {
		r := newRig(t, 1, Options{Strict: true})
		in := script(t, func(c net.Conn) {
			if q, err := http.ReadRequest(bufio.NewReader(c)); err == nil && q.Host == "strange" {
				io.WriteString(c, "what?\r\n")
			}
			io.Copy(io.Discard, c)
		})
		r.relay.Admit(0, in)
		c := r.dial(0)
		for len(request) > 0 {
			n := min(len(request), max(1, len(request)/50))
			if _, err := io.WriteString(c, request[:n]); err != nil {
				break // it is refused before its end
			}
			r.handOver(in)
			request = request[n:]
		}
		if resp, _ := readResponse(t, bufio.NewReader(c), "GET"); resp.StatusCode != status {
			t.Errorf("%s, want %d", resp.Status, status)
		}
		c.Close()
		eventually(t, "nothing is left", func() bool { n := r.counters[0].Totals(); return n.ConnsOpen == 0 && n.InFlight == 0 })
	}
}

// What the relay adds is added once.
func TestHandOverForwarded(t *testing.T) {
	r := newRig(t, 1, Options{Forwarded: true})
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		b, _ := io.ReadAll(q.Body)
		io.WriteString(w, strings.Join(q.Header.Values("X-Forwarded-For"), "|")+" "+string(b))
	}))
	r.relay.Admit(0, s.instance())
	c := r.dial(0)
	br := bufio.NewReader(c)
	for range 2 {
		for _, part := range strings.Split("POST / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\nContent-Length: 3\r\n\r\nabc", "") {
			io.WriteString(c, part)
			r.handOver(s.instance())
		}
		if _, body := readResponse(t, br, "POST"); body != "192.0.2.1, 127.0.0.1 abc" {
			t.Errorf("the instance got %q", body)
		}
	}
}

// Clients that wait for an instance go on waiting, and new ones are accepted.
func TestHandOverWithNobodyLive(t *testing.T) {
	r := newRig(t, 1, Options{})
	s := serve(t, nil)
	r.relay.Admit(0, s.instance())
	held := r.dial(0)
	br := bufio.NewReader(held)
	exchange(t, held, br, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET")
	if err := r.relay.Drain(t.Context(), 0, 0); err != nil {
		t.Fatal(err)
	}
	io.WriteString(held, "GET /held HTTP/1.1\r\nHost: a\r\n\r\n")
	late := r.dial(0)
	io.WriteString(late, "GET /late HTTP/1.1\r\nHost: a\r\n\r\n")
	for range 3 {
		r.settle()
		r.handOver()
	}
	r.handOver(s.instance())
	if _, body := readResponse(t, br, "GET"); body != "GET /held 0\n" {
		t.Errorf("who waited got %q", body)
	}
	if _, body := readResponse(t, bufio.NewReader(late), "GET"); body != "GET /late 0\n" {
		t.Errorf("who came meanwhile got %q", body)
	}
	if n := r.counters[0].Totals(); n.Requests != 3 || n.InFlight != 0 {
		t.Errorf("counted %+v", n)
	}
}

// The relay is handed over between the end of an instance's connections and its
// death: what was asked is asked of another one, as without.
func TestHandOverBeforeADeath(t *testing.T) {
	r := newRig(t, 2, Options{Hash: true})
	var closed, dead atomic.Bool
	var looks atomic.Int32 // since
	dying := script(t, func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			closed.Store(true)
		}
	})
	dying.Generation = 7
	dying.Alive = func() bool {
		if closed.Load() {
			looks.Add(1)
		}
		return !dead.Load()
	}
	looked := func() {
		t.Helper()
		before := looks.Load()
		eventually(t, "the relay looks whether the instance lives", func() bool { return looks.Load() > before })
	}
	r.relay.Admit(0, dying)
	s := serve(t, nil)
	r.relay.Admit(1, s.instance())
	c := r.dial(0)
	io.WriteString(c, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n")
	looked()
	r.handOver(dying, s.instance())
	looked()
	dead.Store(true)
	r.handOver(dying, s.instance())
	if _, body := readResponse(t, bufio.NewReader(c), "GET"); body != "GET /1 0\n" {
		t.Errorf("the client got %q", body)
	}
	if a, b := r.counters[0].Totals(), r.counters[1].Totals(); a.Requests != 0 || a.InFlight != 0 || b.Requests != 1 || b.InFlight != 0 {
		t.Errorf("slot 0 %+v, slot 1 %+v", a, b)
	}
}

// A drain that was under way is called again: it waits for the same requests, and
// the client's next one goes to another instance.
func TestHandOverInADrain(t *testing.T) {
	r := newRig(t, 1, Options{})
	release, started := make(chan struct{}), make(chan struct{})
	old := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(started)
		<-release
		io.WriteString(w, "old")
	}))
	successor := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "new") }))
	in := successor.instance()
	in.Generation = 1
	r.relay.Admit(0, old.instance())
	c := r.dial(0)
	br := bufio.NewReader(c)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	<-started
	r.relay.Admit(0, in)
	drained := make(chan error, 1)
	first := r.relay
	go func() { drained <- first.Drain(context.Background(), 0, 0) }()
	r.handOver(in)
	if err := <-drained; !errors.Is(err, errFrozen) {
		t.Errorf("a drain ended with %v", err)
	}
	next := r.relay
	go func() { drained <- next.Drain(context.Background(), 0, 0) }()
	select {
	case err := <-drained:
		t.Fatalf("drained with a request in flight: %v", err)
	default:
	}
	close(release)
	if err := <-drained; err != nil {
		t.Error(err)
	}
	if _, body := readResponse(t, br, "GET"); body != "old" {
		t.Errorf("the request in flight got %q", body)
	}
	if _, body := exchange(t, c, br, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET"); body != "new" {
		t.Errorf("the next one got %q", body)
	}
}

// Hand-overs do not give idle and slow clients more time, however many there are.
func TestHandOverKeepsTime(t *testing.T) {
	for name, says := range map[string]string{"idle": "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "slow": "GET / HT"} {
		r := newRig(t, 1, Options{Limits: Limits{Idle: 300 * time.Millisecond, Head: 300 * time.Millisecond}})
		s := serve(t, nil)
		r.relay.Admit(0, s.instance())
		c := r.dial(0)
		io.WriteString(c, says)
		over := make(chan struct{})
		go func() {
			defer close(over)
			io.Copy(io.Discard, c)
		}()
		eventually(t, "the "+name+" client's connection ends", func() bool {
			r.handOver(s.instance())
			select {
			case <-over:
				return true
			default:
				return false
			}
		})
	}
}
