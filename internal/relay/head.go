package relay

import (
	"bytes"
	"errors"
)

// Errors of framing. Behind either the connection cannot be followed any more.
var (
	errNotHTTP   = errors.New("not HTTP/1.x")
	errAmbiguous = errors.New("ambiguous framing")
)

// maxEmptyLines is how many empty lines may stand before a request line. RFC
// 9112, section 2.2, wants at least one to be ignored.
const maxEmptyLines = 8

// scanHead looks for the end of a head (start line, fields, empty line) in b,
// of which the first from bytes have been looked at before. It returns where
// the head ends, or 0 and where to go on when more bytes are there. Lines must
// end in CRLF; empty lines before the start line belong to the head.
func scanHead(b []byte, from int) (end, next int, err error) {
	for {
		i := bytes.IndexByte(b[from:], '\n')
		if i < 0 {
			return 0, from, nil
		}
		i += from
		if i == 0 || b[i-1] != '\r' {
			return 0, 0, errAmbiguous
		}
		if i-from == 1 {
			switch empty := emptyLines(b); {
			case empty < from:
				return i + 1, 0, nil
			case empty > 2*maxEmptyLines:
				return 0, 0, errAmbiguous
			}
		}
		from = i + 1
	}
}

// emptyLines returns how many bytes of empty lines b begins with; beyond what
// is accepted it does not matter how many.
func emptyLines(b []byte) int {
	n := 0
	for n <= 2*maxEmptyLines && len(b)-n >= 2 && b[n] == '\r' && b[n+1] == '\n' {
		n += 2
	}
	return n
}

// couldBeRequest tells whether b, the beginning of what a client sent, may
// still become an HTTP/1.x request line.
func couldBeRequest(b []byte) bool {
	b = b[emptyLines(b):]
	if len(b) == 0 || string(b) == "\r" {
		return true
	}
	line, _, whole := bytes.Cut(b, []byte("\r\n"))
	if whole {
		_, err := parseRequestLine(line)
		return err == nil
	}
	method, _, _ := bytes.Cut(line, []byte(" "))
	for _, c := range method {
		if !tchar[c] {
			return false
		}
	}
	return len(method) > 0
}

// knownMethod tells whether b begins with, or is the beginning of, a method
// that clients use. It tells a slow request from another protocol.
func knownMethod(b []byte) bool {
	for _, m := range []string{"GET ", "HEAD ", "POST ", "PUT ", "DELETE ", "CONNECT ", "OPTIONS ", "TRACE ", "PATCH "} {
		n := min(len(m), len(b))
		if string(b[:n]) == m[:n] {
			return true
		}
	}
	return false
}

// surelyRequest tells of a b that could be an HTTP/1.x request whether it can
// hardly be anything else: its request line is whole, or its method known.
func surelyRequest(b []byte) bool {
	b = b[emptyLines(b):]
	return len(b) > 0 && (knownMethod(b) || bytes.Contains(b, []byte("\r\n")))
}

// couldBeResponse tells whether b, the beginning of what an instance sent, may
// still become an HTTP/1.x status line.
func couldBeResponse(b []byte) bool {
	const start = "HTTP/1."
	n := min(len(b), len(start))
	return string(b[:n]) == start[:n]
}

// method is what of a request's method matters for framing and for retries.
type method uint8

const (
	otherMethod method = iota
	get
	head
	options
	connect
)

func methodOf(b []byte) method {
	switch string(b) {
	case "GET":
		return get
	case "HEAD":
		return head
	case "OPTIONS":
		return options
	case "CONNECT":
		return connect
	}
	return otherMethod
}

// bodyKind is how the end of a body is known.
type bodyKind uint8

const (
	noBody bodyKind = iota
	lengthBody
	chunkedBody
	closeBody // ends with the connection
)

// requestHead is what framing needs of a request's head.
type requestHead struct {
	method  method
	http10  bool
	body    bodyKind
	length  int64
	upgrade bool // asks to leave HTTP/1.x
	close   bool // the connection ends with the response
}

// responseHead is what framing needs of a response's head.
type responseHead struct {
	status  int
	http10  bool
	chunked bool
	length  int64 // -1: none given
	otherTE bool  // a transfer coding that is not chunked comes last
	close   bool
}

// parseRequestHead reads a whole head that scanHead has found. errNotHTTP and
// errAmbiguous tell that it cannot be followed.
func parseRequestHead(b []byte) (requestHead, error) {
	line, rest, _ := bytes.Cut(b[emptyLines(b):], []byte("\r\n"))
	r, err := parseRequestLine(line)
	if err != nil {
		return r, err
	}
	f, err := parseFields(rest)
	if err != nil {
		return r, err
	}
	if f.hosts > 1 {
		return r, errAmbiguous
	}
	r.upgrade = f.upgrade || r.method == connect
	r.close = f.close || (r.http10 && !f.keepAlive)
	switch {
	case f.codings > 0:
		if r.http10 || !f.chunked || f.length >= 0 {
			return r, errAmbiguous
		}
		r.body = chunkedBody
	case f.length > 0:
		r.body, r.length = lengthBody, f.length
	}
	return r, nil
}

// parseResponseHead reads a whole head that scanHead has found.
func parseResponseHead(b []byte) (responseHead, error) {
	var r responseHead
	line, rest, _ := bytes.Cut(b, []byte("\r\n"))
	// HTTP/1.x SP 3DIGIT [ SP reason ]
	if len(line) < 12 || string(line[:7]) != "HTTP/1." || (line[7] != '0' && line[7] != '1') || line[8] != ' ' ||
		(len(line) > 12 && line[12] != ' ') {
		return r, errNotHTTP
	}
	r.http10 = line[7] == '0'
	for _, c := range line[9:12] {
		if c < '0' || c > '9' {
			return r, errNotHTTP
		}
		r.status = r.status*10 + int(c-'0')
	}
	if r.status < 100 {
		return r, errNotHTTP
	}
	f, err := parseFields(rest)
	if err != nil {
		return r, err
	}
	if f.codings > 0 && (f.length >= 0 || r.http10) {
		return r, errAmbiguous
	}
	r.chunked = f.chunked
	r.otherTE = f.codings > 0 && !f.chunked
	r.length = f.length
	r.close = f.close || (r.http10 && !f.keepAlive)
	return r, nil
}

// bodyOf says how the body of the response to a request of method m ends, see
// RFC 9112, section 6.3.
func (r responseHead) bodyOf(m method) (bodyKind, int64) {
	switch {
	case m == head, r.status < 200, r.status == 204, r.status == 304:
		return noBody, 0
	case r.chunked:
		return chunkedBody, 0
	case r.otherTE || r.length < 0:
		return closeBody, 0
	case r.length == 0:
		return noBody, 0
	}
	return lengthBody, r.length
}

func parseRequestLine(line []byte) (requestHead, error) {
	var r requestHead
	name, rest, ok := bytes.Cut(line, []byte(" "))
	if !ok || len(name) == 0 {
		return r, errNotHTTP
	}
	for _, c := range name {
		if !tchar[c] {
			return r, errNotHTTP
		}
	}
	target, version, ok := bytes.Cut(rest, []byte(" "))
	if !ok || len(target) == 0 {
		return r, errNotHTTP
	}
	for _, c := range target {
		if c <= ' ' || c == 0x7f {
			return r, errNotHTTP
		}
	}
	switch string(version) {
	case "HTTP/1.1":
	case "HTTP/1.0":
		r.http10 = true
	default:
		return r, errNotHTTP
	}
	r.method = methodOf(name)
	return r, nil
}

// tchar are the characters of a token, RFC 9110, section 5.6.2.
var tchar = func() (t [256]bool) {
	for _, c := range []byte("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		t[c] = true
	}
	return t
}()
