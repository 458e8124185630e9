package relay

import (
	"bufio"
	"io"
	"net/http"
	"testing"
)

// What a browser sends, and an answer to it.
const (
	browserRequest = "GET /assets/app.js?v=3 HTTP/1.1\r\nHost: shop.example\r\nConnection: keep-alive\r\n" +
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36\r\n" +
		"Accept: */*\r\nReferer: https://shop.example/\r\nAccept-Encoding: gzip, deflate, br\r\n" +
		"Accept-Language: en-US,en;q=0.9\r\nCookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n\r\n"
	serverResponse = "HTTP/1.1 200 OK\r\nDate: Fri, 02 Jan 2026 15:04:05 GMT\r\nContent-Type: text/javascript\r\n" +
		"Cache-Control: max-age=600\r\nETag: \"5f1d-62a\"\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n"
)

func BenchmarkRequestHead(b *testing.B) {
	data := []byte(browserRequest)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		var t batch
		if err := t.collect(data); err != nil || t.count != 1 {
			b.Fatal(err, t.count)
		}
	}
}

func BenchmarkPipelinedRequests(b *testing.B) {
	var data []byte
	for range 16 {
		data = append(data, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"...)
	}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		var t batch
		if err := t.collect(data); err != nil || t.count != 16 {
			b.Fatal(err, t.count)
		}
	}
}

func BenchmarkResponseHead(b *testing.B) {
	data := []byte(serverResponse)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := readHead(data, parseResponseHead); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkChunkedBody(b *testing.B) {
	chunk := append(append([]byte("1000\r\n"), make([]byte, 4096)...), '\r', '\n')
	var data []byte
	for range 4 {
		data = append(data, chunk...)
	}
	body := newBody(chunkedBody, 0)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if n, _, err := body.feed(data); err != nil || n != len(data) {
			b.Fatal(n, err)
		}
	}
}

// BenchmarkRoundTrip is a request and its answer through the whole relay, with
// the client's and the server's share of the work.
func BenchmarkRoundTrip(b *testing.B) {
	r := newRig(b, 1, Options{})
	r.relay.Admit(0, serve(b, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "ok")
	})).instance())
	conn := r.dial(0)
	br := bufio.NewReader(conn)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := io.WriteString(conn, browserRequest); err != nil {
			b.Fatal(err)
		}
		if err := readOK(br); err != nil {
			b.Fatal(err)
		}
	}
}
