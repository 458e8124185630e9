package relay

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzRequests checks that net/http finds the requests where the relay does.
// What the relay cannot follow it passes on unread: there it may say nothing.
func FuzzRequests(f *testing.F) {
	for _, talk := range conversations {
		f.Add(talk.said(true))
	}
	for _, tt := range requestHeads {
		f.Add([]byte(tt.head))
	}
	for _, tt := range chunkedBodies {
		if len(tt.body) < 1000 {
			f.Add([]byte("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + tt.body + "GET / HTTP/1.1\r\n\r\n"))
		}
	}
	for _, c := range framingCases(f, "requests.json") {
		f.Add(c.bytes())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		whole := readRequestsOf(data)
		if got := readRequestsOf(byteByByte(data)...); !cmp.Equal(got.reading, whole.reading) {
			t.Fatalf("byte by byte: %+v, whole: %+v", got.reading, whole.reading)
		}
		if whole.State == inHead && len(whole.buf) >= maxHead {
			t.Fatalf("%d bytes are held of an incomplete head", len(whole.buf))
		}
		var all batch
		if err := all.collect(data); err == nil && (all.count != min(len(whole.heads), maxPipelined) || all.n > len(data)) {
			t.Fatalf("%d requests collected from %d bytes, want %d", all.count, all.n, len(whole.heads))
		}
		from := 0
		for i, end := range whole.Ends {
			if err := sameRequest(data[from:], end-from, whole.heads[i]); err != nil {
				t.Fatalf("request %d, of %d bytes %q: %v", i, end-from, data[from:end], err)
			}
			from = end
		}
	})
}

// sameRequest compares net/http's idea of the request at the beginning of b
// with the relay's, which is that it has n bytes.
func sameRequest(b []byte, n int, h requestHead) error {
	skip := emptyLines(b) // as net/http's server does, before it calls ReadRequest
	line, rest, _ := bytes.Cut(b[skip:], []byte("\r\n"))
	n -= skip + len(line)
	// What is a fine target is no question of framing.
	words := strings.Split(string(line), " ")
	words[1] = "/"
	if words[0] == "CONNECT" {
		words[1] = "a:1"
	}
	plain := strings.Join(words, " ")
	whole := bytes.NewReader(append([]byte(plain+"\r\n"), rest...))
	br := bufio.NewReader(whole)
	req, err := http.ReadRequest(br)
	if stricter(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("net/http: %w", err)
	}
	if req.Close != h.close {
		return fmt.Errorf("it is the last one: %v; net/http says %v", h.close, req.Close)
	}
	if _, err := io.Copy(io.Discard, req.Body); stricter(err) {
		return nil
	} else if err != nil {
		return fmt.Errorf("net/http, in the body: %w", err)
	}
	if used := int(whole.Size()) - whole.Len() - br.Buffered() - len(plain); used != n {
		return fmt.Errorf("it goes on for %d bytes behind its first line; in net/http for %d", n, used)
	}
	return nil
}

// stricter tells that net/http refuses a message whose framing is not in
// question: for a transfer coding that it does not know, for what a Trailer
// field announces, or for more chunk extensions or trailers than it likes.
func stricter(err error) bool {
	if err == nil {
		return false
	}
	for _, reason := range []string{"unsupported transfer encoding", "too many transfer encodings", "bad trailer key",
		"contains too much non-data", "suspiciously long trailer", "header line too long"} {
		if strings.Contains(err.Error(), reason) {
			return true
		}
	}
	return false
}

// FuzzResponses does the same for responses. Each byte of to is a request that
// they answer.
func FuzzResponses(f *testing.F) {
	for _, talk := range conversations {
		var to []byte
		for _, h := range readRequestsOf(talk.said(true)).heads {
			b := byte(h.method)
			if h.upgrade {
				b |= 8
			}
			to = append(to, b)
		}
		f.Add(to, talk.said(false))
	}
	for _, status := range []string{"100 Continue", "101 Switching", "204 No Content", "304 Not Modified", "200 OK"} {
		for _, field := range []string{"Content-Length: 3", "Transfer-Encoding: chunked", "Transfer-Encoding: gzip", "Connection: close", "A: b"} {
			for _, body := range []string{"", "abc", "3\r\nabc\r\n0\r\n\r\n"} {
				f.Add([]byte{1, 2, 8 | 1, 4}, []byte("HTTP/1.1 "+status+"\r\n"+field+"\r\n\r\n"+body+"HTTP/1.1 200 OK\r\n\r\n"))
				f.Add([]byte{2}, []byte("HTTP/1.0 "+status+"\r\n"+field+"\r\n\r\n"+body))
			}
		}
	}
	f.Fuzz(func(t *testing.T, to, data []byte) {
		if len(to) > maxPipelined {
			return
		}
		var requests []request
		for _, b := range to {
			m := method(b & 7 % 5)
			requests = append(requests, request{method: m, upgrade: b&8 != 0 || m == connect})
		}
		small := readResponsesOf(requests, byteByByte(data)...)
		whole := readResponsesOf(requests, data)
		if small.State != whole.State || small.count.Totals() != whole.count.Totals() {
			t.Fatalf("byte by byte: %s, %+v; whole: %s, %+v", small.State, small.count.Totals(), whole.State, whole.count.Totals())
		}
		if whole.State == inHead && len(whole.buf) >= maxHead {
			t.Fatalf("%d bytes are held of an incomplete head", len(whole.buf))
		}
		from := 0
		for i, end := range small.Ends {
			if err := sameResponse(data[from:], end-from, requests[i]); err != nil {
				t.Fatalf("response %d, of %d bytes %q: %v", i, end-from, data[from:end], err)
			}
			from = end
		}
	})
}

var methodNames = map[method]string{otherMethod: "POST", get: "GET", head: "HEAD", options: "OPTIONS", connect: "CONNECT"}

// sameResponse compares net/http's idea of the response at the beginning of b,
// behind interim ones, with the relay's, which is that it has n bytes.
func sameResponse(b []byte, n int, to request) error {
	whole := bytes.NewReader(b)
	br := bufio.NewReader(whole)
	for {
		resp, err := http.ReadResponse(br, &http.Request{Method: methodNames[to.method]})
		if stricter(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("net/http: %w", err)
		}
		leaves := resp.StatusCode == 101 || (to.method == connect && resp.StatusCode/100 == 2)
		if resp.StatusCode < 200 && !leaves {
			continue
		}
		if !leaves {
			if _, err := io.Copy(io.Discard, resp.Body); stricter(err) {
				return nil
			} else if err != nil {
				return fmt.Errorf("net/http, in the body: %w", err)
			}
		}
		break
	}
	if used := int(whole.Size()) - whole.Len() - br.Buffered(); used != n {
		return fmt.Errorf("it has %d bytes in all; in net/http %d", n, used)
	}
	return nil
}
