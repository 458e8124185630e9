package relay

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

const getRequest = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

// While nobody is live, connections wait in the kernel; the next instance
// serves them.
func TestConnectionsWaitForAnInstance(t *testing.T) {
	r := newRig(t, 1, Options{})
	c := r.dial(0)
	if _, err := io.WriteString(c, getRequest); err != nil {
		t.Fatal(err)
	}
	s := serve(t, nil)
	r.relay.Admit(0, s.instance())
	if resp, _ := readResponse(t, bufio.NewReader(c), "GET"); resp.StatusCode != 200 {
		t.Error(resp.Status)
	}
}

// When nobody has been live for long, the clients in the kernel's queue are told,
// and so are those that come then; until somebody is live.
func TestNobodyCameInTime(t *testing.T) {
	r := newRig(t, 1, Options{Limits: Limits{Hold: 50 * time.Millisecond}})
	ask := func() int {
		t.Helper()
		c := r.dial(0)
		defer c.Close()
		resp, _ := exchange(t, c, bufio.NewReader(c), getRequest, "GET")
		return resp.StatusCode
	}
	opaque := r.dial(0)
	io.WriteString(opaque, "\x00\x01")
	for range 3 {
		if code := ask(); code != http.StatusServiceUnavailable {
			t.Errorf("status %d with nobody live", code)
		}
	}
	if b, err := io.ReadAll(opaque); len(b) != 0 || err != nil {
		t.Errorf("a client of another protocol got %q, %v", b, err)
	}
	r.relay.Withdraw(0) // of one that never was live: no news
	s := serve(t, nil)
	r.relay.Admit(0, s.instance())
	if code := ask(); code != http.StatusOK {
		t.Errorf("status %d with an instance", code)
	}
	r.relay.Withdraw(0)
	if code := ask(); code != http.StatusServiceUnavailable {
		t.Errorf("status %d after it has gone", code)
	}
}

// Restarts of an instance that never gets live do not begin the wait anew, and
// one that was live does.
func TestWaitBeginsWithTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Options{Limits: Limits{Hold: time.Minute}})
		for i := range 2 {
			r.slots[i] = &slot{links: map[*link]struct{}{}}
		}
		patience := func() time.Duration {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.patience()
		}
		accepting := make(chan bool, 1)
		go func() { accepting <- r.awaitWork() }()
		for range 5 {
			time.Sleep(10 * time.Second)
			r.Withdraw(0)
		}
		if got := patience(); got != 10*time.Second {
			t.Errorf("%v left after 50 s", got)
		}
		synctest.Wait()
		if len(accepting) != 0 {
			t.Error("clients are accepted before their time")
		}
		time.Sleep(10 * time.Second)
		<-accepting

		r.Admit(0, Instance{})
		r.Admit(1, Instance{})
		time.Sleep(time.Hour)
		r.Withdraw(0)
		if got := patience(); got != time.Minute {
			t.Errorf("%v with one live", got)
		}
		time.Sleep(time.Second)
		if err := r.Drain(t.Context(), 1); err != nil {
			t.Error(err)
		}
		time.Sleep(20 * time.Second)
		if got := patience(); got != 40*time.Second {
			t.Errorf("%v left 20 s after the last", got)
		}
		r.Close()
	})
}

// A connection that was accepted before the last instance went away is held,
// and answered with 503 when none comes back.
func TestNobodyComesBack(t *testing.T) {
	r := newRig(t, 1, Options{Limits: Limits{Hold: 50 * time.Millisecond}})
	r.relay.Admit(0, Instance{Network: "tcp", Address: closedAddress(t)})
	c := r.dial(0)
	resp, _ := exchange(t, c, bufio.NewReader(c), getRequest, "GET")
	if resp.StatusCode != http.StatusServiceUnavailable || !resp.Close {
		t.Errorf("%s, close %v", resp.Status, resp.Close)
	}
	if n := r.requests(); n != 0 {
		t.Errorf("%d requests counted, none was served", n)
	}
}

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

// Instances are drained one after the other under load, and stopped at once
// when drained: no request fails, and no client loses its connection.
func TestDrainLosesNothing(t *testing.T) {
	const slots, clients, rounds = 3, 8, 12
	r := newRig(t, slots, Options{})
	slow := http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		n, _ := io.Copy(io.Discard, q.Body)
		time.Sleep(time.Millisecond)
		fmt.Fprint(w, n)
	})
	current := make([]*server, slots)
	for i := range slots {
		current[i] = serve(t, slow)
		r.relay.Admit(i, current[i].instance())
	}
	stop := make(chan struct{})
	errs := make(chan error, clients)
	var sent atomic.Uint64
	var all sync.WaitGroup
	for i := range clients {
		c := r.dial(i % slots)
		all.Go(func() {
			br := bufio.NewReader(c)
			for {
				select {
				case <-stop:
					return
				default:
				}
				request := getRequest
				if i%2 == 1 {
					request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12345"
				}
				if _, err := io.WriteString(c, request); err != nil {
					errs <- err
					return
				}
				if err := readOK(br); err != nil {
					errs <- err
					return
				}
				sent.Add(1)
			}
		})
	}
	for round := range rounds {
		i := round % slots
		before := sent.Load()
		if err := r.relay.Drain(t.Context(), i); err != nil {
			t.Fatal(err)
		}
		current[i].Close() // resets whatever is still open
		current[i] = serve(t, slow)
		r.relay.Admit(i, current[i].instance())
		eventually(t, "the load goes on", func() bool { return sent.Load() >= before+clients })
	}
	close(stop)
	all.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	if got := r.requests(); got != sent.Load() {
		t.Errorf("counted %d, clients got %d answers", got, sent.Load())
	}
}

// A drain waits for a request in flight, but not for a connection that cannot
// be followed.
func TestDrainWaitsForRequests(t *testing.T) {
	r := newRig(t, 1, Options{})
	release := make(chan struct{})
	started := make(chan struct{})
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(started)
		<-release
	}))
	r.relay.Admit(0, s.instance())
	c := r.dial(0)
	io.WriteString(c, getRequest)
	<-started
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := r.relay.Drain(ctx, 0); err == nil {
		t.Error("drained with a request in flight")
	}
	close(release)
	readResponse(t, bufio.NewReader(c), "GET")
	if err := r.relay.Drain(t.Context(), 0); err != nil {
		t.Error(err)
	}
}

// A drain ends when its time is up, also while a client does not take what an
// instance said last.
func TestDrainDoesNotWaitForAReader(t *testing.T) {
	r := newRig(t, 1, Options{})
	began := make(chan struct{})
	r.relay.Admit(0, script(t, func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
			return
		}
		// The relay's end of the client's connection holds next to nothing, as
		// does the client's, so that the rest of a long head does not fit.
		r.relay.mu.Lock()
		for p := range r.relay.pairs {
			_ = p.client.(*net.TCPConn).SetWriteBuffer(1)
		}
		r.relay.mu.Unlock()
		io.WriteString(c, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 60<<10))
		close(began)
	}))
	small := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 1) })
	}}
	c, err := small.Dial("tcp", r.addrs[0])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, getRequest)
	<-began
	eventually(t, "the relay writes the rest of the head", func() bool {
		all := make([]byte, 1<<20)
		return bytes.Contains(all[:runtime.Stack(all, true)], []byte(").linkEnded("))
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	drained := make(chan error, 1)
	go func() { drained <- r.relay.Drain(ctx, 0) }()
	select {
	case err = <-drained:
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("drained: %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("the drain waits for the client")
	}
}

func TestDrainDoesNotWaitForOpaque(t *testing.T) {
	r := newRig(t, 1, Options{})
	r.relay.Admit(0, script(t, func(c net.Conn) { io.Copy(c, c) }))
	c := r.dial(0)
	ping := func() {
		t.Helper()
		b := make([]byte, 4)
		io.WriteString(c, "\x00\x01\x02\x03")
		if _, err := io.ReadFull(c, b); err != nil {
			t.Fatal(err)
		}
	}
	ping()
	if err := r.relay.Drain(t.Context(), 0); err != nil {
		t.Error(err)
	}
	ping() // it is the instance that ends such a connection
	if n := r.counters[0].Totals().Unparsed; n != 1 {
		t.Errorf("%d unparsed, want 1", n)
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
