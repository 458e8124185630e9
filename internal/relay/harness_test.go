package relay

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"clusterd/internal/traffic"
)

// rig is a relay with its instances, all in this process. Every slot's
// socket is a plain listener of its own, so that a test chooses the slot.
type rig struct {
	t        testing.TB
	relay    *Relay
	options  Options
	addrs    []string
	counters []*traffic.Counters
}

func newRig(t testing.TB, slots int, o Options) *rig {
	t.Helper()
	r := &rig{t: t, relay: New(o), options: o}
	for i := range slots {
		l := listenLocal(t)
		r.addrs = append(r.addrs, l.Addr().String())
		r.counters = append(r.counters, &traffic.Counters{})
		r.relay.AddSlot(i, l, r.counters[i])
	}
	t.Cleanup(func() { r.relay.Close() })
	return r
}

func listenLocal(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (r *rig) dial(slot int) net.Conn {
	r.t.Helper()
	c, err := net.Dial("tcp", r.addrs[slot])
	if err != nil {
		r.t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	r.t.Cleanup(func() { c.Close() })
	return c
}

// requests is the sum over all slots.
func (r *rig) requests() (n uint64) {
	for _, c := range r.counters {
		n += c.Totals().Requests
	}
	return n
}

// server is an HTTP instance that counts what it serves.
type server struct {
	http.Server
	served atomic.Uint64
	addr   string
}

// serve starts an instance; h may be nil for one that echoes request bodies.
func serve(t testing.TB, h http.Handler) *server {
	t.Helper()
	s := &server{}
	if h == nil {
		h = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n, err := io.Copy(io.Discard, r.Body)
			if err == nil {
				fmt.Fprintf(w, "%s %s %d\n", r.Method, r.URL.Path, n)
			}
		})
	}
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.served.Add(1)
		h.ServeHTTP(w, r)
	})
	l := listenLocal(t)
	s.addr = l.Addr().String()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l)
	}()
	t.Cleanup(func() {
		s.Close()
		<-done
	})
	return s
}

func (s *server) instance() Instance { return Instance{Network: "tcp", Address: s.addr} }

// script is an instance that is driven by hand: it serves each connection with
// f, one goroutine each.
func script(t testing.TB, f func(net.Conn)) Instance {
	t.Helper()
	l := listenLocal(t)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.SetDeadline(time.Now().Add(30 * time.Second))
			all.Go(func() {
				defer c.Close()
				f(c)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		all.Wait()
	})
	return Instance{Network: "tcp", Address: l.Addr().String()}
}

// eventually waits for what another goroutine is about to do.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// exchange sends one request and reads its response.
func exchange(t testing.TB, c net.Conn, br *bufio.Reader, request, method string) (*http.Response, string) {
	t.Helper()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	return readResponse(t, br, method)
}

func readResponse(t testing.TB, br *bufio.Reader, method string) (*http.Response, string) {
	t.Helper()
	var resp *http.Response
	for {
		var err error
		if resp, err = http.ReadResponse(br, &http.Request{Method: method}); err != nil {
			t.Fatal("read response:", err)
		}
		if resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			break
		}
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal("read body:", err)
	}
	return resp, string(b)
}
