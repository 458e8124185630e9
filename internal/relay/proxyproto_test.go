package relay

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
)

func TestProxyHeaders(t *testing.T) {
	tcp := func(s string) net.Addr {
		a, err := net.ResolveTCPAddr("tcp", s)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	const signature = "\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a"
	for _, x := range []struct {
		from, to net.Addr
		want     string
	}{
		{tcp("192.0.2.1:4660"), tcp("198.51.100.2:80"), "\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x02\x12\x34\x00\x50"},
		{tcp("[::ffff:192.0.2.1]:4660"), tcp("[::ffff:198.51.100.2]:80"), "\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x02\x12\x34\x00\x50"},
		{tcp("[2001:db8::1]:1"), tcp("[::1]:2"), "\x21\x21\x00\x24\x20\x01\x0d\xb8" + string(make([]byte, 11)) + "\x01" + string(make([]byte, 15)) + "\x01\x00\x01\x00\x02"},
		{&net.UnixAddr{Name: "x"}, tcp("[::1]:2"), "\x20\x00\x00\x00"},
		{nil, nil, "\x20\x00\x00\x00"},
	} {
		if got := clientHeader(x.from, x.to); string(got) != signature+x.want {
			t.Errorf("from %v to %v: %q", x.from, x.to, got)
		}
	}
}

// Each connection to an instance begins with the header of the client that it is
// for: also one that follows another, one for a protocol in which the server
// speaks first, and one on which a request is repeated.
func TestProxyProtocol(t *testing.T) {
	r := newRig(t, 1, Options{ProxyProtocol: true})
	headers := make(chan string, 4)
	instance := func(serve func(net.Conn, *bufio.Reader)) Instance {
		return script(t, func(c net.Conn) {
			br := bufio.NewReader(c)
			b := make([]byte, 28)
			if _, err := io.ReadFull(br, b); err == nil {
				headers <- string(b)
				serve(c, br)
			}
		})
	}
	answer := func(c net.Conn, br *bufio.Reader) {
		for {
			if _, err := http.ReadRequest(br); err != nil {
				return
			}
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")
		}
	}
	in := instance(answer)
	in.Generation = 1
	r.relay.Admit(0, in)
	c := r.dial(0)
	br := bufio.NewReader(c)
	want := string(clientHeader(c.LocalAddr(), c.RemoteAddr()))
	check := func(what string) {
		t.Helper()
		if got := <-headers; got != want {
			t.Errorf("%s: the header is %q, want %q", what, got, want)
		}
	}
	exchange(t, c, br, getRequest, "GET")
	exchange(t, c, br, getRequest, "GET")
	check("at first")
	var dead atomic.Bool
	dying := instance(func(_ net.Conn, br *bufio.Reader) {
		http.ReadRequest(br)
		dead.Store(true)
	})
	dying.Generation, dying.Alive = 2, func() bool { return !dead.Load() }
	r.relay.Admit(0, dying)
	if err := r.relay.Drain(t.Context(), 0, 1); err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, getRequest)
	check("after the drain")
	in = instance(answer)
	in.Generation = 3
	r.relay.Admit(0, in)
	readResponse(t, br, "GET")
	check("after the death")
	c.Close()

	first := instance(func(c net.Conn, _ *bufio.Reader) { io.WriteString(c, "220 hello") })
	first.Generation = 4
	r.relay.Admit(0, first)
	c = r.dial(0)
	want = string(clientHeader(c.LocalAddr(), c.RemoteAddr()))
	if b, err := io.ReadAll(c); !bytes.Equal(b, []byte("220 hello")) {
		t.Errorf("the client got %q, %v", b, err)
	}
	check("server first")
}
