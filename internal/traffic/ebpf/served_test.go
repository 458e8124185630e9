package ebpf

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// server is net/http on a slot. It answers with the hash of the body, so that a
// client knows that its bytes arrived as they were sent.
type server struct {
	served atomic.Uint64
	conns  atomic.Uint64
	url    string
	addr   string
}

func serve(t testing.TB, ln *net.TCPListener) *server {
	t.Helper()
	s := &server{addr: ln.Addr().String(), url: "http://" + ln.Addr().String() + "/"}
	httpServer := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.served.Add(1)
			hash := sha256.New()
			io.Copy(hash, r.Body)
			fmt.Fprintf(w, "%x", hash.Sum(nil))
		}),
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				s.conns.Add(1)
			}
		},
		Protocols: new(http.Protocols),
	}
	httpServer.Protocols.SetHTTP1(true)
	httpServer.Protocols.SetUnencryptedHTTP2(true)
	done := make(chan struct{})
	go func() {
		defer close(done)
		httpServer.Serve(ln)
	}()
	t.Cleanup(func() {
		httpServer.Close()
		<-done
	})
	return s
}

// client makes a client of its own, whose connections end with the test.
func client(t testing.TB, h2c, keepAlive bool) *http.Client {
	transport := &http.Transport{DisableKeepAlives: !keepAlive, MaxIdleConnsPerHost: 100, Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(!h2c)
	transport.Protocols.SetUnencryptedHTTP2(h2c)
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// post sends a body, of known length or in chunks, and checks that it arrived.
func post(c *http.Client, url string, body []byte, chunked bool) error {
	var reader io.Reader = bytes.NewReader(body)
	if chunked {
		reader = io.MultiReader(reader)
	}
	req, err := http.NewRequest("POST", url, reader)
	if err != nil {
		return err
	}
	if chunked {
		req.Trailer = http.Header{"X-End": {"yes"}}
	}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if want := fmt.Sprintf("%x", sha256.Sum256(body)); string(got) != want {
		return fmt.Errorf("a body of %d bytes arrived changed", len(body))
	}
	return nil
}

// What is counted is what net/http serves, on two slots at once.
func TestCountedIsServed(t *testing.T) {
	get := func(c *http.Client, url string, _ int) error {
		resp, err := c.Get(url)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		return err
	}
	upload := func(chunked bool) func(c *http.Client, url string, i int) error {
		return func(c *http.Client, url string, i int) error {
			size := []int{1, 100, 1500, 65536, 300000}[i%5]
			return post(c, url, bytes.Repeat([]byte("GET / HTTP/1.1\r\n\r\n"), size/18+1)[:size], chunked)
		}
	}
	for _, tt := range []struct {
		name           string
		addr           string
		h2c, keepAlive bool
		do             func(c *http.Client, url string, i int) error
	}{
		{"keep-alive", "127.0.0.1:0", false, true, get},
		{"close", "127.0.0.1:0", false, false, get},
		{"bodies", "127.0.0.1:0", false, true, upload(false)},
		{"chunked", "127.0.0.1:0", false, true, upload(true)},
		{"h2c", "127.0.0.1:0", true, true, get},
		{"h2c bodies and trailers", "127.0.0.1:0", true, true, upload(true)},
		{"IPv6", "[::1]:0", false, true, get},
		{"both families", "[::]:0", false, false, get},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCounter(t, 4)
			if strings.HasPrefix(tt.addr, "[") && !haveIPv6() {
				missing(t, "this machine has no IPv6")
			}
			servers := map[int]*server{1: serve(t, listen(t, c, 1, "tcp", tt.addr)), 3: serve(t, listen(t, c, 3, "tcp", tt.addr))}
			clients := client(t, tt.h2c, tt.keepAlive)
			var wg sync.WaitGroup
			for worker := range 8 {
				wg.Go(func() {
					for i := range 50 {
						// Slot 3 gets a third of what slot 1 gets.
						s := servers[1]
						if (worker+i)%4 == 0 {
							s = servers[3]
						}
						if err := tt.do(clients, s.url, i); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			for slot, s := range servers {
				got := read(t, c, slot)
				if got.Requests != s.served.Load() || got.ConnsTotal != s.conns.Load() || got.Unparsed != 0 || got.Resynced != 0 {
					t.Errorf("slot %d: counted %+v, served %d on %d connections", slot, got, s.served.Load(), s.conns.Load())
				}
			}
			if total := servers[1].served.Load() + servers[3].served.Load(); total != 400 {
				t.Errorf("%d requests served, not 400", total)
			}
			for _, slot := range []int{0, 2} {
				if got := read(t, c, slot); got != (Counts{}) {
					t.Errorf("slot %d has no socket, and counted %+v", slot, got)
				}
			}
		})
	}
}

// Sixteen requests in one packet are sixteen.
func TestPipelined(t *testing.T) {
	c := newCounter(t, 1)
	s := serve(t, listen(t, c, 0, "tcp", "127.0.0.1:0"))
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	answers := bufio.NewReader(conn)
	for range 50 {
		if _, err := io.WriteString(conn, strings.Repeat("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 16)); err != nil {
			t.Fatal(err)
		}
		for range 16 {
			resp, err := http.ReadResponse(answers, nil)
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, resp.Body)
		}
	}
	if got := read(t, c, 0); got.Requests != 800 || s.served.Load() != 800 {
		t.Errorf("counted %d, served %d, sent 800", got.Requests, s.served.Load())
	}
}

// What is encrypted is told from what has no requests.
func TestTLSIsUnparsed(t *testing.T) {
	c := newCounter(t, 1)
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Listener.Close()
	s.Listener = listen(t, c, 0, "tcp", "127.0.0.1:0")
	s.StartTLS()
	defer s.Close()
	for range 5 {
		resp, err := s.Client().Get(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		s.Client().CloseIdleConnections()
	}
	if got := read(t, c, 0); got.ConnsTotal != 5 || got.Unparsed != 5 || got.Requests != 0 {
		t.Errorf("counted %+v, want 5 connections, all unparsed", got)
	}
}

func haveIPv6() bool {
	ln, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "[::1]:0")
	if err != nil {
		return false
	}
	ln.Close()
	return true
}
