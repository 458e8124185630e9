package ebpf

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
)

const magic = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// frame is an HTTP/2 frame with a payload of so many bytes.
func frame(kind, flags byte, stream uint32, length int) string {
	head := []byte{
		byte(length >> 16), byte(length >> 8), byte(length), kind, flags,
		byte(stream >> 24), byte(stream >> 16), byte(stream >> 8), byte(stream),
	}
	return string(head) + strings.Repeat("\x01", length)
}

const settings, headers, data, continuation = 4, 1, 0, 9

// conversations are what clients may send on one connection, and what is to be
// counted of it.
var conversations = []struct {
	name     string
	bytes    string
	requests uint64
	unparsed uint64
}{
	{"nothing", "", 0, 0},
	{"one", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 1, 0},
	{"version 1.0", "GET / HTTP/1.0\r\n\r\n", 1, 0},
	{"no end of the head", "GET / HTTP/1.1\r\nHost: a\r\n", 0, 0},
	{"empty lines ahead", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 2, 0},
	{"line feeds only", "GET / HTTP/1.1\nHost: a\n\n", 1, 0},
	{"pipelined", strings.Repeat("GET /a?b=c HTTP/1.1\r\nHost: example.com\r\nAccept: */*\r\n\r\n", 16), 16, 0},
	{"methods", "HEAD / HTTP/1.1\r\n\r\nOPTIONS * HTTP/1.1\r\n\r\nPROPFIND /x HTTP/1.1\r\n\r\nM-SEARCH * HTTP/1.1\r\n\r\nX / HTTP/1.1\r\n\r\nBREW!#$%&'*+-.^_`|~9 / HTTP/1.1\r\n\r\n", 6, 0},
	{"body", "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nGET /GET / HTTP/1.1\r\n\r\n", 2, 0},
	{"body that looks like a request", "POST / HTTP/1.1\r\nContent-Length: 18\r\n\r\nGET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n", 2, 0},
	{"length in odd shape", "POST / HTTP/1.1\r\ncOnTeNt-LeNgTh:\t 0018 \t\r\n\r\nGET / HTTP/1.1\r\n\r\n", 1, 0},
	{"length 0", "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\nGET / HTTP/1.1\r\n\r\n", 2, 0},
	{"names that only resemble", "POST / HTTP/1.1\r\nContent-Lengths: 9\r\nContent-Type: 9\r\nXContent-Length: 9\r\nTransfer-Encodin: chunked\r\nUpgrade-Insecure-Requests: 1\r\n\r\nGET / HTTP/1.1\r\n\r\n", 2, 0},
	{"expect", "PUT / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n\r\n", 2, 0},
	{"large body", "PUT / HTTP/1.1\r\nContent-Length: 300000\r\n\r\n" + strings.Repeat("GET / HTTP/1.1\r\n\r\n12", 15000) + "GET / HTTP/1.1\r\n\r\n", 2, 0},
	{"long target and fields", "GET /" + strings.Repeat("a", 5000) + " HTTP/1.1\r\nCookie: " + strings.Repeat("b", 9000) + "\r\n\r\nGET / HTTP/1.1\r\n\r\n", 2, 0},
	{"bytes beyond ASCII", "GET /\xc3\xa4\xff HTTP/1.1\r\nX: \xc3\xa4\x80\xff\x8a\r\n\r\n", 1, 0},
	{"chunked", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nGET /\r\n12\r\nGET / HTTP/1.1\r\n\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n", 2, 0},
	{"chunk extensions and trailers", "POST / HTTP/1.1\r\ntransfer-encoding:chunked\r\n\r\n005;a=b;c=\"d e\"\r\nhello\r\nA \r\n0123456789\r\na\r\n0123456789\r\n000;x\r\nContent-Length: 7\r\nX: y\r\n\r\nGET / HTTP/1.1\r\n\r\n", 2, 0},
	{"chunked last of several codings", "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, Chunked \r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n", 2, 0},
	{"websocket", "GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x85\x00\x00\x00\x00GET /", 1, 0},
	{"upgrade declined", "GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\nGET / HTTP/1.1\r\n\r\n", 2, 0},
	{"upgrade to h2c", "GET / HTTP/1.1\r\nUpgrade: h2c\r\n\r\n" + magic + frame(settings, 0, 0, 0) + frame(headers, 5, 3, 9), 2, 0},
	{"tunnel", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n\x16\x03\x01\x02\x00", 1, 0},

	{"h2c", magic + frame(settings, 0, 0, 18) + frame(8, 0, 0, 4) + frame(headers, 5, 1, 40) + frame(headers, 5, 3, 1) + frame(headers, 4, 5, 300) + frame(data, 0, 5, 16384) + frame(data, 1, 5, 0), 3, 0},
	{"h2c trailers and continuation", magic + frame(settings, 0, 0, 0) + frame(headers, 0, 1, 20) + frame(continuation, 0, 1, 400) + frame(continuation, 4, 1, 3) + frame(data, 0, 1, 1000) + frame(headers, 5, 1, 10) + frame(headers, 5, 3, 10), 2, 0},
	{"h2c without settings", magic + frame(headers, 5, 1, 10), 0, 1},

	{"tls", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03GET / HTTP/1.1\r\n\r\n", 0, 1},
	{"postgresql", "\x00\x00\x00\x08\x04\xd2\x16\x2f", 0, 1},
	{"redis", "*1\r\n$4\r\nPING\r\n", 0, 1},
	{"smtp", "EHLO example.com\r\nMAIL FROM:<a@b>\r\n", 0, 1},
	{"version 0.9", "GET /\r\n", 0, 1},
	{"version 3", "GET / HTTP/3.0\r\n\r\n", 0, 1},
	{"preface of a lesser version", "PRI * HTTP/1.1\r\n\r\n", 0, 1},
	{"garbage behind a request", "GET / HTTP/1.1\r\n\r\n\x00\x01", 1, 1},
	{"both framings", "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0, 1},
	{"two lengths", "POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nabcde", 0, 1},
	{"list of lengths", "POST / HTTP/1.1\r\nContent-Length: 5, 5\r\n\r\nabcde", 0, 1},
	{"negative length", "POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n", 0, 1},
	{"no length", "POST / HTTP/1.1\r\nContent-Length:\r\n\r\n", 0, 1},
	{"length beyond counting", "POST / HTTP/1.1\r\nContent-Length: 1000000000000000000000\r\n\r\n", 0, 1},
	{"space before the colon", "POST / HTTP/1.1\r\nContent-Length : 5\r\n\r\nabcde", 0, 1},
	{"folded line", "POST / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", 0, 1},
	{"chunked in 1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0, 1},
	{"coding other than chunked", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", 0, 1},
	{"coding that ends like it", "POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n", 0, 1},
	{"chunk size that is none", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5x\r\nhello\r\n0\r\n\r\n", 1, 1},
	{"chunk longer than said", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhello\r\n0\r\n\r\n", 1, 1},
}

// cuts are ways to send bytes in several writes.
var cuts = []struct {
	name string
	next func(rest int) int
}{
	{"whole", func(rest int) int { return rest }},
	{"byte by byte", func(int) int { return 1 }},
	{"up to 9", func(int) int { return 1 + rand.IntN(9) }},
	{"up to 3000", func(int) int { return 1 + rand.IntN(3000) }},
}

// What is counted does not depend on how the bytes are cut into packets, and
// the bytes arrive as they were sent.
func TestConversations(t *testing.T) {
	c := newCounter(t, len(conversations)*len(cuts))
	for i, tt := range conversations {
		for j, cut := range cuts {
			if len(tt.bytes) > 10000 && j > 0 && j < 3 {
				continue // 300,000 packets tell no more
			}
			t.Run(tt.name+"/"+cut.name, func(t *testing.T) {
				slot := i*len(cuts) + j
				ln := listen(t, c, slot, "tcp", "127.0.0.1:0")
				if got := converse(t, ln, tt.bytes, cut.next); !bytes.Equal(got, []byte(tt.bytes)) {
					t.Errorf("%d bytes were sent, and %d or others arrived", len(tt.bytes), len(got))
				}
				want := Counts{ConnsTotal: 1, Requests: tt.requests, BytesIn: uint64(len(tt.bytes)), Unparsed: tt.unparsed}
				if got := read(t, c, slot); got != want {
					t.Errorf("got  %+v\nwant %+v", got, want)
				}
			})
		}
	}
}

// converse sends bytes on a connection of its own, and returns what arrives.
func converse(t *testing.T, ln *net.TCPListener, bytes string, next func(rest int) int) []byte {
	t.Helper()
	arrived := make(chan []byte, 1)
	go func() {
		defer close(arrived)
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		got, _ := io.ReadAll(conn)
		arrived <- got
	}()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for rest := bytes; rest != ""; {
		n := min(next(len(rest)), len(rest))
		if _, err := io.WriteString(conn, rest[:n]); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	return <-arrived
}
