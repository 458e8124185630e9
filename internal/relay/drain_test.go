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
	"time"
)

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
		if err := r.relay.Drain(t.Context(), i, 0); err != nil {
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

// A successor takes over from an instance that still serves: what comes anew is
// the successor's, also on connections that the client had before, and a request
// in flight is answered by the one that was asked.
func TestSuccession(t *testing.T) {
	r := newRig(t, 1, Options{})
	release, started := make(chan struct{}), make(chan struct{})
	old := serve(t, http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path == "/slow" {
			close(started)
			<-release
		}
		io.WriteString(w, "old")
	}))
	successor := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "new") }))
	admit := func(generation int, s *server) {
		in := s.instance()
		in.Generation = generation
		r.relay.Admit(0, in)
	}
	admit(1, old)
	slow, idle := r.dial(0), r.dial(0)
	idleReader := bufio.NewReader(idle)
	if _, body := exchange(t, idle, idleReader, getRequest, "GET"); body != "old" {
		t.Errorf("the first instance answers %q", body)
	}
	io.WriteString(slow, "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
	<-started

	admit(2, successor)
	late := r.dial(0)
	if _, body := exchange(t, late, bufio.NewReader(late), getRequest, "GET"); body != "new" {
		t.Errorf("a new connection is answered with %q", body)
	}
	drained := make(chan error, 1)
	go func() { drained <- r.relay.Drain(t.Context(), 0, 1) }()
	eventually(t, "the idle connection leaves", func() bool {
		_, body := exchange(t, idle, idleReader, getRequest, "GET")
		return body == "new"
	})
	select {
	case err := <-drained:
		t.Errorf("drained with a request in flight: %v", err)
	default:
	}
	close(release)
	if _, body := readResponse(t, bufio.NewReader(slow), "GET"); body != "old" {
		t.Errorf("the request in flight is answered with %q", body)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
	old.Close()
	r.relay.Withdraw(0, 1) // is no news of the successor
	if _, body := exchange(t, idle, idleReader, getRequest, "GET"); body != "new" {
		t.Errorf("after its predecessor the successor answers %q", body)
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
	if err := r.relay.Drain(ctx, 0, 0); err == nil {
		t.Error("drained with a request in flight")
	}
	close(release)
	readResponse(t, bufio.NewReader(c), "GET")
	if err := r.relay.Drain(t.Context(), 0, 0); err != nil {
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
			_ = p.client.(*socket).control(func(fd int) error { return syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_SNDBUF, 1) })
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
	go func() { drained <- r.relay.Drain(ctx, 0, 0) }()
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
	if err := r.relay.Drain(t.Context(), 0, 0); err != nil {
		t.Error(err)
	}
	ping() // it is the instance that ends such a connection
	if n := r.counters[0].Totals().Unparsed; n != 1 {
		t.Errorf("%d unparsed, want 1", n)
	}
}
