package relay

import (
	"strings"
	"testing"
)

var chunkedBodies = []struct {
	name string
	body string // what follows it is "GET"
	err  error
	open bool // it does not end
}{
	{"empty", "0\r\n\r\n", nil, false},
	{"one chunk", "3\r\nabc\r\n0\r\n\r\n", nil, false},
	{"capital digits", "A\r\n0123456789\r\n0\r\n\r\n", nil, false},
	{"small digits", "a\r\n0123456789\r\n0\r\n\r\n", nil, false},
	{"two digits", "10\r\n0123456789abcdef\r\n0\r\n\r\n", nil, false},
	{"leading zeros", "0003\r\nabc\r\n000\r\n\r\n", nil, false},
	{"data that looks like an end", "7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n", nil, false},
	{"extension", "3;a=b;c\r\nabc\r\n0;last\r\n\r\n", nil, false},
	{"quoted extension", "3;a=\"b;\t\\\"c\"\r\nabc\r\n0\r\n\r\n", nil, false},
	{"space in an extension", "3; a = b\r\nabc\r\n0\r\n\r\n", nil, false},
	{"trailer", "0\r\nA: b\r\n\r\n", nil, false},
	{"trailers", "1\r\nx\r\n0\r\nA: b\r\nC:\r\nD:\te \r\n\r\n", nil, false},
	{"largest size", "fffffffffffffff\r\nabc", nil, true},
	{"not yet the end", "3\r\nabc\r\n0\r\n", nil, true},

	{"no size", "\r\nabc\r\n0\r\n\r\n", errAmbiguous, false},
	{"only an extension", ";a\r\n", errAmbiguous, false},
	{"no digit", "x\r\n", errAmbiguous, false},
	{"sign", "+3\r\nabc\r\n", errAmbiguous, false},
	{"negative", "-1\r\n", errAmbiguous, false},
	{"prefix", "0x3\r\nabc\r\n", errAmbiguous, false},
	{"space before the size", " 3\r\nabc\r\n", errAmbiguous, false},
	{"space behind the size", "3 \r\nabc\r\n", errAmbiguous, false},
	{"size that overflows", "ffffffffffffffff\r\n", errAmbiguous, false},
	{"size that overflows to 3", "10000000000000003\r\nabc\r\n", errAmbiguous, false},
	{"too many zeros", "00000000000000003\r\nabc\r\n", errAmbiguous, false},
	{"data too long", "3\r\nabcd\r\n0\r\n\r\n", errAmbiguous, false},
	{"data too short", "3\r\nab\r\n0\r\n\r\n", errAmbiguous, false},
	{"bare line feed behind the size", "3\nabc\r\n0\r\n\r\n", errAmbiguous, false},
	{"bare line feed behind an extension", "3;a\nabc\r\n0\r\n\r\n", errAmbiguous, false},
	{"bare line feed behind the data", "3\r\nabc\n0\r\n\r\n", errAmbiguous, false},
	{"bare line feed at the end", "0\r\n\n", errAmbiguous, false},
	{"bare line feed behind a trailer", "0\r\nA: b\n\r\n", errAmbiguous, false},
	{"bare carriage return behind the size", "3\rabc\r\n", errAmbiguous, false},
	{"bare carriage return in an extension", "3;a\rb\r\n", errAmbiguous, false},
	{"bare carriage return in a trailer", "0\r\nA: b\rc\r\n\r\n", errAmbiguous, false},
	{"zero byte in an extension", "3;\x00\r\nabc\r\n", errAmbiguous, false},
	{"zero byte in a trailer", "0\r\nA: \x00\r\n\r\n", errAmbiguous, false},
	{"trailer without a colon", "0\r\nGET / HTTP/1.1\r\n\r\n", errAmbiguous, false},
	{"trailer without a name", "0\r\n: b\r\n\r\n", errAmbiguous, false},
	{"folded trailer", "0\r\nA: b\r\n c\r\n\r\n", errAmbiguous, false},
	{"endless extension", "3;" + strings.Repeat("a", maxChunkLine) + "\r\n", errAmbiguous, false},
	{"endless trailers", "0\r\n" + strings.Repeat("A: b\r\n", maxTrailers/6+1) + "\r\n", errAmbiguous, false},
}

func TestChunkedBody(t *testing.T) {
	for _, tt := range chunkedBodies {
		t.Run(tt.name, func(t *testing.T) {
			next := "GET"
			if tt.open {
				next = ""
			}
			b := newBody(chunkedBody, 0)
			n, done, err := b.feed([]byte(tt.body + next))
			if err != tt.err || (err == nil && done == tt.open) {
				t.Fatalf("done %v, error %v; want done %v, error %v", done, err, !tt.open, tt.err)
			}
			if err == nil && n != len(tt.body) {
				t.Errorf("%d bytes of %d belong to it", n, len(tt.body))
			}
		})
	}
}

// However a chunked body comes in pieces, it ends in the same place, or cannot
// be followed from the same place on.
func TestChunkedBodyInPieces(t *testing.T) {
	for _, tt := range chunkedBodies {
		whole := newBody(chunkedBody, 0)
		data := []byte(tt.body)
		n, done, err := whole.feed(data)
		for at := range min(len(data), 1000) {
			b := newBody(chunkedBody, 0)
			n1, done1, err1 := b.feed(data[:at])
			if err1 == nil && !done1 {
				var n2 int
				n2, done1, err1 = b.feed(data[at:])
				n1 += n2
			}
			if n1 != n || done1 != done || err1 != err {
				t.Fatalf("%s, split at %d: %d, %v, %v; want %d, %v, %v", tt.name, at, n1, done1, err1, n, done, err)
			}
		}
	}
}

func TestBodyWithLength(t *testing.T) {
	b := newBody(lengthBody, 5)
	for _, want := range []struct {
		data string
		n    int
		done bool
	}{{"12", 2, false}, {"", 0, false}, {"34", 2, false}, {"5GET", 1, true}} {
		if n, done, err := b.feed([]byte(want.data)); n != want.n || done != want.done || err != nil {
			t.Errorf("%q: %d, %v, %v; want %d, %v", want.data, n, done, err, want.n, want.done)
		}
	}
}

func TestOtherBodies(t *testing.T) {
	none := newBody(noBody, 0)
	if n, done, err := none.feed([]byte("GET")); n != 0 || !done || err != nil {
		t.Errorf("no body: %d, %v, %v", n, done, err)
	}
	untilClose := newBody(closeBody, 0)
	if n, done, err := untilClose.feed([]byte("GET")); n != 3 || done || err != nil {
		t.Errorf("until close: %d, %v, %v", n, done, err)
	}
}
