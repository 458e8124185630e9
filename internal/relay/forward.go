package relay

import (
	"bytes"
	"net/netip"
	"sync"
)

// forwarder adds to the heads of requests whom they come from. All bytes but
// those of these fields stay what they are.
type forwarder struct {
	client netip.Addr
	buf    *[]byte // what goes out in place of a batch; nil: none
}

// forwardBuffers are those not in use.
var forwardBuffers = sync.Pool{New: func() any { return new([]byte) }}

// take makes the buffer empty, and one if there is none.
func (f *forwarder) take() {
	if f.buf == nil {
		f.buf = forwardBuffers.Get().(*[]byte)
	}
	*f.buf = (*f.buf)[:0]
}

// release gives the buffer back.
func (f *forwarder) release() {
	if f.buf != nil {
		forwardBuffers.Put(f.buf)
		f.buf = nil
	}
}

// add appends bytes that stay as they are.
func (f *forwarder) add(b []byte) { *f.buf = append(*f.buf, b...) }

// addHead appends a whole head that parseRequestHead has read. The client's
// address comes last in X-Forwarded-For, behind what the client has sent of
// that, on one line. X-Forwarded-Proto and -Host are added unless the client,
// which may be a proxy itself, has sent them.
func (f *forwarder) addHead(head []byte) {
	out := *f.buf
	start := emptyLines(head)
	end := start + bytes.Index(head[start:], []byte("\r\n")) + 2
	out = append(out, head[:end]...)
	var host []byte
	var path [8][]byte // of most requests
	through := path[:0]
	hasProto, hasHost := false, false
	for rest := head[end:]; ; {
		line, next, _ := bytes.Cut(rest, []byte("\r\n"))
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.Trim(value, " \t")
		switch {
		case is(name, "x-forwarded-for"):
			if len(value) > 0 {
				through = append(through, value)
			}
			rest = next
			continue
		case is(name, "x-forwarded-proto"):
			hasProto = true
		case is(name, "x-forwarded-host"):
			hasHost = true
		case is(name, "host"):
			host = value
		}
		out = append(out, rest[:len(line)+2]...)
		rest = next
	}
	out = append(out, "X-Forwarded-For: "...)
	for _, before := range through {
		out = append(append(out, before...), ", "...)
	}
	out = f.client.AppendTo(out)
	if !hasProto {
		out = append(out, "\r\nX-Forwarded-Proto: http"...)
	}
	if !hasHost && len(host) > 0 {
		out = append(append(out, "\r\nX-Forwarded-Host: "...), host...)
	}
	*f.buf = append(out, "\r\n\r\n"...)
}
