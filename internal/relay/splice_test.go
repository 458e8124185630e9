package relay

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"testing"
	"time"
)

// Large bodies pass unchanged both ways, within the kernel or, where there are no
// pipes for that, copied, and the connection goes on behind them.
func TestLargeBodies(t *testing.T) {
	data := make([]byte, 5<<20+12345)
	rng := rand.NewChaCha8([32]byte{1})
	rng.Read(data)
	for _, spliced := range []bool{true, false} {
		t.Run(fmt.Sprintf("spliced %v", spliced), func(t *testing.T) {
			if !spliced {
				var taken []*pipe
				for p := takePipe(); p != nil; p = takePipe() {
					taken = append(taken, p)
				}
				defer func() {
					for _, p := range taken {
						p.give(true)
					}
				}()
			}
			r := newRig(t, 1, Options{})
			r.relay.Admit(0, serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				b, err := io.ReadAll(r.Body)
				if err != nil || !bytes.Equal(b, data) {
					t.Errorf("the instance got %d bytes of %d, %v", len(b), len(data), err)
				}
				if r.ContentLength > 0 {
					w.Header().Set("Content-Length", fmt.Sprint(len(data)))
				}
				w.Write(data)
			})).instance())
			c := r.dial(0)
			br := bufio.NewReader(c)
			for i, head := range []string{
				fmt.Sprintf("Content-Length: %d\r\n\r\n", len(data)),
				fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n", len(data)),
				fmt.Sprintf("Content-Length: %d\r\n\r\n", len(data)),
			} {
				go func() {
					io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\n"+head)
					c.Write(data)
					if i == 1 {
						io.WriteString(c, "\r\n0\r\n\r\n")
					}
				}()
				if _, body := readResponse(t, br, "POST"); body != string(data) {
					t.Errorf("the client got %d bytes of %d", len(body), len(data))
				}
				if got := r.counters[0].Totals(); got.Requests != uint64(i+1) || got.Unparsed != 0 {
					t.Errorf("%+v", got)
				}
			}
			got := r.counters[0].Totals()
			if least := uint64(3 * len(data)); got.BytesIn < least || got.BytesOut < least || got.BytesIn > least+1000 || got.BytesOut > least+20_000 {
				t.Errorf("%d bytes in, %d out, of %d", got.BytesIn, got.BytesOut, least)
			}
		})
	}
	pipes.Lock()
	defer pipes.Unlock()
	if len(pipes.idle) != pipes.made || pipes.made == 0 {
		t.Errorf("%d of %d pipes are idle", len(pipes.idle), pipes.made)
	}
}

// A client that leaves in the middle costs no pipe.
func TestLargeBodyCutOff(t *testing.T) {
	r := newRig(t, 1, Options{})
	r.relay.Admit(0, serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(64<<20))
		w.Write(make([]byte, 64<<20))
	})).instance())
	c := r.dial(0)
	io.WriteString(c, getRequest)
	if _, err := io.CopyN(io.Discard, c, 3<<20); err != nil {
		t.Fatal(err)
	}
	c.Close()
	r.ends()
	pipes.Lock()
	defer pipes.Unlock()
	if len(pipes.idle) != pipes.made {
		t.Errorf("%d of %d pipes are idle", len(pipes.idle), pipes.made)
	}
}

// Who is told of what has moved may close where it goes to, which waits for who
// writes there if that is a connection of package net.
func TestMovedMayClose(t *testing.T) {
	from, src := tcpPair(t)
	dst, _ := tcpPair(t)
	go func() { _, _ = from.Write(make([]byte, 1<<20)) }()
	in, err := src.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	out, err := dst.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan moveError)
	go func() { failed <- move(out, in, 1<<20, func() {}, func(int) { dst.Close() }) }()
	select {
	case f := <-failed:
		if f.dst == nil {
			t.Errorf("failed: %+v; want that dst has", f)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("not within 20 s: the close, and the end of the move")
	}
}

// tcpPair is a connection's two ends.
func tcpPair(t *testing.T) (near, far *net.TCPConn) {
	t.Helper()
	l := listenLocal(t)
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	d, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return c.(*net.TCPConn), d.(*net.TCPConn)
}
