package relay

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"clusterd/internal/traffic"
)

// reading is what the relay makes of one direction of a connection: where the
// messages end that it counts, and how it goes on behind them.
type reading struct {
	Ends  []int // offsets
	State readingState
	At    int // where what State speaks of begins
}

type readingState string

const (
	between    readingState = "between messages"
	inHead     readingState = "in a head"
	inBody     readingState = "in a body"
	asksToGo   readingState = "asks to leave HTTP/1.x"
	lastOne    readingState = "the connection ends with the last one"
	untilClose readingState = "in a body that ends with the connection"
	cannot     readingState = "cannot be followed"
)

// requestReader follows requests the way the request goroutine does, from
// pieces that a test chooses.
type requestReader struct {
	reading
	buf     []byte // not consumed yet
	offset  int    // of buf
	scanned int
	body    *body // in progress
	upgrade bool
	heads   []requestHead
}

func (r *requestReader) feed(piece []byte) {
	r.buf = append(r.buf, piece...)
	for r.State != cannot && r.State != asksToGo && len(r.buf) > 0 {
		if r.body == nil && !r.head() {
			return
		}
		n, done, err := r.body.feed(r.buf)
		r.consume(n)
		switch {
		case err != nil:
			r.State = cannot
			return
		case !done:
			return
		}
		r.body = nil
		r.Ends = append(r.Ends, r.offset)
		r.State, r.At = between, r.offset
		if r.upgrade {
			r.State = asksToGo
		}
	}
}

// head reads one; it is false when there is none, or none yet.
func (r *requestReader) head() bool {
	r.State, r.At = inHead, r.offset
	end, next, err := scanHead(r.buf, r.scanned)
	if err != nil || (end == 0 && (!couldBeRequest(r.buf) || len(r.buf) >= maxHead)) {
		r.State = cannot
		return false
	}
	if r.scanned = next; end == 0 {
		return false
	}
	h, err := parseRequestHead(r.buf[:end])
	if err != nil {
		r.State = cannot
		return false
	}
	r.heads = append(r.heads, h)
	b := newBody(h.body, h.length)
	r.body, r.upgrade = &b, h.upgrade
	r.consume(end)
	r.State = inBody
	if h.body == noBody && len(r.buf) == 0 {
		r.body = nil
		r.Ends = append(r.Ends, r.offset)
		r.State, r.At = between, r.offset
		if h.upgrade {
			r.State = asksToGo
		}
		return false
	}
	return true
}

func (r *requestReader) consume(n int) {
	r.buf = r.buf[n:]
	r.offset += n
}

func readRequestsOf(pieces ...[]byte) *requestReader {
	r := &requestReader{reading: reading{State: between}}
	for _, p := range pieces {
		r.feed(p)
	}
	return r
}

// responseReader follows the responses to given requests with the code of the
// response goroutine itself.
type responseReader struct {
	reading
	pair   *pair
	link   *link
	reply  reply
	buf    []byte
	offset int
	count  traffic.Counters
	asked  int
}

func newResponseReader(to []request) *responseReader {
	r := &responseReader{reading: reading{State: between}, asked: len(to)}
	s := &slot{counters: &r.count}
	r.pair = &pair{sent: append([]request(nil), to...), counted: s}
	r.pair.changed.L = &r.pair.mu
	r.link = &link{pair: r.pair, slot: s}
	for range to {
		r.count.RequestStarted()
	}
	return r
}

func (r *responseReader) feed(piece []byte) {
	if r.State == cannot || r.State == asksToGo || r.State == lastOne {
		return
	}
	r.buf = append(r.buf, piece...)
	answered := r.asked - len(r.pair.sent)
	n, last, err := r.pair.follow(r.link, &r.reply, r.buf)
	if err != nil {
		n = len(r.buf) // all the rest passes
	}
	r.buf = r.buf[n:]
	r.offset += n
	// Where each ended is known only if there was no more than one.
	for range r.asked - len(r.pair.sent) - answered {
		r.Ends = append(r.Ends, r.offset)
	}
	switch {
	case err == errUpgraded:
		r.State = asksToGo
	case err != nil:
		r.State = cannot
	case last:
		r.State = lastOne
	case r.reply.inBody && r.reply.body.kind == closeBody:
		r.State = untilClose
	case r.reply.inBody:
		r.State = inBody
	case len(r.buf) > 0:
		r.State = inHead
	default:
		r.State = between
	}
}

func readResponsesOf(to []request, pieces ...[]byte) *responseReader {
	r := newResponseReader(to)
	for _, p := range pieces {
		r.feed(p)
	}
	return r
}

// byteByByte is data in the smallest pieces.
func byteByByte(data []byte) (pieces [][]byte) {
	for i := range data {
		pieces = append(pieces, data[i:i+1])
	}
	return pieces
}

// said joins what one side says in a conversation.
func (talk conversation) said(client bool) []byte {
	var b strings.Builder
	for _, t := range talk.turns {
		if t.client == client {
			b.WriteString(t.say)
		}
	}
	return []byte(b.String())
}

// However what a client says comes in pieces, it is read the same.
func TestRequestsInPieces(t *testing.T) {
	check := func(name string, data []byte) {
		t.Helper()
		whole := readRequestsOf(data)
		if got := readRequestsOf(byteByByte(data)...); !cmp.Equal(got.reading, whole.reading) {
			t.Errorf("%s, byte by byte: %+v, want %+v", name, got.reading, whole.reading)
		}
		for at := 1; at < len(data); at++ {
			if got := readRequestsOf(data[:at], data[at:]); !cmp.Equal(got.reading, whole.reading) {
				t.Errorf("%s, split at %d: %+v, want %+v", name, at, got.reading, whole.reading)
			}
		}
		// What is pipelined is collected in one go, with the same result.
		var all batch
		if err := all.collect(data); err != nil {
			if len(whole.heads) > 0 {
				t.Errorf("%s: %d requests, but to collect them is %v", name, len(whole.heads), err)
			}
			return
		}
		if all.count != len(whole.heads) || all.broken != (whole.State == cannot && len(whole.heads) > len(whole.Ends)) {
			t.Errorf("%s: collected %d requests (broken: %v), want %d", name, all.count, all.broken, len(whole.heads))
		}
	}
	for _, talk := range conversations {
		check(talk.name, talk.said(true))
	}
	for _, tt := range requestHeads {
		check(tt.name, []byte(tt.head))
	}
	for _, c := range framingCases(t, "requests.json") {
		check(c.Family+" "+c.Name, c.bytes())
	}
}

// However what an instance says comes in pieces, it is counted the same.
func TestResponsesInPieces(t *testing.T) {
	for _, talk := range conversations {
		var to []request
		for _, h := range readRequestsOf(talk.said(true)).heads {
			to = append(to, request{method: h.method, upgrade: h.upgrade, close: h.close})
		}
		data := talk.said(false)
		whole := readResponsesOf(to, data)
		check := func(how string, got *responseReader) {
			t.Helper()
			if got.State != whole.State || got.count.Totals() != whole.count.Totals() {
				t.Errorf("%s, %s: %s, %+v; want %s, %+v", talk.name, how,
					got.State, got.count.Totals(), whole.State, whole.count.Totals())
			}
		}
		check("byte by byte", readResponsesOf(to, byteByByte(data)...))
		for at := 1; at < len(data); at++ {
			check(fmt.Sprint("split at ", at), readResponsesOf(to, data[:at], data[at:]))
		}
	}
}

// The whole relay, too, hears and counts the same of what comes byte by byte.
func TestConversationsByteByByte(t *testing.T) {
	for _, talk := range conversations {
		t.Run(talk.name, func(t *testing.T) {
			t.Parallel()
			small := talk
			small.turns = nil
			for _, whole := range talk.turns {
				if whole.say == "" {
					small.turns = append(small.turns, whole)
				}
				for i := range len(whole.say) {
					small.turns = append(small.turns, turn{whole.client, whole.say[i : i+1]})
				}
			}
			small.check(t, Options{}, nil)
		})
	}
}
