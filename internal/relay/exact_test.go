package relay

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// Ten thousand requests, of five kinds, over four slots: as many are counted as
// the instances themselves have served, one by one.
func TestEveryRequestIsCounted(t *testing.T) {
	const slots = 4
	r := newRig(t, slots, Options{Hash: true})
	var servers []*server
	for i := range slots {
		s := serve(t, nil)
		servers = append(servers, s)
		r.relay.Admit(i, s.instance())
	}

	const perKind, clients = 2000, 4
	get := func(i int) string { return fmt.Sprintf("GET /%d HTTP/1.1\r\nHost: a\r\n\r\n", i) }
	post := func(i int) string {
		return fmt.Sprintf("POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", i, i%3000, strings.Repeat("x", i%3000))
	}
	chunked := func(i int) string {
		body := fmt.Sprintf("%x;ext=1\r\n%s\r\n", i%700+1, strings.Repeat("y", i%700+1))
		return fmt.Sprintf("PUT /%d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%s3\r\nabc\r\n0\r\nTrailer: x\r\n\r\n", i, body)
	}
	closing := func(i int) string { return fmt.Sprintf("GET /%d HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", i) }

	keepAlive := func(c net.Conn, n int, request func(int) string) error {
		br := bufio.NewReader(c)
		for i := range n {
			if _, err := io.WriteString(c, request(i)); err != nil {
				return err
			}
			if err := readOK(br); err != nil {
				return err
			}
		}
		return nil
	}
	pipelined := func(c net.Conn, n int) error {
		const depth = 16
		br := bufio.NewReader(c)
		for i := 0; i < n; i += depth {
			var all strings.Builder
			for j := range min(depth, n-i) {
				all.WriteString(get(i + j))
			}
			if _, err := io.WriteString(c, all.String()); err != nil {
				return err
			}
			for range min(depth, n-i) {
				if err := readOK(br); err != nil {
					return err
				}
			}
		}
		return nil
	}

	errs := make(chan error, 5*clients)
	var all sync.WaitGroup
	for client := range clients {
		n := perKind / clients
		slot := func(i int) int { return (client + i) % slots }
		on := func(slot int, f func(net.Conn) error) {
			all.Go(func() {
				c := r.dial(slot)
				defer c.Close()
				errs <- f(c)
			})
		}
		on(slot(0), func(c net.Conn) error { return keepAlive(c, n, get) })
		on(slot(1), func(c net.Conn) error { return keepAlive(c, n, post) })
		on(slot(2), func(c net.Conn) error { return keepAlive(c, n, chunked) })
		on(slot(3), func(c net.Conn) error { return pipelined(c, n) })
		all.Go(func() {
			for i := range n {
				c, err := net.Dial("tcp", r.addrs[slot(i)])
				if err == nil {
					err = keepAlive(c, 1, func(int) string { return closing(i) })
					c.Close()
				}
				if err != nil {
					errs <- err
					return
				}
			}
		})
	}
	all.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Error(err)
		}
	}

	// At this point every answer has been read, so every request is counted.
	if got := r.requests(); got != 5*perKind {
		t.Errorf("counted %d requests, want %d", got, 5*perKind)
	}
	for i, s := range servers {
		totals := r.counters[i].Totals()
		if totals.Requests != s.served.Load() || totals.Classes[1] != totals.Requests {
			t.Errorf("slot %d: counted %d (2xx %d), served %d", i, totals.Requests, totals.Classes[1], s.served.Load())
		}
		if totals.Unparsed != 0 || totals.InFlight != 0 {
			t.Errorf("slot %d: %d unparsed, %d in flight", i, totals.Unparsed, totals.InFlight)
		}
	}
	for i, c := range r.counters {
		eventually(t, "every connection closed", func() bool { return c.Totals().ConnsOpen == 0 })
		if c.Totals().ConnsTotal == 0 {
			t.Errorf("slot %d: no connection counted", i)
		}
	}
}

func readOK(br *bufio.Reader) error {
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

// Status classes, HEAD, 204, 304, interim responses and closing ones.
func TestStatusClasses(t *testing.T) {
	r := newRig(t, 1, Options{})
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var code int
		fmt.Sscanf(r.URL.Path, "/%d", &code)
		if code == 200 {
			w.WriteHeader(http.StatusEarlyHints)
			w.Header().Set("Content-Length", "5")
			io.WriteString(w, "hello")
			return
		}
		w.WriteHeader(code)
	}))
	r.relay.Admit(0, s.instance())
	c := r.dial(0)
	br := bufio.NewReader(c)
	for _, x := range []struct{ method, path string }{
		{"GET", "/200"}, {"HEAD", "/200"}, {"GET", "/204"}, {"GET", "/304"}, {"GET", "/404"}, {"GET", "/500"}, {"GET", "/503"},
	} {
		exchange(t, c, br, x.method+" "+x.path+" HTTP/1.1\r\nHost: a\r\n\r\n", x.method)
	}
	got := r.counters[0].Totals()
	if want := [5]uint64{0, 3, 1, 1, 2}; got.Classes != want {
		t.Errorf("classes %v, want %v", got.Classes, want)
	}
	if _, ok := r.counters[0].Recent().Percentiles(); !ok {
		t.Error("no latency")
	}
	if got.BytesIn == 0 || got.BytesOut == 0 {
		t.Errorf("bytes in %d, out %d", got.BytesIn, got.BytesOut)
	}
}
