package relay

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestFlushDeliversLastAnswers: an instance answers and ends. That nobody
// serves the port any more must not cost the client the answer, which may
// still be in the relay or on its way there.
func TestFlushDeliversLastAnswers(t *testing.T) {
	for range 20 {
		r := newRig(t, 1, Options{})
		const size = 8 << 20 // more than all the buffers between
		asked := make(chan net.Conn)
		l := listenLocal(t)
		defer l.Close()
		go func() {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
				t.Error(err)
			}
			asked <- c
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 8388608\r\n\r\n"+strings.Repeat("x", size))
			c.Close()
		}()
		r.relay.Admit(0, Instance{Network: "tcp", Address: l.Addr().String()})
		client := r.dial(0)
		_, _ = io.WriteString(client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		<-asked
		r.relay.Withdraw(0, 0)
		r.relay.Release()
		if c, err := net.Dial("tcp", r.addrs[0]); err == nil {
			c.Close()
			t.Error("the port is open after Release")
		}
		flushed := make(chan struct{})
		go func() {
			defer close(flushed)
			r.relay.Flush(context.Background())
			r.relay.Close()
		}()
		got, err := io.Copy(io.Discard, client)
		if err != nil || got < size {
			t.Fatalf("%d of %d bytes, %v", got, size, err)
		}
		<-flushed
	}
}

// TestFlushGivesUp: neither the instance nor the client moves.
func TestFlushGivesUp(t *testing.T) {
	r := newRig(t, 1, Options{})
	l := listenLocal(t)
	defer l.Close()
	r.relay.Admit(0, Instance{Network: "tcp", Address: l.Addr().String()})
	client := r.dial(0)
	_, _ = io.WriteString(client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r.relay.Release()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	r.relay.Flush(ctx)
	if ctx.Err() == nil {
		t.Error("Flush did not wait for the answer")
	}
	r.relay.Close()
	if _, err := client.Read(make([]byte, 1)); err == nil {
		t.Error("the client's connection is open after Close")
	}
}
