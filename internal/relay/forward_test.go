package relay

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
)

func TestForwardedHeads(t *testing.T) {
	for _, x := range []struct{ client, head, want string }{
		{"192.0.2.1", "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a\r\n\r\n"},
		{"2001:db8::1", "GET / HTTP/1.0\r\n\r\n",
			"GET / HTTP/1.0\r\nX-Forwarded-For: 2001:db8::1\r\nX-Forwarded-Proto: http\r\n\r\n"},
		{"192.0.2.1", "\r\nGET / HTTP/1.1\r\nx-forwarded-for: 198.51.100.7 , 203.0.113.9\r\nHost:\ta:80 \r\nX-FORWARDED-FOR:10.0.0.1\r\n\r\n",
			"\r\nGET / HTTP/1.1\r\nHost:\ta:80 \r\nX-Forwarded-For: 198.51.100.7 , 203.0.113.9, 10.0.0.1, 192.0.2.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a:80\r\n\r\n"},
		{"192.0.2.1", "GET / HTTP/1.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: b\r\nX-Forwarded-For:\r\nHost: a\r\n\r\n",
			"GET / HTTP/1.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: b\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n"},
	} {
		f := forwarder{client: netip.MustParseAddr(x.client)}
		f.take()
		f.addHead([]byte(x.head))
		if got := string(*f.buf); got != x.want {
			t.Errorf("%q\n got %q\nwant %q", x.head, got, x.want)
		}
		if _, err := parseRequestHead(*f.buf); err != nil {
			t.Errorf("%q: %v", *f.buf, err)
		}
		f.release()
	}
}

// Of pipelined requests with bodies, each one's head is added to, and nothing
// else; what is repeated after a death has it too.
func TestForwarded(t *testing.T) {
	r := newRig(t, 1, Options{Forwarded: true})
	heard := make(chan string, 3)
	s := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		heard <- strings.Join([]string{r.URL.Path, r.Header.Get("X-Forwarded-For"), r.Header.Get("X-Forwarded-Host"),
			r.Header.Get("X-Forwarded-Proto"), string(b)}, " ")
	}))
	r.relay.Admit(0, s.instance())
	c := r.dial(0)
	br := bufio.NewReader(c)
	long := strings.Repeat("x", 3*bufferSize)
	io.WriteString(c, "POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"+
		"GET /2 HTTP/1.1\r\nHost: b\r\nX-Forwarded-For: 10.1.1.1\r\n\r\n"+
		"POST /3 HTTP/1.1\r\nHost: c\r\nContent-Length: 49152\r\n\r\n"+long)
	for _, want := range []string{"/1 127.0.0.1 a http abc", "/2 10.1.1.1, 127.0.0.1 b http ", "/3 127.0.0.1 c http " + long} {
		if got := <-heard; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		readResponse(t, br, "GET")
	}
	for range 2 { // one after the other
		io.WriteString(c, "GET /4 HTTP/1.1\r\nHost: d\r\n\r\n")
		if got, want := <-heard, "/4 127.0.0.1 d http "; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		readResponse(t, br, "GET")
	}
	if got := r.counters[0].Totals(); got.Requests != 5 || got.Unparsed != 0 {
		t.Errorf("%+v", got)
	}

	var dead atomic.Bool
	died := make(chan struct{})
	dying := script(t, func(c net.Conn) {
		http.ReadRequest(bufio.NewReader(c))
		dead.Store(true)
		close(died)
	})
	dying.Generation, dying.Alive = 1, func() bool { return !dead.Load() }
	r.relay.Admit(0, dying)
	c = r.dial(0)
	io.WriteString(c, "GET /again HTTP/1.1\r\nHost: a\r\n\r\n")
	<-died
	r.relay.Admit(0, Instance{Generation: 2, Network: "tcp", Address: s.addr})
	if got := <-heard; got != "/again 127.0.0.1 a http " {
		t.Errorf("repeated as %q", got)
	}
}
