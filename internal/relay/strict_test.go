package relay

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What cannot be followed is refused, and no byte of it reaches an instance;
// requests before it are answered first.
func TestStrict(t *testing.T) {
	const good = "GET /good HTTP/1.1\r\nHost: a\r\n\r\n"
	for name, x := range map[string]struct {
		say  string
		want string // statuses
	}{
		"length and chunked":   {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
		"behind a good one":    {good + good + "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "200 200 400"},
		"broken chunks":        {good + "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz", "200 400"},
		"no HTTP":              {"\x16\x03\x01\x00\x05hello", "400"},
		"http/2":               {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400"},
		"bare line feeds":      {"GET / HTTP/1.1\nHost: a\n\n", "400"},
		"too long":             {"GET / HTTP/1.1\r\nA: " + strings.Repeat("a", maxHead) + "\r\n\r\n", "431"},
		"too long after a one": {good + "GET /" + strings.Repeat("a", maxHead) + " HTTP/1.1\r\n\r\n", "200 431"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 1, Options{Strict: true})
			s := serve(t, nil)
			r.relay.Admit(0, s.instance())
			c := r.dial(0)
			go io.WriteString(c, x.say)
			br := bufio.NewReader(c)
			want := strings.Fields(x.want)
			for i, status := range want {
				resp, _ := readResponse(t, br, "GET")
				if got := resp.Status[:3]; got != status || resp.Close != (i == len(want)-1) {
					t.Errorf("answer %d: %s, close %v, want %s", i, resp.Status, resp.Close, status)
				}
			}
			if b, err := br.ReadByte(); err != io.EOF {
				t.Errorf("then %q, %v", b, err)
			}
			got := r.counters[0].Totals()
			if n := uint64(len(want) - 1); got.Requests != n || s.served.Load() != n || got.Unparsed != 0 || got.InFlight != 0 {
				t.Errorf("served %d, counted %+v", s.served.Load(), got)
			}
		})
	}
}

// A body that breaks after its beginning has been passed on: the instance is
// left, and the client told, unless an answer is on its way.
func TestStrictInTheMiddle(t *testing.T) {
	for name, x := range map[string]struct {
		answer string // by the instance, to the head
		status int    // 0: the connection is reset
	}{
		"no answer yet":     {"", 400},
		"interim answer":    {"HTTP/1.1 100 Continue\r\n\r\n", 400},
		"half an answer":    {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", 0},
		"a whole one":       {"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n", 400},
		"the head of a one": {"HTTP/1.1 200 OK\r\nContent-", 400},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 1, Options{Strict: true})
			said, left := make(chan struct{}), make(chan error, 1)
			r.relay.Admit(0, script(t, func(c net.Conn) {
				br := bufio.NewReader(c)
				for line := ""; line != "\r\n"; {
					line, _ = br.ReadString('\n')
				}
				io.WriteString(c, x.answer)
				close(said)
				_, err := io.Copy(io.Discard, br)
				left <- err
			}))
			c := r.dial(0)
			br := bufio.NewReader(c)
			io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
			<-said
			if n := strings.Index(x.answer, "\r\n\r\n"); n > 0 { // the relay has it
				if _, err := br.Peek(n); err != nil {
					t.Fatal(err)
				}
			}
			io.WriteString(c, "no chunk")
			<-left
			if x.status == 0 {
				if _, err := io.Copy(io.Discard, br); !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("the connection ends with %v, want a reset", err)
				}
			} else {
				if strings.Contains(x.answer, "413") {
					readResponse(t, br, "POST")
				}
				if resp, _ := readResponse(t, br, "POST"); resp.StatusCode != x.status {
					t.Errorf("%s, want %d", resp.Status, x.status)
				}
			}
			c.Close()
			r.ends()
			if got := r.counters[0].Totals(); got.Unparsed != 0 {
				t.Errorf("%+v", got)
			}
		})
	}
}

// What an instance says that cannot be followed does not reach the client.
func TestStrictResponses(t *testing.T) {
	const good = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	for name, x := range map[string]struct {
		answer string
		want   string
	}{
		"no HTTP":            {"what?", "502"},
		"length and chunked": {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "502"},
		"unasked":            {good + "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n", "200 200"},
		"broken chunks":      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno chunk", "200 cut"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 1, Options{Strict: true})
			r.relay.Admit(0, script(t, func(c net.Conn) {
				br := bufio.NewReader(c)
				for {
					if _, err := http.ReadRequest(br); err != nil {
						return
					}
					io.WriteString(c, x.answer)
				}
			}))
			c := r.dial(0)
			br := bufio.NewReader(c)
			for _, want := range strings.Fields(x.want) {
				io.WriteString(c, getRequest)
				resp, err := http.ReadResponse(br, nil)
				if want == "cut" || name == "broken chunks" {
					if err == nil {
						_, err = io.ReadAll(resp.Body)
					}
					if err == nil {
						t.Error("the client takes it for whole")
					}
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadAll(resp.Body); err != nil || resp.Status[:3] != want {
					t.Errorf("%s, %v, want %s", resp.Status, err, want)
				}
				if name == "unasked" { // before the next request it would be an answer to that
					eventually(t, "the instance is left", func() bool {
						r.relay.mu.Lock()
						defer r.relay.mu.Unlock()
						return len(r.relay.slots[0].links) == 0
					})
				}
			}
			if got := r.counters[0].Totals(); got.Unparsed != 0 {
				t.Errorf("%+v", got)
			}
		})
	}
}

// What both sides agree on passes all the same.
func TestStrictUpgrade(t *testing.T) {
	r := newRig(t, 1, Options{Strict: true, Limits: Limits{Head: time.Minute}})
	r.relay.Admit(0, script(t, func(c net.Conn) {
		br := bufio.NewReader(c)
		if _, err := http.ReadRequest(br); err == nil {
			io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
			io.Copy(c, br)
		}
	}))
	c := r.dial(0)
	br := bufio.NewReader(c)
	if resp, _ := exchange(t, c, br, "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n", "GET"); resp.StatusCode != 101 {
		t.Fatal(resp.Status)
	}
	io.WriteString(c, "\x00\x01\n\n")
	b := make([]byte, 4)
	if _, err := io.ReadFull(br, b); string(b) != "\x00\x01\n\n" {
		t.Errorf("%q, %v", b, err)
	}
}
