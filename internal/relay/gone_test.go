package relay

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"

	"clusterd/internal/traffic"
)

// ends waits until the rig's only connection has been counted and has ended.
func (r *rig) ends() {
	r.t.Helper()
	eventually(r.t, "the connection ends", func() bool {
		got := r.counters[0].Totals()
		return got.ConnsTotal == 1 && got.ConnsOpen == 0
	})
	if n := r.counters[0].Totals().InFlight; n != 0 {
		r.t.Errorf("%d requests in flight at the end", n)
	}
}

// A connection that cannot be followed ends when one side has said all and the
// other one never says a word.
func TestHalfOpenOpaque(t *testing.T) {
	for name, f := range map[string]func(client net.Conn){
		"the instance hangs": func(client net.Conn) {
			io.WriteString(client, "\x00")
			closeWrite(client)
		},
		"the instance hangs with what was an HTTP request": func(client net.Conn) {
			io.WriteString(client, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nno chunk")
			closeWrite(client)
		},
		"the client stays": func(client net.Conn) { io.WriteString(client, "\x01") },
		"the client says what the instance does not hear": func(client net.Conn) {
			io.WriteString(client, "\x01")
			_, _ = client.Write(make([]byte, 32<<20))
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 1, Options{Limits: Limits{Stall: 100 * time.Millisecond}})
			over := make(chan struct{})
			r.relay.Admit(0, script(t, func(c net.Conn) {
				b := []byte{0}
				if io.ReadFull(c, b); b[0] == 1 {
					closeWrite(c)
				}
				<-over
			}))
			defer close(over)
			f(r.dial(0))
			r.ends()
		})
	}
}

// As long as there is progress, the other side may say whatever it has to.
func TestHalfOpenOpaqueGoesOn(t *testing.T) {
	const stall, words, pause = 2 * time.Second, 50, 50 * time.Millisecond // more than stall in all
	slowly := func(c io.Writer) {
		for range words {
			time.Sleep(pause)
			io.WriteString(c, "x")
		}
	}
	t.Run("instance", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, 1, Options{Limits: Limits{Stall: stall}})
		r.relay.Admit(0, script(t, func(c net.Conn) {
			io.Copy(io.Discard, c)
			slowly(c)
		}))
		c := r.dial(0)
		io.WriteString(c, "\x00")
		closeWrite(c)
		if b, err := io.ReadAll(c); len(b) != words || err != nil {
			t.Errorf("the client heard %d of %d words, %v", len(b), words, err)
		}
	})
	t.Run("client", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, 1, Options{Limits: Limits{Stall: stall}})
		heard := make(chan int, 1)
		r.relay.Admit(0, script(t, func(c net.Conn) {
			closeWrite(c)
			n, _ := io.Copy(io.Discard, c)
			heard <- int(n)
		}))
		c := r.dial(0)
		io.WriteString(c, "\x00")
		if _, err := io.ReadAll(c); err != nil {
			t.Fatal(err)
		}
		slowly(c)
		closeWrite(c)
		if n := <-heard; n != 1+words {
			t.Errorf("the instance heard %d of %d words", n, 1+words)
		}
	})
}

// A client that has said all waits for the response as long as it likes.
func TestHalfClosedClientWaits(t *testing.T) {
	r := newRig(t, 1, Options{Limits: Limits{Idle: 50 * time.Millisecond, Stall: 50 * time.Millisecond}})
	r.relay.Admit(0, serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		time.Sleep(500 * time.Millisecond)
	})).instance())
	c := r.dial(0)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	closeWrite(c)
	if resp, _ := readResponse(t, bufio.NewReader(c), "GET"); resp.StatusCode != http.StatusOK {
		t.Error(resp.Status)
	}
}

// A client that has gone ends its connection, although the instance hangs and
// nobody reads from the client.
func TestGoneClient(t *testing.T) {
	for name, tt := range map[string]struct {
		say  string
		half bool // it has said all before it goes
	}{
		"half-closed":              {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", true},
		"upgrade":                  {"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", false},
		"no HTTP behind a request": {"GET / HTTP/1.1\r\nHost: a\r\n\r\n\x00", false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 1, Options{Limits: Limits{Stall: 100 * time.Millisecond}})
			over, reached := make(chan struct{}), make(chan struct{})
			r.relay.Admit(0, script(t, func(c net.Conn) {
				b := make([]byte, 1<<10)
				for n := 0; !bytes.Contains(b[:n], []byte("\r\n\r\n")); {
					m, err := c.Read(b[n:])
					if n += m; err != nil {
						return
					}
				}
				if tt.half {
					c.Read(b) // its end
				}
				close(reached)
				<-over
			}))
			defer close(over)
			c := r.dial(0)
			io.WriteString(c, tt.say)
			if tt.half {
				closeWrite(c)
			}
			<-reached
			c.(*net.TCPConn).SetLinger(0)
			c.Close()
			r.ends()
		})
	}
}

// A client whose machine is gone, or that has closed its connection while an
// instance hangs, is found by probes; also on a socket that was made elsewhere.
func TestClientsAreProbed(t *testing.T) {
	l := listenLocal(t)
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	held, err := net.FileListener(f)
	f.Close()
	if err != nil {
		t.Fatal(err)
	}
	r := New(Options{})
	defer r.Close()
	r.AddSlot(0, held, &traffic.Counters{})
	r.Admit(0, serve(t, nil).instance())
	c, err := net.Dial("tcp", held.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	exchange(t, c, bufio.NewReader(c), getRequest, "GET")
	r.mu.Lock()
	defer r.mu.Unlock()
	for p := range r.pairs {
		_ = p.in.raw.Control(func(fd uintptr) {
			for _, option := range []struct{ level, name, most int }{
				{syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1}, {syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, 60},
			} {
				if got, err := syscall.GetsockoptInt(int(fd), option.level, option.name); err != nil || got < 1 || got > option.most {
					t.Errorf("socket option %+v is %d, %v", option, got, err)
				}
			}
		})
	}
}
