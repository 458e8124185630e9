package ebpf

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// watch begins to count replies.
func watch(t testing.TB, c *Counter) {
	t.Helper()
	switch err := c.WatchReplies(); {
	case errors.Is(err, errNoNetAdmin):
		missing(t, err.Error())
	case err != nil:
		t.Fatal(err)
	}
}

// tally is a connection that counts what is read from it.
type tally struct {
	net.Conn
	n uint64
}

func (c *tally) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.n += uint64(n)
	return n, err
}

// answering serves /STATUS/SHAPE, and counts what it has served by class.
type answering struct {
	classes [5]atomic.Uint64
	addr    string
}

func answer(t *testing.T, ln *net.TCPListener) *answering {
	a := &answering{addr: ln.Addr().String()}
	server := &http.Server{Handler: a}
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Serve(ln)
	}()
	t.Cleanup(func() {
		server.Close()
		<-done
	})
	return a
}

func (a *answering) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	part := strings.Split(r.URL.Path, "/")
	status, err := strconv.Atoi(part[1])
	if err != nil {
		status = 400
	}
	a.classes[status/100-1].Add(1)
	io.Copy(io.Discard, r.Body) // sends 100 Continue where it is expected
	body := strings.Repeat("HTTP/1.1 500 Wrong\r\n\r\n", 3000)
	switch part[2] {
	case "hints":
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusProcessing)
		w.WriteHeader(status)
	case "empty":
		w.WriteHeader(status)
	case "short":
		w.WriteHeader(status)
		io.WriteString(w, body[:40])
	case "chunked":
		w.WriteHeader(status)
		for range 5 {
			io.WriteString(w, body[:500])
			w.(http.Flusher).Flush()
		}
	case "large":
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// What is counted of replies is what net/http sends and its clients get: on
// connections with one request at a time, and with many.
func TestReplies(t *testing.T) {
	for _, together := range []int{1, 8} {
		t.Run(fmt.Sprint(together, " at a time"), func(t *testing.T) {
			c := newCounter(t, 2)
			watch(t, c)
			servers := []*answering{answer(t, listen(t, c, 0, "tcp", "127.0.0.1:0")), answer(t, listen(t, c, 1, "tcp", "127.0.0.1:0"))}
			var got [2]atomic.Uint64
			var lasted [6]time.Duration
			var wg sync.WaitGroup
			for worker := range uint64(len(lasted)) {
				wg.Go(func() {
					slot := worker % 2
					r := rand.New(rand.NewPCG(worker, uint64(together)))
					began := time.Now()
					bytes, err := exchange(servers[slot].addr, r, together)
					if err != nil {
						t.Error(err)
					}
					got[slot].Add(bytes)
					lasted[worker] = time.Since(began)
				})
			}
			wg.Wait()
			for slot, a := range servers {
				counted, err := c.ReadReplies(slot)
				if err != nil {
					t.Fatal(err)
				}
				want := Replies{BytesOut: got[slot].Load()}
				var served uint64
				for i := range a.classes {
					want.Classes[i] = a.classes[i].Load()
					served += want.Classes[i]
				}
				if counted != want {
					t.Errorf("slot %d\ngot  %+v\nwant %+v", slot, counted, want)
				}
				if n := read(t, c, slot).Requests; n != served {
					t.Errorf("slot %d: %d requests counted, %d served", slot, n, served)
				}
				latencies, err := c.ReadLatencies(slot)
				if err != nil {
					t.Fatal(err)
				}
				var measured uint64
				for step, n := range latencies {
					measured += n
					if n > 0 && LatencyFrom(step) > slices.Max(lasted[:]) {
						t.Errorf("slot %d: %d responses took %v, longer than all of it", slot, n, LatencyFrom(step))
					}
				}
				if measured > served || measured == 0 || together == 1 && measured != served {
					t.Errorf("slot %d: %d of %d responses were measured", slot, measured, served)
				}
			}
		})
	}
}

// exchange sends requests on one connection, some together, and returns how many
// bytes came back.
func exchange(addr string, r *rand.Rand, together int) (uint64, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	counting := &tally{Conn: conn}
	answers := bufio.NewReader(counting)
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	for range 25 {
		var requests []*http.Request
		var bytes strings.Builder
		for range together {
			shape := pick("200/short", "201/hints", "200/chunked", "200/large", "204/empty", "304/empty", "301/short", "404/chunked", "500/empty", "503/large")
			method := pick("GET", "HEAD", "POST")
			request, err := http.NewRequest(method, "http://a/"+shape, nil)
			if err != nil {
				return 0, err
			}
			requests = append(requests, request)
			fmt.Fprintf(&bytes, "%s /%s HTTP/1.1\r\nHost: a\r\n", method, shape)
			if method == "POST" {
				fmt.Fprintf(&bytes, "Content-Length: 4\r\nExpect: 100-continue\r\n\r\nbody")
			} else {
				bytes.WriteString("\r\n")
			}
		}
		if _, err := io.WriteString(conn, bytes.String()); err != nil {
			return 0, err
		}
		for _, request := range requests {
			status := 100
			for status < 200 {
				resp, err := http.ReadResponse(answers, request)
				if err != nil {
					return 0, err
				}
				status = resp.StatusCode
				if _, err := io.Copy(io.Discard, resp.Body); err != nil {
					return 0, err
				}
			}
		}
	}
	return counting.n, nil
}

// A response that nothing was asked for, and what is not HTTP, have no status.
func TestRepliesWithoutStatus(t *testing.T) {
	c := newCounter(t, 1)
	watch(t, c)
	for _, tt := range []struct{ name, asks, answers string }{
		{"unasked", "\r\n", "HTTP/1.1 408 Request Timeout\r\n\r\n"},
		{"not HTTP", "GET / HTTP/1.1\r\n\r\n", "SSH-2.0-x\r\n"},
		{"no status", "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 2x0 OK\r\n\r\n"},
		{"version 2", "GET / HTTP/1.1\r\n\r\n", "HTTP/2.0 200 OK\r\n\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ln := listen(t, c, 0, "tcp", "127.0.0.1:0")
			before, err := c.ReadReplies(0)
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				conn, err := ln.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				if _, err := io.ReadFull(conn, make([]byte, len(tt.asks))); err == nil {
					io.WriteString(conn, tt.answers)
				}
			}()
			conn, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, tt.asks); err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(conn); err != nil || string(got) != tt.answers {
				t.Errorf("got %q, %v", got, err)
			}
			after, err := c.ReadReplies(0)
			if err != nil {
				t.Fatal(err)
			}
			before.BytesOut += uint64(len(tt.answers))
			if after != before {
				t.Errorf("got  %+v\nwant %+v", after, before)
			}
		})
	}
}

func TestRepliesUnwatched(t *testing.T) {
	c := newCounter(t, 1)
	if _, err := c.ReadReplies(0); err == nil {
		t.Error("replies were read that are not watched")
	}
	if _, err := c.ReadLatencies(0); err == nil {
		t.Error("latencies were read that are not watched")
	}
}

func TestLatencySteps(t *testing.T) {
	for step, want := range map[int]time.Duration{0: 0, 3: 3000, 4: 4000, 7: 7000, 8: 8000, 9: 10000, 12: 16000, 15: 28000, 40: 2048000} {
		if got := LatencyFrom(step); got != want {
			t.Errorf("step %d begins at %v, want %v", step, got, want)
		}
	}
	for step := 1; step < latencySteps; step++ {
		if LatencyFrom(step) <= LatencyFrom(step-1) {
			t.Errorf("step %d does not begin behind step %d", step, step-1)
		}
	}
}

func TestCgroupFolder(t *testing.T) {
	const unified = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n"
	const hybrid = "29 23 0:25 / /sys/fs/cgroup/unified rw - cgroup2 cgroup rw\n31 23 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
	const container = "30 23 0:26 /box/1 /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n"
	for _, tt := range []struct{ own, mounts, want string }{
		{"0::/user.slice/a.scope\n", unified, "/sys/fs/cgroup/user.slice/a.scope"},
		{"0::/\n", unified, "/sys/fs/cgroup"},
		{"4:cpu:/x\n0::/y\n", hybrid, "/sys/fs/cgroup/unified/y"},
		{"0::/box/1/z\n", container, "/sys/fs/cgroup/z"},
		{"0::/box/2\n", container, ""},
		{"4:cpu:/x\n", hybrid, ""},
		{"0::/\n", "", ""},
	} {
		got, err := cgroupFolder(tt.own, tt.mounts)
		if got != tt.want || (err != nil) != (tt.want == "") {
			t.Errorf("%q: %q, %v, want %q", tt.own, got, err, tt.want)
		}
	}
}
