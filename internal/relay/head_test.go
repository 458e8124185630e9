package relay

import (
	"bytes"
	"strings"
	"testing"
)

// lines joins the lines of a head, with the empty line that ends it.
func lines(l ...string) string { return strings.Join(l, "\r\n") + "\r\n\r\n" }

var requestHeads = []struct {
	name string
	head string
	want requestHead
	err  error
}{
	{"plain", lines("GET / HTTP/1.1", "Host: a"), requestHead{method: get}, nil},
	{"no field at all", lines("GET / HTTP/1.1"), requestHead{method: get}, nil},
	{"head", lines("HEAD /x?y=z HTTP/1.1", "Host: a"), requestHead{method: head}, nil},
	{"methods are case-sensitive", lines("get / HTTP/1.1", "Host: a"), requestHead{method: otherMethod}, nil},
	{"any token is a method", lines("M-SEARCH * HTTP/1.1", "Host: a"), requestHead{method: otherMethod}, nil},
	{"absolute form", lines("GET http://b:80/x HTTP/1.1", "Host: a"), requestHead{method: get}, nil},
	{"asterisk form", lines("OPTIONS * HTTP/1.1", "Host: a"), requestHead{method: options}, nil},
	{"authority form", lines("CONNECT b:443 HTTP/1.1", "Host: b"), requestHead{method: connect, upgrade: true}, nil},
	{"target beyond ASCII", lines("GET /\xc3\xa4 HTTP/1.1", "Host: a"), requestHead{method: get}, nil},
	{"empty lines first", "\r\n\r\n" + lines("GET / HTTP/1.1"), requestHead{method: get}, nil},

	{"length", lines("POST / HTTP/1.1", "Content-Length: 12"), requestHead{body: lengthBody, length: 12}, nil},
	{"length without space", lines("POST / HTTP/1.1", "content-length:12"), requestHead{body: lengthBody, length: 12}, nil},
	{"length amid white space", lines("POST / HTTP/1.1", "CONTENT-LENGTH: \t 12\t "), requestHead{body: lengthBody, length: 12}, nil},
	{"length with zeros", lines("POST / HTTP/1.1", "Content-Length: 0012"), requestHead{body: lengthBody, length: 12}, nil},
	{"length 0", lines("POST / HTTP/1.1", "Content-Length: 0"), requestHead{}, nil},
	{"get with a body", lines("GET / HTTP/1.1", "Content-Length: 1"), requestHead{method: get, body: lengthBody, length: 1}, nil},
	{"long length", lines("POST / HTTP/1.1", "Content-Length: 999999999999999999"), requestHead{body: lengthBody, length: 999999999999999999}, nil},
	{"empty length", lines("POST / HTTP/1.1", "Content-Length:"), requestHead{}, errAmbiguous},
	{"negative length", lines("POST / HTTP/1.1", "Content-Length: -1"), requestHead{}, errAmbiguous},
	{"signed length", lines("POST / HTTP/1.1", "Content-Length: +1"), requestHead{}, errAmbiguous},
	{"hexadecimal length", lines("POST / HTTP/1.1", "Content-Length: 0x1"), requestHead{}, errAmbiguous},
	{"two numbers", lines("POST / HTTP/1.1", "Content-Length: 1 2"), requestHead{}, errAmbiguous},
	{"length with a fraction", lines("POST / HTTP/1.1", "Content-Length: 1.0"), requestHead{}, errAmbiguous},
	{"length that overflows", lines("POST / HTTP/1.1", "Content-Length: 18446744073709551617"), requestHead{}, errAmbiguous},
	{"list of lengths", lines("POST / HTTP/1.1", "Content-Length: 1, 1"), requestHead{}, errAmbiguous},
	{"same length twice", lines("POST / HTTP/1.1", "Content-Length: 1", "Content-Length: 1"), requestHead{}, errAmbiguous},
	{"two lengths", lines("POST / HTTP/1.1", "Content-Length: 1", "Content-Length: 2"), requestHead{}, errAmbiguous},
	{"length 0 and another", lines("POST / HTTP/1.1", "Content-Length: 0", "Content-Length: 2"), requestHead{}, errAmbiguous},

	{"chunked", lines("POST / HTTP/1.1", "Transfer-Encoding: chunked"), requestHead{body: chunkedBody}, nil},
	{"chunked in capitals", lines("POST / HTTP/1.1", "TRANSFER-ENCODING:CHUNKED"), requestHead{body: chunkedBody}, nil},
	{"coded, then chunked", lines("POST / HTTP/1.1", "Transfer-Encoding: gzip, chunked"), requestHead{body: chunkedBody}, nil},
	{"the same in two lines", lines("POST / HTTP/1.1", "Transfer-Encoding: gzip", "Transfer-Encoding: chunked"), requestHead{body: chunkedBody}, nil},
	{"chunked, then coded", lines("POST / HTTP/1.1", "Transfer-Encoding: chunked, gzip"), requestHead{}, errAmbiguous},
	{"chunked twice", lines("POST / HTTP/1.1", "Transfer-Encoding: chunked, chunked"), requestHead{}, errAmbiguous},
	{"chunked in two lines", lines("POST / HTTP/1.1", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), requestHead{}, errAmbiguous},
	{"chunked, then identity", lines("POST / HTTP/1.1", "Transfer-Encoding: chunked", "Transfer-Encoding: identity"), requestHead{}, errAmbiguous},
	{"identity", lines("POST / HTTP/1.1", "Transfer-Encoding: identity"), requestHead{}, errAmbiguous},
	{"no coding", lines("POST / HTTP/1.1", "Transfer-Encoding:"), requestHead{}, errAmbiguous},
	{"empty coding", lines("POST / HTTP/1.1", "Transfer-Encoding: , chunked"), requestHead{}, errAmbiguous},
	{"nearly chunked", lines("POST / HTTP/1.1", "Transfer-Encoding: xchunked"), requestHead{}, errAmbiguous},
	{"quoted chunked", lines("POST / HTTP/1.1", `Transfer-Encoding: "chunked"`), requestHead{}, errAmbiguous},
	{"chunked with a parameter", lines("POST / HTTP/1.1", "Transfer-Encoding: chunked;q=1"), requestHead{}, errAmbiguous},
	{"chunked behind a vertical tab", lines("POST / HTTP/1.1", "Transfer-Encoding: \vchunked"), requestHead{}, errAmbiguous},
	{"chunked behind a no-break space", lines("POST / HTTP/1.1", "Transfer-Encoding: \xa0chunked"), requestHead{}, errAmbiguous},
	{"chunked and a length", lines("POST / HTTP/1.1", "Transfer-Encoding: chunked", "Content-Length: 3"), requestHead{}, errAmbiguous},
	{"a length and chunked", lines("POST / HTTP/1.1", "Content-Length: 0", "Transfer-Encoding: chunked"), requestHead{}, errAmbiguous},
	{"chunked in HTTP/1.0", lines("POST / HTTP/1.0", "Transfer-Encoding: chunked"), requestHead{}, errAmbiguous},

	{"connection: close", lines("GET / HTTP/1.1", "Connection: Close"), requestHead{method: get, close: true}, nil},
	{"close among options", lines("GET / HTTP/1.1", "Connection: keep-alive ,\tclose"), requestHead{method: get, close: true}, nil},
	{"not quite close", lines("GET / HTTP/1.1", "Connection: closed"), requestHead{method: get}, nil},
	{"http/1.0", lines("GET / HTTP/1.0"), requestHead{method: get, http10: true, close: true}, nil},
	{"http/1.0 keep-alive", lines("GET / HTTP/1.0", "Connection: Keep-Alive"), requestHead{method: get, http10: true}, nil},
	{"http/1.0 both", lines("GET / HTTP/1.0", "Connection: keep-alive", "Connection: close"), requestHead{method: get, http10: true, close: true}, nil},
	{"http/1.0 with a length", lines("POST / HTTP/1.0", "Content-Length: 1"), requestHead{http10: true, close: true, body: lengthBody, length: 1}, nil},
	{"upgrade", lines("GET / HTTP/1.1", "Connection: keep-alive, Upgrade", "Upgrade: websocket"), requestHead{method: get, upgrade: true}, nil},
	{"upgrade not asked of this hop", lines("GET / HTTP/1.1", "Upgrade: h2c"), requestHead{method: get}, nil},
	{"upgrade to nothing", lines("GET / HTTP/1.1", "Connection: upgrade"), requestHead{method: get}, nil},

	{"two hosts", lines("GET / HTTP/1.1", "Host: a", "Host: a"), requestHead{}, errAmbiguous},
	{"folded line", lines("GET / HTTP/1.1", "A: b", " c"), requestHead{}, errAmbiguous},
	{"folded first line", lines("GET / HTTP/1.1", " A: b"), requestHead{}, errAmbiguous},
	{"space before the colon", lines("POST / HTTP/1.1", "Content-Length : 1"), requestHead{}, errAmbiguous},
	{"tab before the colon", lines("POST / HTTP/1.1", "Transfer-Encoding\t: chunked"), requestHead{}, errAmbiguous},
	{"no colon", lines("GET / HTTP/1.1", "Host a"), requestHead{}, errAmbiguous},
	{"no name", lines("GET / HTTP/1.1", ": a"), requestHead{}, errAmbiguous},
	{"name beyond ASCII", lines("GET / HTTP/1.1", "H\xf6st: a"), requestHead{}, errAmbiguous},
	{"value beyond ASCII", lines("GET / HTTP/1.1", "A: \xf6\xff"), requestHead{method: get}, nil},
	{"zero byte in a value", lines("GET / HTTP/1.1", "A: b\x00c"), requestHead{}, errAmbiguous},
	{"carriage return in a value", lines("GET / HTTP/1.1", "A: b\rContent-Length: 1"), requestHead{}, errAmbiguous},
	{"two carriage returns", lines("GET / HTTP/1.1", "A: b\r"), requestHead{}, errAmbiguous},
	{"bare line feed", "GET / HTTP/1.1\r\nA: b\nContent-Length: 1\r\n\r\n", requestHead{}, errAmbiguous},
	{"bare line feed at the end", "GET / HTTP/1.1\r\nA: b\r\n\n", requestHead{}, errAmbiguous},
	{"only line feeds", "GET / HTTP/1.1\n\n", requestHead{}, errAmbiguous},
	{"too many empty lines", strings.Repeat("\r\n", 9) + lines("GET / HTTP/1.1"), requestHead{}, errAmbiguous},

	{"http/0.9", lines("GET /"), requestHead{}, errNotHTTP},
	{"http/2", lines("PRI * HTTP/2.0"), requestHead{}, errNotHTTP},
	{"http/1.2", lines("GET / HTTP/1.2"), requestHead{}, errNotHTTP},
	{"lower-case version", lines("GET / http/1.1"), requestHead{}, errNotHTTP},
	{"two spaces", lines("GET  / HTTP/1.1"), requestHead{}, errNotHTTP},
	{"space at the end", lines("GET / HTTP/1.1 "), requestHead{}, errNotHTTP},
	{"space in the target", lines("GET /a b HTTP/1.1"), requestHead{}, errNotHTTP},
	{"tab in the target", lines("GET /a\tb HTTP/1.1"), requestHead{}, errNotHTTP},
	{"space first", lines(" GET / HTTP/1.1"), requestHead{}, errNotHTTP},
	{"carriage return first", lines("\rGET / HTTP/1.1"), requestHead{}, errNotHTTP},
	{"carriage return and a letter first", lines("\rXGET / HTTP/1.1"), requestHead{}, errNotHTTP},
	{"no method", lines("/ HTTP/1.1"), requestHead{}, errNotHTTP},
	{"zero byte in the method", lines("G\x00T / HTTP/1.1"), requestHead{}, errNotHTTP},
	{"response", lines("HTTP/1.1 200 OK"), requestHead{}, errNotHTTP},
}

// readHead finds and parses a head at the beginning of b.
func readHead[T any](b []byte, parse func([]byte) (T, error)) (h T, end int, err error) {
	if end, _, err = scanHead(b, 0); err != nil || end == 0 {
		return h, end, err
	}
	h, err = parse(b[:end])
	return h, end, err
}

func TestRequestHead(t *testing.T) {
	for _, tt := range requestHeads {
		t.Run(tt.name, func(t *testing.T) {
			got, end, err := readHead([]byte(tt.head+"GET"), parseRequestHead)
			if err != tt.err {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if err != nil {
				return
			}
			if end != len(tt.head) {
				t.Errorf("it ends at %d, want %d", end, len(tt.head))
			}
			if got != tt.want {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestResponseHead(t *testing.T) {
	tests := []struct {
		name string
		head string
		want responseHead
		err  error
	}{
		{"plain", lines("HTTP/1.1 200 OK", "Content-Length: 2"), responseHead{status: 200, length: 2}, nil},
		{"no reason", lines("HTTP/1.1 200 "), responseHead{status: 200, length: -1}, nil},
		{"not even a space", lines("HTTP/1.1 200"), responseHead{status: 200, length: -1}, nil},
		{"reason of words", lines("HTTP/1.1 404 N\xf6t here"), responseHead{status: 404, length: -1}, nil},
		{"chunked", lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked"), responseHead{status: 200, length: -1, chunked: true}, nil},
		{"coded", lines("HTTP/1.1 200 OK", "Transfer-Encoding: gzip"), responseHead{status: 200, length: -1, otherTE: true}, nil},
		{"http/1.0", lines("HTTP/1.0 200 OK"), responseHead{status: 200, length: -1, http10: true, close: true}, nil},
		{"http/1.0 keep-alive", lines("HTTP/1.0 200 OK", "Connection: keep-alive", "Content-Length: 0"), responseHead{status: 200, http10: true}, nil},
		{"close", lines("HTTP/1.1 200 OK", "Connection: close"), responseHead{status: 200, length: -1, close: true}, nil},
		{"beyond the classes", lines("HTTP/1.1 999 Odd"), responseHead{status: 999, length: -1}, nil},
		{"two lengths", lines("HTTP/1.1 200 OK", "Content-Length: 2", "Content-Length: 3"), responseHead{}, errAmbiguous},
		{"chunked and a length", lines("HTTP/1.1 200 OK", "Content-Length: 2", "Transfer-Encoding: chunked"), responseHead{}, errAmbiguous},
		{"coded and a length", lines("HTTP/1.1 200 OK", "Content-Length: 2", "Transfer-Encoding: gzip"), responseHead{}, errAmbiguous},
		{"chunked in HTTP/1.0", lines("HTTP/1.0 200 OK", "Transfer-Encoding: chunked"), responseHead{}, errAmbiguous},
		{"folded line", lines("HTTP/1.1 200 OK", "A: b", "\tc"), responseHead{}, errAmbiguous},
		{"bare line feeds", "HTTP/1.1 200 OK\n\n", responseHead{}, errAmbiguous},
		{"two digits", lines("HTTP/1.1 20 OK"), responseHead{}, errNotHTTP},
		{"four digits", lines("HTTP/1.1 2000 OK"), responseHead{}, errNotHTTP},
		{"below 100", lines("HTTP/1.1 099 Low"), responseHead{}, errNotHTTP},
		{"signed", lines("HTTP/1.1 +20 OK"), responseHead{}, errNotHTTP},
		{"http/2", lines("HTTP/2.0 200 OK"), responseHead{}, errNotHTTP},
		{"no status", lines("HTTP/1.1"), responseHead{}, errNotHTTP},
		{"two spaces", lines("HTTP/1.1  200 OK"), responseHead{}, errNotHTTP},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, end, err := readHead([]byte(tt.head+"body"), parseResponseHead)
			if err != tt.err {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if err == nil && (got != tt.want || end != len(tt.head)) {
				t.Errorf("%+v up to %d, want %+v up to %d", got, end, tt.want, len(tt.head))
			}
		})
	}
}

func TestBodyOfResponse(t *testing.T) {
	chunked := responseHead{status: 200, length: -1, chunked: true}
	long := responseHead{status: 200, length: 5}
	with := func(h responseHead, status int) responseHead { h.status = status; return h }
	tests := []struct {
		name   string
		head   responseHead
		to     method
		kind   bodyKind
		length int64
	}{
		{"length", long, get, lengthBody, 5},
		{"length 0", responseHead{status: 200}, get, noBody, 0},
		{"chunked", chunked, get, chunkedBody, 0},
		{"nothing said", responseHead{status: 200, length: -1}, get, closeBody, 0},
		{"other coding", responseHead{status: 200, length: -1, otherTE: true}, get, closeBody, 0},
		{"to head", long, head, noBody, 0},
		{"chunked to head", chunked, head, noBody, 0},
		{"204 with a length", with(long, 204), get, noBody, 0},
		{"304 with a length", with(long, 304), get, noBody, 0},
		{"304 chunked", with(chunked, 304), get, noBody, 0},
		{"205 has one if it says so", with(long, 205), get, lengthBody, 5},
		{"interim", with(long, 103), get, noBody, 0},
		{"refused connect", with(long, 403), connect, lengthBody, 5},
	}
	for _, tt := range tests {
		if kind, length := tt.head.bodyOf(tt.to); kind != tt.kind || length != tt.length {
			t.Errorf("%s: kind %v, length %d; want %v, %d", tt.name, kind, length, tt.kind, tt.length)
		}
	}
}

// A flood of empty lines is given up at once: each might be the last.
func TestFloodOfEmptyLines(t *testing.T) {
	flood := bytes.Repeat([]byte("\r\n"), maxHead/2)
	if end, _, err := scanHead(flood, 0); end != 0 || err != errAmbiguous {
		t.Errorf("a head of %d bytes, error %v", end, err)
	}
}
