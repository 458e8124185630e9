package relay

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"clusterd/internal/handover"
)

// RelayState is what Take needs of a relay that has been handed over.
type RelayState struct {
	Slots  []SlotState
	Pairs  []PairState
	Vacant time.Time
	Closed bool // Release was called
}

// SlotState is a slot, with its listening sockets.
type SlotState struct {
	Index     int
	Listeners []int
}

// PairState is a client's connection, with what both goroutines of its pair know.
type PairState struct {
	Client int
	From   string // the client's address; "" is none of TCP
	// Home and Counted are slots; nil is none.
	Home, Counted *int
	Link          *LinkState

	Stage     uint8
	Asked     bool
	Upgrading bool
	Body      BodyState
	ReadBy    time.Time // zero: not waiting for the client
	HeadBy    time.Time

	Read   []byte // of the client, and not passed on
	Unsent []byte
	Untold []byte
	Sent   []RequestState

	Writing, Sending, Repeating, Opaque, Replying, Refusing, Said, Silent, Last bool
}

// LinkState is a pair's connection to an instance.
type LinkState struct {
	Conn, Slot, Generation int
	Read                   []byte // of the instance, and not passed on
	Reply                  ReplyState

	Used, Prompt, Answered, Heard, Going, Claim bool
}

// BodyState is how far a body has been followed.
type BodyState struct {
	Kind, State uint8
	Left        int64
	Any         bool
	Line        int
}

// RequestState is a request that has not been answered.
type RequestState struct {
	Method                 uint8
	Upgrade, Close, Unread bool
	At                     time.Time
	Again                  []byte
}

// ReplyState is the response that is being passed on.
type ReplyState struct {
	Scanned, Status, Due       int
	Body                       BodyState
	Latency                    time.Duration
	InBody, Close, Asked, Last bool

	Strange, Ended, Clean, Part bool
}

// pack puts the pair's descriptors into the bag.
func (p *pair) pack(b *handover.Bag) (PairState, error) {
	st := PairState{
		Home: p.home.ref(), Counted: p.counted.ref(),
		Stage: uint8(p.stage), Asked: p.asked, Upgrading: p.upgrading, Body: p.body.pack(),
		HeadBy: p.headBy,
		Read:   p.in.bytes(), Unsent: p.unsent, Untold: p.untold,
		Writing: p.writing, Sending: p.sending, Repeating: p.repeating, Opaque: p.opaque, Replying: p.replying,
		Refusing: p.refusing, Said: p.said, Silent: p.silent, Last: p.last,
	}
	if p.keepBy {
		st.ReadBy = p.readBy
	}
	if from := addrPortOf(p.client.RemoteAddr()); from.IsValid() {
		st.From = from.String()
	}
	for _, q := range p.sent {
		st.Sent = append(st.Sent, RequestState{uint8(q.method), q.upgrade, q.close, q.unread, q.at, q.again})
	}
	var err error
	if l := p.link; l != nil {
		_, quiet := l.conn.(*socket) // others send small writes at once
		st.Link = &LinkState{
			Slot: l.slot.index, Generation: l.inst.Generation, Read: l.out.bytes(), Reply: l.reply.pack(),
			Used: l.used, Prompt: l.prompt || !quiet, Answered: l.answered, Heard: l.heard, Going: l.going, Claim: l.claim,
		}
		if st.Link.Conn, err = keep(b, l.conn); err != nil {
			return st, err
		}
	}
	st.Client, err = keep(b, p.client.(descriptor))
	return st, err
}

// unpack makes a pair of the relay, which does nothing yet.
func (r *Relay) unpack(st PairState, b *handover.Bag) (*pair, error) {
	var far net.Addr
	if from, err := netip.ParseAddrPort(st.From); err == nil {
		far = net.TCPAddrFromAddrPort(from)
	}
	conn, err := takeSocket(b, st.Client, far)
	if err != nil {
		return nil, err
	}
	p, err := newPair(r, r.slotAt(st.Home), conn)
	if err != nil {
		return nil, err
	}
	p.taken = true
	p.counted = r.slotAt(st.Counted)
	p.stage, p.asked, p.upgrading, p.body = stage(st.Stage), st.Asked, st.Upgrading, st.Body.body()
	p.readBy, p.keepBy, p.headBy = st.ReadBy, !st.ReadBy.IsZero(), st.HeadBy
	p.in.put(st.Read)
	p.unsent, p.untold = st.Unsent, st.Untold
	p.writing, p.sending, p.repeating, p.opaque, p.replying = st.Writing, st.Sending, st.Repeating, st.Opaque, st.Replying
	p.refusing, p.said, p.silent, p.last = st.Refusing, st.Said, st.Silent, st.Last
	for _, q := range st.Sent {
		p.sent = append(p.sent, request{method(q.Method), q.Upgrade, q.Close, q.At, q.Again, q.Unread})
	}
	if st.Link == nil {
		return p, nil
	}
	if p.link, err = p.unpackLink(*st.Link, b); err != nil {
		conn.Close()
		return nil, err
	}
	return p, nil
}

func (p *pair) unpackLink(st LinkState, b *handover.Bag) (*link, error) {
	conn, err := takeSocket(b, st.Conn, nil)
	if err != nil {
		return nil, err
	}
	conn.serveTo(p)
	out, err := newSource(conn)
	if err != nil {
		return nil, err
	}
	out.put(st.Read)
	s := p.relay.slotAt(&st.Slot)
	if s == nil {
		conn.Close()
		return nil, fmt.Errorf("there is no slot %d", st.Slot)
	}
	l := &link{
		pair: p, slot: s, inst: &Instance{Generation: st.Generation}, conn: conn, out: out, free: make(chan struct{}),
		used: st.Used, prompt: st.Prompt, answered: st.Answered, heard: st.Heard, going: st.Going, reply: st.Reply.reply(),
	}
	l.setClaim(st.Claim)
	s.links[l] = struct{}{}
	if p.opaque {
		l.setFree()
	}
	return l, nil
}

// ref is nil for no slot.
func (s *slot) ref() *int {
	if s == nil {
		return nil
	}
	return &s.index
}

func (r *Relay) slotAt(index *int) *slot {
	if index == nil {
		return nil
	}
	return r.slots[*index]
}

func (b *body) pack() BodyState {
	return BodyState{uint8(b.kind), uint8(b.state), b.left, b.any, b.line}
}

func (st BodyState) body() body {
	return body{kind: bodyKind(st.Kind), state: chunkState(st.State), left: st.Left, any: st.Any, line: st.Line}
}

func (r *reply) pack() ReplyState {
	return ReplyState{
		Scanned: r.scanned, Status: r.status, Due: r.due, Body: r.body.pack(), Latency: r.latency,
		InBody: r.inBody, Close: r.close, Asked: r.asked, Last: r.last,
		Strange: r.strange, Ended: r.ended, Clean: r.clean, Part: r.part,
	}
}

func (st ReplyState) reply() reply {
	return reply{
		scanned: st.Scanned, status: st.Status, due: st.Due, body: st.Body.body(), latency: st.Latency,
		inBody: st.InBody, close: st.Close, asked: st.Asked, last: st.Last,
		strange: st.Strange, ended: st.Ended, clean: st.Clean, part: st.Part,
	}
}
