package relay

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"clusterd/internal/traffic"
)

// conversation is what two sides say to each other, in turns. A turn is said
// once everything before it has been heard.
type conversation struct {
	name  string
	turns []turn

	requests uint64 // to be counted
	opaque   bool   // to be marked as not followed
}

type turn struct {
	client bool
	say    string // "" is the end: the side says no more
}

func c(say string) turn { return turn{true, say} }
func s(say string) turn { return turn{false, say} }

var conversations = []conversation{
	{"get", []turn{c("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), s("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), c("")}, 1, false},
	{"two in a row", []turn{
		c("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n"), s("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1"),
		c("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n"), s("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2"), c("")}, 2, false},
	{"pipelined", []turn{
		c("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n"),
		s("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n3"), c("")}, 3, false},
	{"head", []turn{c("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"), s("HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n"),
		c("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), s("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"), c("")}, 2, false},
	{"not modified with a length", []turn{c("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), s("HTTP/1.1 304 Not Modified\r\nContent-Length: 12\r\n\r\n"),
		c("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), s("HTTP/1.1 204 No Content\r\n\r\n"), c("")}, 2, false},
	{"post", []turn{c("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12345"), s("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"), c("")}, 1, false},
	{"chunked both ways", []turn{
		c("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=\"y\"\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: 1\r\n\r\n"),
		s("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"),
		c("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), s("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n"), c("")}, 2, false},
	{"expect", []turn{c("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"), s("HTTP/1.1 100 Continue\r\n\r\n"),
		c("abc"), s("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), c("")}, 1, false},
	{"early hints", []turn{c("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), s("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"), s("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1"), c("")}, 1, false},
	{"until close", []turn{c("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), s("HTTP/1.1 200 OK\r\n\r\n"), s("some"), s("thing"), s(""), c("")}, 1, false},
	{"http/1.0", []turn{c("GET / HTTP/1.0\r\n\r\n"), s("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"), s(""), c("")}, 1, false},
	{"http/1.0 keep-alive", []turn{c("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), s("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"),
		c("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), s("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"), s(""), c("")}, 2, false},
	{"connection: close", []turn{c("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), s("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), s(""), c("")}, 1, false},
	{"server closes", []turn{c("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), s("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"), s(""), c("")}, 1, false},
	{"empty lines first", []turn{c("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), s("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), c("")}, 1, false},
	{"an empty line too many", []turn{c("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n1"), s("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
		c("\r\n"), c("GET / HTTP/1.1\r\n\r\n"), s("HTTP/1.1 204 No Content\r\n\r\n"), c("")}, 2, false},
	{"carriage return first", []turn{c("\rGET / HTTP/1.1\r\nHost: a\r\n\r\n"), s("HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n"), s(""), c("")}, 0, true},
	{"head in pieces", []turn{c("GET / HT"), c("TP/1.1\r\nHo"), c("st: a\r\n\r"), c("\n"), s("HTTP/1.1 200 O"), s("K\r\nContent-Length: 2\r\n\r"), s("\no"), s("k"), c("")}, 1, false},
	{"half-close", []turn{c("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), c(""), s("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")}, 1, false},
	{"answer before the body", []turn{c("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n123"), s("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"),
		c("456"), c("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), s("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), c("")}, 2, false},
	{"upgrade", []turn{c("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
		s("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x02hi"), c("\x81\x85mask"), s("\x88\x00"), c(""), s("")}, 1, false},
	{"upgrade refused", []turn{c("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"), s("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno"),
		c("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), s("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), c("")}, 2, false},
	{"connect", []turn{c("CONNECT b:443 HTTP/1.1\r\nHost: b\r\n\r\n"), s("HTTP/1.1 200 OK\r\n\r\n"), c("\x16\x03\x01"), s("\x16\x03\x03"), c(""), s("")}, 1, false},
	{"webdav", []turn{c("PROPFIND / HTTP/1.1\r\nHost: a\r\nDepth: 1\r\n\r\n"), s("HTTP/1.1 207 Multi-Status\r\nContent-Length: 3\r\n\r\nxml"), c("")}, 1, false},

	{"tls", []turn{c("\x16\x03\x01\x00\x05hello"), s("\x16\x03\x03\x00\x01x"), c("more"), s("more"), c(""), s("")}, 0, true},
	{"h2c", []turn{c("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"), s("\x00\x00\x00\x04\x01\x00\x00\x00\x00"), c(""), s("")}, 0, true},
	{"server speaks first", []turn{s("220 mail ESMTP\r\n"), c("EHLO a\r\n"), s("250 fine\r\n"), c("QUIT\r\n"), s("221 bye\r\n"), s(""), c("")}, 0, true},
	{"line protocol", []turn{c("PING\r\n"), s("+PONG\r\n"), c("PING\r\n"), s("+PONG\r\n"), c(""), s("")}, 0, true},
	{"half-close of an opaque one", []turn{c("\x00query"), c(""), s("\x00answer"), s("")}, 0, true},
	{"length and chunked", []turn{c("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), s("HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n"), s(""), c("")}, 0, true},
	{"two lengths", []turn{c("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc"), s("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), s(""), c("")}, 0, true},
	{"bare line feeds", []turn{c("GET / HTTP/1.1\nHost: a\n\n"), s("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), s(""), c("")}, 0, true},
	{"bad chunk", []turn{c("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n"), s("HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n"), s(""), c("")}, 0, true},
	{"ambiguous after a good one", []turn{c("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), s("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
		c("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), s("HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n"), s(""), c("")}, 1, true},
	{"unasked answer", []turn{c("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), s("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
		s("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n"), s(""), c("")}, 1, true},
	{"answer that is no HTTP", []turn{c("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), s("what?"), s("\n"), s(""), c("")}, 0, true},
	{"words cut off", []turn{c("query"), c(""), s("answer"), s("")}, 0, true},
	{"empty line and end", []turn{c("\r\n"), c(""), s("answer"), s("")}, 0, true},
}

// Both sides hear through the relay exactly what the other has said, ends
// included, and what is counted is right.
func TestConversations(t *testing.T) {
	for _, talk := range conversations {
		t.Run(talk.name, func(t *testing.T) {
			t.Parallel()
			talk.check(t, Options{}, nil)
		})
	}
}

// check holds a conversation through a relay of its own, and returns what is
// counted. disturb, if set, is called behind each byte and each end.
func (talk conversation) check(t *testing.T, o Options, disturb func(*rig, Instance)) traffic.Totals {
	t.Helper()
	r := newRig(t, 1, o)
	serverSide := make(chan net.Conn)
	over := make(chan struct{})
	end := sync.OnceFunc(func() { close(over) })
	defer end()
	in := script(t, func(conn net.Conn) {
		serverSide <- conn
		<-over
	})
	r.relay.Admit(0, in)
	client := r.dial(0)
	var between func()
	if disturb != nil {
		between = func() { disturb(r, in) }
	}
	hold(t, talk.turns, client, serverSide, between)

	got := r.counters[0].Totals()
	if got.Requests != talk.requests || got.InFlight != 0 {
		t.Errorf("%d requests counted, want %d; %d in flight", got.Requests, talk.requests, got.InFlight)
	}
	if (got.Unparsed > 0) != talk.opaque || got.Unparsed > 1 {
		t.Errorf("%d connections unparsed, want that: %v", got.Unparsed, talk.opaque)
	}
	client.Close()
	end()
	eventually(t, "the connection is closed", func() bool { return r.counters[0].Totals().ConnsOpen == 0 })
	return r.counters[0].Totals()
}

// hold has both sides say their turns, and checks that each hears the other's.
// What a side says is heard at the latest when it is the other one's turn. between,
// if set, is called behind each byte and each end.
func hold(t *testing.T, turns []turn, client net.Conn, serverSide <-chan net.Conn, between func()) {
	t.Helper()
	var server net.Conn
	var heard [2]bytes.Buffer // by the client, by the server
	var said [2]strings.Builder
	listen := func(i int, conn net.Conn) {
		t.Helper()
		for heard[i].Len() < said[1-i].Len() {
			b := make([]byte, 4096)
			n, err := conn.Read(b)
			heard[i].Write(b[:n])
			if err != nil {
				t.Fatalf("%s heard %q of %q: %v", side(i), heard[i].String(), said[1-i].String(), err)
			}
		}
		if heard[i].String() != said[1-i].String() {
			t.Fatalf("%s heard %q, want %q", side(i), heard[i].String(), said[1-i].String())
		}
	}
	ended := [2]bool{}
	for n, turn := range turns {
		i, conn, other := 0, client, server
		if !turn.client {
			if server == nil {
				select {
				case server = <-serverSide:
				case <-time.After(20 * time.Second):
					t.Fatal("the relay never came to the instance")
				}
			}
			i, conn, other = 1, server, client
			listen(1, server)
		} else if server != nil {
			listen(0, client)
		}
		if turn.say == "" {
			ended[i] = true
			closeWrite(conn)
			if between != nil {
				between()
			}
			if other == nil || ended[1-i] {
				continue
			}
			// Before an end is heard, all that was said must be.
			listen(1-i, other)
			if endsFor(turns[n+1:], 1-i) {
				if m, err := other.Read(make([]byte, 1)); err != io.EOF {
					t.Fatalf("%s read %d, %v after the other's end, want EOF", side(1-i), m, err)
				}
			}
			continue
		}
		said[i].WriteString(turn.say)
		parts := []string{turn.say}
		if between != nil {
			parts = strings.Split(turn.say, "")
		}
		for _, part := range parts {
			if _, err := io.WriteString(conn, part); err != nil {
				t.Fatalf("%s says %q: %v", side(i), turn.say, err)
			}
			if between != nil {
				between()
			}
		}
	}
	listen(0, client)
	if server != nil {
		listen(1, server)
	}
}

// endsFor tells that a side still has something to say or end after the other
// has ended, so that it must have heard of that end.
func endsFor(rest []turn, i int) bool {
	for _, t := range rest {
		if t.client == (i == 0) {
			return true
		}
	}
	return false
}

func side(i int) string { return fmt.Sprint([]string{"client", "server"}[i]) }
