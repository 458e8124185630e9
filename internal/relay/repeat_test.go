package relay

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

// A process dies with a request that has no body: the request is sent again. One
// that has a body is not.
func TestRepeatAfterDeath(t *testing.T) {
	r := newRig(t, 2, Options{Hash: true})
	var alive atomic.Bool
	alive.Store(true)
	dying := script(t, func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			alive.Store(false)
		}
	})
	dying.Alive = alive.Load
	r.relay.Admit(0, dying)
	r.relay.Admit(1, serve(t, nil).instance())

	c := r.dial(0)
	if resp, body := exchange(t, c, bufio.NewReader(c), getRequest, "GET"); resp.StatusCode != 200 || body != "GET / 0\n" {
		t.Errorf("%s %q", resp.Status, body)
	}
	if a, b := r.counters[0].Totals(), r.counters[1].Totals(); a.Requests != 0 || a.InFlight != 0 || b.Requests != 1 || b.InFlight != 0 {
		t.Errorf("slot 0 %+v, slot 1 %+v", a, b)
	}
}

// While the relay waits to see whether the process is dead, the client asks for
// more: both requests are answered, each once.
func TestPipelinedBehindADeath(t *testing.T) {
	r := newRig(t, 2, Options{Hash: true})
	var closed, looked atomic.Int32
	waits := make(chan struct{}, 1)
	dying := script(t, func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			closed.Store(1)
		}
	})
	dying.Alive = func() bool {
		if closed.Load() == 0 {
			return true
		}
		select {
		case waits <- struct{}{}:
		default:
		}
		return looked.Add(1) < 7 // about 60 ms
	}
	r.relay.Admit(0, dying)
	s := serve(t, nil)
	r.relay.Admit(1, s.instance())

	c := r.dial(0)
	br := bufio.NewReader(c)
	io.WriteString(c, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n")
	<-waits
	io.WriteString(c, "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
	for _, want := range []string{"GET /1 0\n", "GET /2 0\n"} {
		if _, body := readResponse(t, br, "GET"); body != want {
			t.Errorf("the client got %q, want %q", body, want)
		}
	}
	if n := s.served.Load(); n != 2 {
		t.Errorf("the other instance served %d requests, want 2", n)
	}
	if a, b := r.counters[0].Totals(), r.counters[1].Totals(); a.Requests != 0 || a.InFlight != 0 || b.Requests != 2 || b.InFlight != 0 {
		t.Errorf("slot 0 %+v, slot 1 %+v", a, b)
	}
}

// Nobody is left for a request that is to be sent again: its client is told so.
func TestRepeatFindsNobody(t *testing.T) {
	r := newRig(t, 1, Options{Limits: Limits{Hold: 50 * time.Millisecond}})
	var alive atomic.Bool
	alive.Store(true)
	dying := script(t, func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			r.relay.Withdraw(0, 0)
			alive.Store(false)
		}
	})
	dying.Alive = alive.Load
	r.relay.Admit(0, dying)
	c := r.dial(0)
	resp, _ := exchange(t, c, bufio.NewReader(c), getRequest, "GET")
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" || !resp.Close {
		t.Errorf("%s, %v", resp.Status, resp.Header)
	}
	if got := r.counters[0].Totals(); got.Requests != 0 || got.InFlight != 0 {
		t.Errorf("%+v", got)
	}
}

func TestNoRepeatWithBody(t *testing.T) {
	r := newRig(t, 1, Options{})
	var got atomic.Int32
	in := script(t, func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			got.Add(1)
		}
	})
	in.Alive = func() bool { return got.Load() == 0 }
	r.relay.Admit(0, in)
	c := r.dial(0)
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
	if b, _ := io.ReadAll(c); len(b) != 0 {
		t.Errorf("the client got %q", b)
	}
	if got.Load() != 1 {
		t.Errorf("the instance got the request %d times", got.Load())
	}
	eventually(t, "the request is given up", func() bool { return r.counters[0].Totals().InFlight == 0 })
}

// An instance that lives and closes the connection when it has read a request has
// answered: it is not asked again, however often it has answered before.
func TestNoRepeatOfWhatWasRead(t *testing.T) {
	for _, x := range []struct {
		before int
		said   bool // the client says that this was all
	}{{0, false}, {3, false}, {3, true}} {
		before := x.before
		r := newRig(t, 1, Options{})
		var asked atomic.Int32
		in := script(t, func(c net.Conn) {
			br := bufio.NewReader(c)
			for range before + 1 {
				if _, err := http.ReadRequest(br); err != nil {
					return
				}
				if int(asked.Add(1)) <= before {
					io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				}
			}
			if x.said {
				_, _ = io.Copy(io.Discard, br)
			}
		})
		in.Alive = func() bool { return true }
		r.relay.Admit(0, in)
		c := r.dial(0)
		br := bufio.NewReader(c)
		for range before {
			exchange(t, c, br, getRequest, "GET")
		}
		io.WriteString(c, getRequest)
		if x.said {
			_ = c.(*net.TCPConn).CloseWrite()
		}
		if b, _ := io.ReadAll(br); len(b) != 0 {
			t.Errorf("the client got %q", b)
		}
		if n := int(asked.Load()); n != before+1 {
			t.Errorf("the instance was asked %d times, want %d", n, before+1)
		}
	}
}
