package relay

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func (r *rig) pairs() []*pair {
	r.relay.mu.Lock()
	defer r.relay.mu.Unlock()
	return slices.Collect(maps.Keys(r.relay.pairs))
}

// parked tells whether all pairs are.
func (r *rig) parked() bool {
	for _, p := range r.pairs() {
		p.mu.Lock()
		parked := p.parked
		p.mu.Unlock()
		if !parked {
			return false
		}
	}
	return true
}

const bigBody = 1 << 20

// sized answers with a body of any size, in pieces or not, after the request's body.
var sized = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	n, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		return
	}
	switch r.URL.Path {
	case "/big":
		w.Header().Set("Content-Length", fmt.Sprint(bigBody))
		_, _ = w.Write(make([]byte, bigBody))
	case "/pieces":
		for range 40 {
			_, _ = w.Write(make([]byte, 10<<10))
			_ = http.NewResponseController(w).Flush()
		}
	default:
		fmt.Fprintf(w, "%s %d", r.URL.Path, n)
	}
})

// Whatever a conversation has been through, it is parked as soon as it is plain
// again, without goroutines and without a buffer, and goes on all the same.
func TestParksAgain(t *testing.T) {
	post := fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", bigBody)
	for _, tt := range []struct {
		name    string
		sends   []string // with a pause behind each
		answers int
	}{
		{"a request", []string{getRequest}, 1},
		{"a head in pieces", []string{"GET / HT", "TP/1.1\r\nHost: a\r\n", "\r\n"}, 1},
		{"pipelined", []string{getRequest + getRequest + getRequest}, 3},
		{"pipelined behind an answer's back", []string{"GET /big HTTP/1.1\r\nHost: a\r\n\r\n", getRequest, getRequest}, 3},
		{"an upload", []string{post, strings.Repeat("x", bigBody)}, 1},
		{"a chunked upload", []string{"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "3\r\nabc\r\n", "0\r\n\r\n"}, 1},
		{"a large answer", []string{"GET /big HTTP/1.1\r\nHost: a\r\n\r\n"}, 1},
		{"an answer in pieces", []string{"GET /pieces HTTP/1.1\r\nHost: a\r\n\r\n"}, 1},
		{"an upgrade refused", []string{"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, 1, Options{})
			r.relay.Admit(0, serve(t, sized).instance())
			c := r.dial(0)
			br := bufio.NewReader(c)
			for range 3 {
				for _, s := range tt.sends {
					if _, err := io.WriteString(c, s); err != nil {
						t.Fatal(err)
					}
					r.settle()
				}
				for range tt.answers {
					answered(t, br)
				}
			}
			asked := uint64(3 * tt.answers)
			// One that was pipelined may find its answer there before the client is
			// waited for again.
			eventually(t, "the pair is parked", func() bool {
				if r.parked() {
					return true
				}
				exchange(t, c, br, getRequest, "GET")
				asked++
				return false
			})
			for _, p := range r.pairs() {
				p.mu.Lock()
				if p.in.buf != nil || p.link == nil || p.link.out.buf != nil || p.answering {
					t.Errorf("parked with a buffer, without a link or with a goroutine: %+v", p)
				}
				p.mu.Unlock()
			}
			exchange(t, c, br, getRequest, "GET")
			if n := r.counters[0].Totals(); n.Requests != asked+1 || n.InFlight != 0 || n.ConnsTotal != 1 || n.Unparsed != 0 {
				t.Errorf("counted %+v after %d requests", n, asked+1)
			}
		})
	}
}

func answered(t *testing.T, br *bufio.Reader) {
	t.Helper()
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status, err)
	}
}

// The link of a parked pair ends, by either side's will: the client keeps its
// connection, the pair stays parked, and the next request goes over another link.
func TestParkedLinkEnds(t *testing.T) {
	for name, end := range map[string]func(r *rig, s *server){
		"the instance closes it": func(r *rig, s *server) { s.Close() },
		"the slot is drained": func(r *rig, s *server) {
			if err := r.relay.Drain(t.Context(), 0, 1); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 1, Options{})
			s := serve(t, nil)
			in := s.instance()
			in.Generation = 1
			r.relay.Admit(0, in)
			c := r.dial(0)
			br := bufio.NewReader(c)
			exchange(t, c, br, getRequest, "GET")
			eventually(t, "the pair is parked", r.parked)
			next := serve(t, nil).instance()
			next.Generation = 2
			r.relay.Admit(0, next)
			end(r, s)
			eventually(t, "the link is gone", func() bool {
				r.relay.mu.Lock()
				defer r.relay.mu.Unlock()
				return len(r.relay.slots[0].links) == 0
			})
			if !r.parked() {
				t.Error("the pair is not parked any more")
			}
			exchange(t, c, br, getRequest, "GET")
			eventually(t, "the pair is parked again", r.parked)
		})
	}
}

// A client that waits longer for its answer than it may be idle gets it; then it
// may be idle for that long, and not for ever.
func TestParkedIsIdle(t *testing.T) {
	const idle = 50 * time.Millisecond
	r := newRig(t, 1, Options{Limits: Limits{Idle: idle}})
	asked, answer := make(chan bool), make(chan bool)
	r.relay.Admit(0, serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked <- true
		<-answer
	})).instance())
	c := r.dial(0)
	br := bufio.NewReader(c)
	for range 2 {
		io.WriteString(c, getRequest)
		<-asked
		time.AfterFunc(3*idle, func() { answer <- true })
		answered(t, br)
	}
	if _, err := br.ReadByte(); err != io.EOF {
		t.Errorf("idle for long: %v", err)
	}
	eventually(t, "the pair is gone", func() bool { return r.counters[0].Totals().ConnsOpen == 0 })
}

// Clients that end their connections at any moment, while pairs are parked and go
// on, leave nothing behind, and every answer is counted.
func TestEndsWhileParking(t *testing.T) {
	r := newRig(t, 2, Options{})
	for i := range r.counters {
		r.relay.Admit(i, serve(t, sized).instance())
	}
	requests := []string{
		getRequest,
		"GET /big HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /pieces HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
	}
	var clients sync.WaitGroup
	for i := range 32 {
		clients.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 0))
			for range 25 {
				c, err := net.Dial("tcp", r.addrs[i%2])
				if err != nil {
					t.Error(err)
					return
				}
				_ = c.SetDeadline(time.Now().Add(30 * time.Second))
				br := bufio.NewReader(c)
				for range rng.IntN(4) {
					request := requests[rng.IntN(len(requests))]
					if at := rng.IntN(2 * len(request)); at < len(request) { // in two parts
						io.WriteString(c, request[:at])
						request = request[at:]
					}
					io.WriteString(c, request)
					resp, err := http.ReadResponse(br, nil)
					if err != nil {
						t.Error(err)
						break
					}
					if rng.IntN(4) == 0 { // of which it reads nothing
						break
					}
					if _, err := io.Copy(io.Discard, resp.Body); err != nil {
						t.Error(err)
					}
					if resp.Close {
						break
					}
				}
				if rng.IntN(3) == 0 {
					_ = c.(*net.TCPConn).CloseWrite()
				}
				c.Close()
			}
		})
	}
	clients.Wait()
	eventually(t, "all pairs are gone", func() bool { return len(r.pairs()) == 0 })
	for _, c := range r.counters {
		if n := c.Totals(); n.InFlight != 0 || n.ConnsOpen != 0 || n.Unparsed != 0 {
			t.Errorf("left: %+v", n)
		}
	}
}

// hindered is a rig with one parked pair, whose instance has answered once and goes
// on with what it gets from the returned channel; none comes when that is closed.
func hindered(t *testing.T) (r *rig, c net.Conn, link *socket, junk chan<- int64, dead *atomic.Bool) {
	t.Helper()
	r = newRig(t, 1, Options{})
	dead = &atomic.Bool{}
	junkBefore := make(chan int64)
	in := script(t, func(c net.Conn) {
		br := bufio.NewReader(c)
		if _, err := http.ReadRequest(br); err != nil {
			return
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		for {
			select {
			case <-t.Context().Done():
				return
			case n, ok := <-junkBefore:
				if !ok {
					return
				}
				if _, err := io.CopyN(io.Discard, br, n); err != nil {
					t.Error(err)
				}
				if _, err := http.ReadRequest(br); err == nil {
					io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst")
				}
			}
		}
	})
	in.Generation, in.Alive = 1, func() bool { return !dead.Load() }
	r.relay.Admit(0, in)
	c = r.dial(0)
	exchange(t, c, bufio.NewReader(c), getRequest, "GET")
	eventually(t, "the pair is parked", r.parked)
	p := r.pairs()[0]
	p.mu.Lock()
	defer p.mu.Unlock()
	return r, c, p.link.conn.(*socket), junkBefore, dead
}

// A request for which the instance has no room at once goes out when it has.
func TestParkedRequestWaits(t *testing.T) {
	r, c, link, junk, _ := hindered(t)
	full, err := link.tryWrite(make([]byte, 32<<20))
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, getRequest)
	eventually(t, "the pair has goroutines", func() bool { return !r.parked() })
	junk <- int64(full)
	br := bufio.NewReader(c)
	if _, body := readResponse(t, br, "GET"); body != "first" {
		t.Errorf("answered %q", body)
	}
	close(junk)
	next := serve(t, nil).instance()
	next.Generation = 2
	r.relay.Admit(0, next)
	exchange(t, c, br, getRequest, "GET")
	eventually(t, "the pair is parked again", r.parked)
}

// A request that the instance does not take, since it is dead, goes to another one.
func TestParkedRequestFails(t *testing.T) {
	r, c, link, junk, dead := hindered(t)
	if err := link.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	next := serve(t, nil).instance()
	next.Generation = 2
	r.relay.Admit(0, next)
	io.WriteString(c, getRequest)
	eventually(t, "the request is in flight", func() bool { return r.counters[0].Totals().InFlight == 1 })
	dead.Store(true)
	close(junk)
	br := bufio.NewReader(c)
	if _, body := readResponse(t, br, "GET"); body != "GET / 0\n" {
		t.Errorf("answered %q", body)
	}
	if n := r.counters[0].Totals(); n.Requests != 2 || n.InFlight != 0 {
		t.Errorf("counted %+v", n)
	}
	exchange(t, c, br, getRequest, "GET")
	eventually(t, "the pair is parked again", r.parked)
}
