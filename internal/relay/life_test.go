package relay

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const getRequest = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

// An instance that refuses is passed over.
func TestRefusedConnectGoesElsewhere(t *testing.T) {
	r := newRig(t, 2, Options{Hash: true})
	s := serve(t, nil)
	r.relay.Admit(0, Instance{Network: "tcp", Address: closedAddress(t)})
	r.relay.Admit(1, s.instance())
	c := r.dial(0)
	exchange(t, c, bufio.NewReader(c), getRequest, "GET")
	if a, b := r.counters[0].Totals(), r.counters[1].Totals(); a.Requests != 0 || a.ConnsTotal != 0 || b.Requests != 1 || b.ConnsTotal != 1 {
		t.Errorf("slot 0 %+v, slot 1 %+v", a, b)
	}
}

func closedAddress(t *testing.T) string {
	l := listenLocal(t)
	defer l.Close()
	return l.Addr().String()
}

// New connections go to the instance with the fewest.
func TestLeastLoaded(t *testing.T) {
	const slots, conns = 4, 40
	r := newRig(t, slots, Options{})
	for i := range slots {
		r.relay.Admit(i, serve(t, nil).instance())
	}
	for range conns { // all on one socket: the kernel's worst spread
		c := r.dial(0)
		exchange(t, c, bufio.NewReader(c), getRequest, "GET")
	}
	for i, c := range r.counters {
		if n := c.Totals().ConnsOpen; n != conns/slots {
			t.Errorf("slot %d has %d connections, want %d", i, n, conns/slots)
		}
	}
}

// What counts is who has requests to answer, not who has idle connections.
func TestLeastRequests(t *testing.T) {
	r := newRig(t, 2, Options{})
	idle := serve(t, nil)
	r.relay.Admit(0, idle.instance())
	for range 3 {
		c := r.dial(0)
		exchange(t, c, bufio.NewReader(c), getRequest, "GET")
	}
	busy := make(chan struct{}, 2)
	over := make(chan struct{})
	defer close(over)
	r.relay.Admit(1, script(t, func(c net.Conn) {
		busy <- struct{}{}
		<-over
	}))
	load := func(i int) int64 {
		r.relay.mu.Lock()
		defer r.relay.mu.Unlock()
		return r.relay.slots[i].load()
	}
	for _, work := range []string{getRequest, "\x00 opaque"} {
		c := r.dial(1)
		io.WriteString(c, work) // to slot 1: it has no connections, or fewer
		<-busy
		eventually(t, "slot 1 is at work", func() bool { return load(1) == 1 })
		for range 2 {
			c := r.dial(1)
			exchange(t, c, bufio.NewReader(c), getRequest, "GET") // would not be answered by slot 1
		}
		c.(*net.TCPConn).SetLinger(0) // it is gone, and has not just said all
		c.Close()
		eventually(t, "slot 1 has nothing to do", func() bool { return load(1) == 0 })
	}
	if n := idle.served.Load(); n != 7 {
		t.Errorf("the idle instance served %d requests, want 7", n)
	}
}

// The instance closes its idle connection; the client does not notice.
func TestIdleInstanceConnectionEnds(t *testing.T) {
	r := newRig(t, 1, Options{})
	var conns atomic.Int32
	r.relay.Admit(0, script(t, func(c net.Conn) {
		conns.Add(1)
		br := bufio.NewReader(c)
		if _, err := http.ReadRequest(br); err == nil {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	}))
	c := r.dial(0)
	br := bufio.NewReader(c)
	for range 5 {
		exchange(t, c, br, getRequest, "GET")
	}
	if n := conns.Load(); n != 5 {
		t.Errorf("%d instance connections, want 5", n)
	}
	if got := r.counters[0].Totals(); got.Requests != 5 || got.ConnsTotal != 1 || got.InFlight != 0 {
		t.Errorf("%+v", got)
	}
}

// Above the limit on connections clients wait in the kernel.
func TestLimitOnConnections(t *testing.T) {
	said := make(chan string, 10)
	r := newRig(t, 1, Options{Limits: Limits{Conns: 2}, Log: func(s string) { said <- s }})
	r.relay.Admit(0, serve(t, nil).instance())
	var conns []net.Conn
	for range 2 {
		c := r.dial(0)
		exchange(t, c, bufio.NewReader(c), getRequest, "GET")
		conns = append(conns, c)
	}
	<-said
	third := r.dial(0)
	io.WriteString(third, getRequest)
	// It is not the relay's yet, so its request is not counted.
	if n := r.requests(); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
	conns[0].Close()
	readResponse(t, bufio.NewReader(third), "GET")
}

// A head that does not come is not waited for for ever, and never reaches an
// instance.
func TestSlowHead(t *testing.T) {
	r := newRig(t, 1, Options{Limits: Limits{Head: 50 * time.Millisecond}})
	s := serve(t, nil)
	r.relay.Admit(0, s.instance())
	c := r.dial(0)
	io.WriteString(c, "GET / HTTP/1.1\r\nHo")
	if b, err := io.ReadAll(c); len(b) != 0 || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	if n := r.counters[0].Totals().ConnsTotal; n != 0 {
		t.Errorf("%d connections reached the instance", n)
	}
}

func TestIdleClient(t *testing.T) {
	r := newRig(t, 1, Options{Limits: Limits{Idle: 50 * time.Millisecond}})
	r.relay.Admit(0, serve(t, nil).instance())
	c := r.dial(0)
	br := bufio.NewReader(c)
	exchange(t, c, br, getRequest, "GET")
	if _, err := br.ReadByte(); err != io.EOF {
		t.Errorf("%v, want EOF", err)
	}
}

// A client that does not read is given up.
func TestStalledReader(t *testing.T) {
	r := newRig(t, 1, Options{Limits: Limits{Stall: 100 * time.Millisecond}})
	r.relay.Admit(0, serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		b := make([]byte, 64<<10)
		for {
			if _, err := w.Write(b); err != nil {
				return
			}
		}
	})).instance())
	c := r.dial(0)
	io.WriteString(c, getRequest)
	eventually(t, "the connection ends", func() bool {
		got := r.counters[0].Totals()
		return got.ConnsTotal == 1 && got.ConnsOpen == 0
	})
}

// An instance may pause in the middle of a response for longer than a client may.
func TestPausingInstance(t *testing.T) {
	const size = 1 << 20
	r := newRig(t, 1, Options{Limits: Limits{Stall: time.Second}}) // enough for a client on a busy machine
	r.relay.Admit(0, script(t, func(c net.Conn) {
		br := bufio.NewReader(c)
		for pause := 2 * time.Second; ; pause = 0 {
			if _, err := http.ReadRequest(br); err != nil {
				return
			}
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\nx", size)
			time.Sleep(pause)
			c.Write(make([]byte, size-1))
		}
	}))
	c := r.dial(0)
	br := bufio.NewReader(c)
	io.WriteString(c, getRequest+getRequest) // which do not talk plainly
	for range 2 {
		if resp, body := readResponse(t, br, "GET"); resp.StatusCode != http.StatusOK || len(body) != size {
			t.Errorf("%s, %d bytes", resp.Status, len(body))
		}
	}
}

// Who waits for an instance when the app is stopped is told so at once.
func TestReleaseTellsWhoWaits(t *testing.T) {
	r := newRig(t, 1, Options{Limits: Limits{Hold: time.Hour}})
	end := make(chan struct{})
	r.relay.Admit(0, script(t, func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
		<-end
	}))
	c := r.dial(0)
	br := bufio.NewReader(c)
	exchange(t, c, br, getRequest, "GET")
	r.relay.Withdraw(0, 0)
	close(end)
	eventually(t, "the instance is gone", func() bool {
		r.relay.mu.Lock()
		defer r.relay.mu.Unlock()
		return len(r.relay.slots[0].links) == 0
	})
	io.WriteString(c, getRequest)
	waiting := func() bool { // in connect, for somebody to be admitted
		buf := make([]byte, 1<<20)
		return strings.Contains(string(buf[:runtime.Stack(buf, true)]), ".(*pair).connect(")
	}
	eventually(t, "the client waits", waiting)
	r.relay.Release()
	if resp, _ := readResponse(t, br, "GET"); resp.StatusCode != http.StatusServiceUnavailable || !resp.Close {
		t.Errorf("%s, close %v", resp.Status, resp.Close)
	}
}

// Close ends everything, in whatever state it is.
func TestCloseEndsEverything(t *testing.T) {
	r := newRig(t, 2, Options{})
	stuck := make(chan struct{})
	started := make(chan struct{}, 1)
	r.relay.Admit(0, serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		started <- struct{}{}
		<-stuck
	})).instance())
	defer close(stuck)
	idle, busy, half := r.dial(0), r.dial(0), r.dial(1)
	_ = idle
	io.WriteString(busy, getRequest)
	io.WriteString(half, "GET / HT")
	<-started
	r.relay.Close()
	for _, c := range []net.Conn{idle, busy, half} {
		if b, _ := io.ReadAll(c); len(b) != 0 {
			t.Errorf("got %q", b)
		}
	}
}
