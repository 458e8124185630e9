package relay

import (
	"errors"
	"io"
	"time"
)

// readResponses passes on what the instance at the other end of a link says,
// and what its successor does if the request had to be sent again.
//
// Without a link, it looks for one first.
func (p *pair) readResponses(l *link) {
	defer p.relay.running.Done()
	if l == nil {
		l = p.repeat()
	}
	for l != nil {
		l = p.readLink(l)
	}
}

// reply is the response that is being passed on.
type reply struct {
	scanned int  // of an incomplete head
	inBody  bool // its head has passed
	body    body
	status  int
	latency time.Duration
	close   bool // it is the connection's last
	asked   bool // for that, by the client

	due     int  // bytes of the buffer that are to be passed on before more is read
	last    bool // the connection ends with them
	strange bool // what follows them is not understood
	ended   bool // the instance says no more
	clean   bool // it has ended the connection in good order
	part    bool // it had not finished a head
}

// readLink passes on what l says until it ends or is left, and then detaches
// it. It returns the link to go on with, if any.
func (p *pair) readLink(l *link) *link {
	r := &l.reply
	if r.ended {
		return p.linkEnded(l, r)
	}
	for {
		if r.inBody && r.body.bulk() >= spliceMin && len(l.out.bytes()) == 0 && !p.moveResponse(l, r) {
			p.drop(l)
			return nil
		}
		if r.due == 0 && !(r.strange && p.relay.strict) {
			switch err := p.readLinkOnce(l, r); {
			case p.cut(err):
				return nil
			case errors.Is(err, errEnded):
				p.mu.Lock()
				p.detach(l)
				p.mu.Unlock()
				return nil
			case err != nil:
				r.ended, r.clean = true, errors.Is(err, io.EOF)
				return p.linkEnded(l, r)
			}
		}
		if err := p.passDue(l, r); err != nil {
			if !p.cut(err) {
				p.drop(l)
			}
			return nil
		}
		if r.strange && p.relay.strict {
			p.refuseResponse(l, r)
			return nil
		}
		p.mu.Lock()
		p.passed(l, r)
		over := r.last || p.yield(l)
		p.mu.Unlock()
		if over {
			return nil
		}
	}
}

// passed goes on when all that is due has been passed on. p.mu is held.
func (p *pair) passed(l *link, r *reply) {
	p.writing = false
	p.changed.Broadcast()
	if !r.last {
		p.boundary()
		p.slide()
		return
	}
	if r.asked && len(p.sent) == 0 && !p.sending && unread(p.in.raw) == 0 {
		p.hangUp()
	} else {
		p.finish()
	}
	p.detach(l)
}

// readLinkOnce reads from the instance and follows that: what is due then is to be
// passed on. errEnded is that nothing of it is. Any other error is the link's end.
func (p *pair) readLinkOnce(l *link, r *reply) error {
	if err := l.out.fill(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.judge(l, r)
}

// judge follows what has been read from the instance, and says what is due of that.
// p.mu is held.
func (p *pair) judge(l *link, r *reply) error {
	b := l.out.bytes()
	n, last, err := p.follow(l, r, b)
	strange := err != nil && !errors.Is(err, errUpgraded) // the instance is not understood
	switch {
	case errors.Is(err, errEnded):
		return err
	case strange && p.relay.strict:
		// n as it is: whole responses go out
	case err != nil:
		p.setOpaque(!errors.Is(err, errUpgraded))
		n = len(b)
	}
	r.due, r.last, r.strange = n, last, strange
	return nil
}

// errUpgraded is that both sides have agreed to leave HTTP/1.x.
var errUpgraded = errors.New("upgraded")

// follow reads the responses in b and counts those that end there, before they
// are written. It returns how many bytes to pass on now, which is all but an
// incomplete head, and whether the connection ends with them. An error says
// that everything from here on passes unread. p.mu is held.
func (p *pair) follow(l *link, r *reply, b []byte) (n int, last bool, err error) {
	defer func() {
		p.writing = n > 0 || (err != nil && !p.refusing)
		p.replying = r.inBody
	}()
	if p.refusing {
		return 0, false, errEnded
	}
	l.heard = true
	if p.opaque {
		return len(b), false, nil
	}
	for n < len(b) {
		if !r.inBody {
			if len(p.sent) == 0 || !couldBeResponse(b[n:]) {
				return n, false, errNotHTTP // nobody asked, or this is no answer
			}
			end, next, err := scanHead(b[n:], r.scanned)
			if err != nil {
				return n, false, err
			}
			if end == 0 {
				if r.scanned = next; len(b)-n >= maxHead {
					return n, false, errAmbiguous
				}
				return n, false, nil
			}
			r.scanned = 0
			if err := p.beginReply(l, r, b[n:n+end]); err != nil {
				return n, false, err
			}
			n += end
			if !r.inBody { // an interim response
				continue
			}
		}
		used, done, err := r.body.feed(b[n:])
		if err != nil {
			return n, false, err
		}
		n += used
		if done {
			p.endReply(l, r)
			if r.close {
				return n, true, nil
			}
		}
	}
	return n, false, nil
}

// beginReply reads the head of a response to the oldest request. p.mu is held.
func (p *pair) beginReply(l *link, r *reply, head []byte) error {
	h, err := parseResponseHead(head)
	if err != nil {
		return err
	}
	q := &p.sent[0]
	switch {
	case h.status == 101 && q.upgrade, q.method == connect && h.status/100 == 2:
		r.status, r.latency = h.status, time.Since(q.at)
		p.endReply(l, r)
		return errUpgraded
	case h.status == 101:
		return errNotHTTP
	case h.status < 200:
		return nil
	}
	kind, length := h.bodyOf(q.method)
	*r = reply{
		inBody:  true,
		body:    newBody(kind, length),
		status:  h.status,
		latency: time.Since(q.at),
		close:   h.close || q.close || kind == closeBody,
		asked:   q.close,
	}
	q.again = nil // it has an answer
	return nil
}

// endReply counts a whole response, to the oldest request. p.mu is held.
func (p *pair) endReply(l *link, r *reply) {
	l.slot.counters.RequestDone(r.status, r.latency)
	l.answered = true
	r.inBody = false
	p.sent = append(p.sent[:0], p.sent[1:]...)
	p.changed.Broadcast()
}

// moveResponse passes much of a response's body on within the kernel. It is false
// when the client does not take it; whether the instance has failed, the next read
// tells.
func (p *pair) moveResponse(l *link, r *reply) bool {
	failed := move(p.in.raw, l.out.raw, r.body.bulk(), p.extendWrite, func(n int) {
		r.body.left -= int64(n)
		l.slot.counters.AddBytes(0, n)
		p.extendWrite()
	})
	if p.cut(failed.dst) {
		r.body.left -= int64(len(failed.held))
		l.out.put(failed.held)
		r.due = len(failed.held)
		return true
	}
	return failed.dst == nil
}

// extendWrite gives the client time to take more. The deadline may come a tenth
// early, so that it need not be moved each time.
func (p *pair) extendWrite() {
	stall := p.relay.limits.Stall
	if now := time.Now(); p.writeBy.Sub(now) < stall-stall/10 {
		p.writeBy = now.Add(stall)
		_ = p.client.SetWriteDeadline(p.writeBy)
		// Not under p.mu: who holds that may wait in Close for a write to end. A
		// freeze that was meanwhile must not be undone.
		if p.frozen() {
			_ = p.client.SetWriteDeadline(longAgo)
		}
	}
}

// passDue passes on what is due of an instance's bytes. What a hand-over cuts off
// stays due.
func (p *pair) passDue(l *link, r *reply) error {
	for r.due > 0 {
		p.extendWrite()
		n, err := p.client.Write(l.out.bytes()[:min(r.due, bufferSize)])
		l.slot.counters.AddBytes(0, n)
		l.out.consume(n)
		if r.due -= n; err != nil {
			return err
		}
	}
	return nil
}

// drop ends a client's connection that does not take a response, whatever else
// it sends, and detaches the link.
func (p *pair) drop(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	p.client.Close()
	p.abortSent(l)
	p.detach(l)
}

// abortSent ends the requests that will have no answer. p.mu is held.
func (p *pair) abortSent(l *link) {
	for range p.sent {
		l.slot.counters.RequestAborted()
	}
	p.sent = nil
	p.changed.Broadcast()
}
