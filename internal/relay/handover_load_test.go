package relay

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// stuff is n bytes of which no part looks like another.
func stuff(n int) []byte {
	b := make([]byte, 0, n+16)
	for i := 0; len(b) < n; i++ {
		b = fmt.Appendf(b, "%x,", i)
	}
	return b[:n]
}

func chunked(b []byte, size int) []byte {
	var out []byte
	for len(b) > 0 {
		n := min(size, len(b))
		out = append(fmt.Appendf(out, "%x\r\n", n), b[:n]...)
		out = append(out, "\r\n"...)
		b = b[n:]
	}
	return append(out, "0\r\n\r\n"...)
}

// One side sends much and the other takes it in parts, with hand-overs in between
// while all buffers are full: every byte arrives, once.
func TestHandOverWhileStuck(t *testing.T) {
	const size = 3 << 20
	body := stuff(size)
	long := fmt.Sprintf("Content-Length: %d\r\n\r\n", size)
	const pieces = "Transfer-Encoding: chunked\r\n\r\n"
	for _, tt := range []struct {
		name     string
		up       bool
		first    string // what the other side says before
		sends    []byte
		requests uint64 // answered at last
	}{
		{"response of known length", false, getRequest, append([]byte("HTTP/1.1 200 OK\r\n"+long), body...), 1},
		{"response in large chunks", false, getRequest, append([]byte("HTTP/1.1 200 OK\r\n"+pieces), chunked(body, 300<<10)...), 1},
		{"response in small chunks", false, getRequest, append([]byte("HTTP/1.1 200 OK\r\n"+pieces), chunked(body, 1000)...), 1},
		{"request of known length", true, "", append([]byte("POST / HTTP/1.1\r\nHost: a\r\n"+long), body...), 0},
		{"request in large chunks", true, "", append([]byte("POST / HTTP/1.1\r\nHost: a\r\n"+pieces), chunked(body, 300<<10)...), 0},
		{"request in small chunks", true, "", append([]byte("POST / HTTP/1.1\r\nHost: a\r\n"+pieces), chunked(body, 1000)...), 0},
		{"unread, to the client", false, "\x16", body, 0},
		{"unread, to the instance", true, "", append([]byte{0x16}, body...), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, 1, Options{})
			serverSide, over := make(chan net.Conn, 1), make(chan struct{})
			end := sync.OnceFunc(func() { close(over) })
			defer end()
			in := script(t, func(conn net.Conn) {
				serverSide <- conn
				<-over
			})
			r.relay.Admit(0, in)
			client := r.dial(0)
			if tt.first != "" {
				io.WriteString(client, tt.first)
			}
			var from, to net.Conn
			var writing sync.WaitGroup
			write := func() {
				writing.Go(func() {
					if _, err := from.Write(tt.sends); err != nil {
						t.Error(err)
					}
				})
			}
			if tt.up {
				from = client
				write()
				to = <-serverSide
			} else {
				from, to = <-serverSide, client
				if _, err := io.ReadFull(from, make([]byte, len(tt.first))); err != nil {
					t.Fatal(err)
				}
				write()
			}
			passed := func() uint64 {
				n := r.counters[0].Totals()
				return n.BytesIn + n.BytesOut
			}
			got := make([]byte, len(tt.sends))
			for at, part := 0, 0; at < len(got); part++ {
				if part%4 == 0 { // let it run full
					for last, now := uint64(0), passed(); now != last; last, now = now, passed() {
						time.Sleep(2 * time.Millisecond)
					}
				}
				r.handOver(in)
				n, err := io.ReadFull(to, got[at:min(at+200_000, len(got))])
				if err != nil {
					t.Fatalf("after %d bytes: %v", at+n, err)
				}
				at += n
			}
			writing.Wait()
			if !bytes.Equal(got, tt.sends) {
				t.Error("other bytes arrived than were sent")
			}
			n := r.counters[0].Totals()
			if want := uint64(len(tt.first) + len(tt.sends)); n.BytesIn+n.BytesOut != want || n.Requests != tt.requests || n.ConnsOpen != 1 || n.ConnsTotal != 1 {
				t.Errorf("counted %+v, want %d bytes and %d requests", n, want, tt.requests)
			}
			client.Close()
			end()
			eventually(t, "nothing is left", func() bool { n := r.counters[0].Totals(); return n.ConnsOpen == 0 && n.InFlight == 0 })
		})
	}
}

// Twenty hand-overs under load of all kinds: no client notices, every request is
// counted once, and no descriptor is left over.
func TestHandOverUnderLoad(t *testing.T) {
	const slots, handOvers, large = 2, 20, 1 << 20
	before := sockets(t)
	body := stuff(large)
	h := http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		switch q.URL.Path {
		case "/large":
			w.Header().Set("Content-Length", fmt.Sprint(large))
			w.Write(body)
		case "/upgrade":
			conn, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				panic(err)
			}
			defer conn.Close()
			io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
			io.Copy(conn, rw)
		default:
			b, err := io.ReadAll(q.Body)
			if err == nil {
				w.Write(b)
			}
		}
	})
	t.Run("load", func(t *testing.T) {
		r := newRig(t, slots, Options{})
		var ins []Instance
		for i := range slots {
			ins = append(ins, serve(t, h).instance())
			r.relay.Admit(i, ins[i])
		}
		var stopped atomic.Bool
		var rounds, asked atomic.Uint64
		var clients sync.WaitGroup
		client := func(slot int, round func(net.Conn, *bufio.Reader) (int, error)) {
			c := r.dial(slot)
			clients.Go(func() {
				defer c.Close()
				br := bufio.NewReader(c)
				for !stopped.Load() {
					n, err := round(c, br)
					if err != nil {
						t.Error(err)
						return
					}
					asked.Add(uint64(n))
					rounds.Add(1)
				}
			})
		}
		for slot := range slots {
			client(slot, func(c net.Conn, br *bufio.Reader) (int, error) { return ask(c, br, getRequest, "") })
			client(slot, func(c net.Conn, br *bufio.Reader) (int, error) {
				return ask(c, br, "GET /large HTTP/1.1\r\nHost: a\r\n\r\n", string(body))
			})
			client(slot, func(c net.Conn, br *bufio.Reader) (int, error) {
				return ask(c, br, "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"+string(chunked(body[:300_000], 7001)), string(body[:300_000]))
			})
			client(slot, func(c net.Conn, br *bufio.Reader) (int, error) {
				var all, want []string
				for i := range 10 {
					all = append(all, fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n%d", i))
					want = append(want, fmt.Sprint(i))
				}
				return ask(c, br, strings.Join(all, ""), want...)
			})
			client(slot, func(net.Conn, *bufio.Reader) (int, error) { // a connection for each
				c, err := net.Dial("tcp", r.addrs[slot])
				if err != nil {
					return 0, err
				}
				defer c.Close()
				return ask(c, bufio.NewReader(c), "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi", "hi")
			})
			upgraded := false
			client(slot, func(c net.Conn, br *bufio.Reader) (n int, err error) {
				if !upgraded {
					io.WriteString(c, "GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
					if _, err := http.ReadResponse(br, nil); err != nil {
						return 0, err
					}
					upgraded, n = true, 1
				}
				go c.Write(body[:50_000])
				got := make([]byte, 50_000)
				if _, err := io.ReadFull(br, got); err != nil {
					return 0, err
				}
				if !bytes.Equal(got, body[:50_000]) {
					return 0, errors.New("an upgraded connection echoes something else")
				}
				return n, nil
			})
		}
		for range handOvers {
			at := rounds.Load()
			r.handOver(ins...)
			eventually(t, "the load goes on", func() bool { return rounds.Load() >= at+6 || t.Failed() })
		}
		stopped.Store(true)
		clients.Wait()
		if got := r.requests(); got != asked.Load() {
			t.Errorf("counted %d requests, clients got %d answers", got, asked.Load())
		}
		for i, c := range r.counters {
			eventually(t, "all is over", func() bool { n := c.Totals(); return n.ConnsOpen == 0 && n.InFlight == 0 })
			if n := c.Totals(); n.Unparsed != 0 || n.Classes[1] != n.Requests-n.Classes[0] {
				t.Errorf("slot %d: %+v", i, n)
			}
		}
	})
	eventually(t, fmt.Sprintf("no more sockets are open than before (%d)", before), func() bool { return sockets(t) <= before })
}

// ask sends requests and reads a response with each of the bodies.
func ask(c net.Conn, br *bufio.Reader, requests string, bodies ...string) (int, error) {
	sent := make(chan error, 1)
	go func() {
		_, err := io.WriteString(c, requests)
		sent <- err
	}()
	for i, want := range bodies {
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			return i, fmt.Errorf("answer %d to %.40q: %w", i, requests, err)
		}
		got, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != 200 || string(got) != want {
			return i, fmt.Errorf("answer %d to %.40q: %s, %d bytes of %d, %v", i, requests, resp.Status, len(got), len(want), err)
		}
	}
	return len(bodies), <-sent
}

// sockets is how many this process has open.
func sockets(t *testing.T) (n int) {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n
}
