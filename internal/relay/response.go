package relay

import (
	"errors"
	"io"
	"time"
)

// readResponses passes on what the instance at the other end of a link says,
// and what its successor does if the request had to be sent again.
func (p *pair) readResponses(l *link) {
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
}

// readLink passes on what l says until it ends or is left, and then detaches
// it. It returns the link to go on with, if any.
func (p *pair) readLink(l *link) *link {
	defer l.out.release()
	var r reply
	for {
		if err := l.out.fill(); err != nil {
			return p.linkEnded(l, &r, err)
		}
		b := l.out.bytes()
		n, last, err := p.follow(l, &r, b)
		if err != nil {
			p.mu.Lock()
			p.setOpaque(!errors.Is(err, errUpgraded))
			p.mu.Unlock()
			n = len(b)
		}
		if n > 0 && p.writeClient(l, b[:n]) != nil {
			p.drop(l)
			return nil
		}
		l.out.consume(n)
		p.mu.Lock()
		p.writing = false
		p.changed.Broadcast()
		if last {
			p.finish()
			p.detach(l)
		} else {
			p.boundary()
			p.slide()
		}
		p.mu.Unlock()
		if last {
			return nil
		}
	}
}

// errUpgraded is that both sides have agreed to leave HTTP/1.x.
var errUpgraded = errors.New("upgraded")

// follow reads the responses in b and counts those that end there, before they
// are written. It returns how many bytes to pass on now, which is all but an
// incomplete head, and whether the connection ends with them. An error says
// that everything from here on passes unread.
func (p *pair) follow(l *link, r *reply, b []byte) (n int, last bool, err error) {
	p.mu.Lock()
	defer func() {
		p.writing = n > 0 || err != nil
		p.mu.Unlock()
	}()
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
	}
	q.again = nil // it has an answer
	return nil
}

// endReply counts a whole response, to the oldest request. p.mu is held.
func (p *pair) endReply(l *link, r *reply) {
	l.slot.counters.RequestDone(r.status, r.latency)
	l.fresh = false
	r.inBody = false
	p.sent = append(p.sent[:0], p.sent[1:]...)
	p.changed.Broadcast()
}

// writeClient passes bytes of an instance on.
func (p *pair) writeClient(l *link, b []byte) error {
	stall := p.relay.limits.Stall
	if now := time.Now(); p.writeBy.Sub(now) < stall-stall/10 {
		p.writeBy = now.Add(stall)
		_ = p.client.SetWriteDeadline(p.writeBy)
	}
	n, err := p.client.Write(b)
	l.slot.counters.AddBytes(0, n)
	return err
}

// drop ends a client's connection that does not take a response, whatever else
// it sends, and detaches the link.
func (p *pair) drop(l *link) {
	p.client.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.abortSent(l)
	p.ended = true
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

// linkEnded decides what the end of a link, err, means for the client, and
// detaches it. It returns the link over which the request has been sent again,
// if that could be done.
func (p *pair) linkEnded(l *link, r *reply, err error) *link {
	clean := errors.Is(err, io.EOF)
	rest := l.out.bytes() // of a head
	if len(rest) > 0 && p.writeClient(l, rest) != nil {
		p.drop(l)
		return nil
	}
	p.mu.Lock()
	switch {
	case p.ended:
		p.abortSent(l)
	case p.opaque:
		p.endOpaque(clean)
	case r.inBody && r.body.kind == closeBody && clean:
		p.endReply(l, r)
		p.finish()
	case r.inBody || len(rest) > 0:
		// Cut off in the middle of a response.
		p.abortSent(l)
		if clean {
			p.finish()
		} else {
			p.reset()
		}
	case len(p.sent) > 0 && p.mayRepeat(l):
		l.slot.counters.RequestAborted()
		p.repeating = true // and the request stays in p.sent: the request goroutine waits
		p.detach(l)
		p.mu.Unlock()
		return p.repeat()
	case len(p.sent) > 0 || p.sending:
		p.abortSent(l)
		p.finish()
	}
	p.detach(l)
	p.mu.Unlock()
	return nil
}

// deathWait is how long after the end of its connections a process that is
// being killed may be seen alive: the kernel closes its files before it tells
// anybody that it is gone, and clusterd takes a moment to note.
const deathWait = 100 * time.Millisecond

// mayRepeat tells whether the one request in flight may be sent to another
// instance: it is idempotent and has no body, no byte of a response has come,
// and either the connection had been used before, so that the instance may have
// closed it before it saw the request, or the process is really dead. p.mu is
// held.
func (p *pair) mayRepeat(l *link) bool {
	if len(p.sent) != 1 || p.sent[0].again == nil || l.heard || p.sending {
		return false
	}
	if !l.fresh {
		return true
	}
	if l.inst.Alive == nil {
		return false
	}
	// Nothing more is sent on the link meanwhile: what the client asks next
	// waits for what becomes of this request.
	l.going = true
	for wait := time.Millisecond; l.inst.Alive(); wait *= 2 {
		if wait > deathWait {
			return false
		}
		p.mu.Unlock()
		time.Sleep(wait)
		p.mu.Lock()
		if p.ended || p.opaque || len(p.sent) != 1 || p.sending {
			return false
		}
	}
	return true
}

// repeat sends the request in flight a second time, over a new link, which it
// returns; nil when it cannot.
func (p *pair) repeat() *link {
	for {
		l, err := p.connect()
		p.mu.Lock()
		switch {
		case err != nil || p.ended:
			if l != nil {
				p.attach(l) // closes it: the pair has ended
			}
			p.repeating = false
			p.sent = nil // counted as aborted already
			p.finish()
			p.mu.Unlock()
			return nil
		case !p.attach(l):
			p.mu.Unlock()
			continue
		}
		p.repeating = false
		q := &p.sent[0]
		b := q.again
		q.again = nil
		l.begin()
		p.mu.Unlock()
		_ = p.writeLink(l, b) // if it fails, the link's end says so
		return l
	}
}
