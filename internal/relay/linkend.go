package relay

import (
	"errors"
	"time"
)

// linkEnded decides what the end of a link means for the client, and detaches it.
// It returns the link over which the request has been sent again, if that could be
// done. When the relay is handed over meanwhile, it leaves all as it is, to be called
// again.
func (p *pair) linkEnded(l *link, r *reply) *link {
	r.part = r.part || len(l.out.bytes()) > 0
	p.mu.Lock()
	refusing := p.refusing
	p.mu.Unlock()
	if !refusing {
		r.due = len(l.out.bytes())
		if err := p.passDue(l, r); err != nil {
			if !p.cut(err) {
				p.drop(l)
			}
			return nil
		}
	}
	p.mu.Lock()
	switch {
	case p.ended:
		p.abortSent(l)
	case p.refusing: // it is closed for that
	case p.opaque:
		p.endOpaque(r.clean)
		if p.frozen() && !p.ended {
			p.mu.Unlock()
			return nil
		}
	case r.inBody && r.body.kind == closeBody && r.clean:
		p.endReply(l, r)
		p.finish()
	case r.inBody || r.part:
		// Cut off in the middle of a response.
		p.abortSent(l)
		if r.clean {
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
	case p.frozen():
		p.mu.Unlock()
		return nil
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
const deathWait = 500 * time.Millisecond

// mayRepeat tells whether the one request in flight may be sent to another
// instance: it is idempotent and has no body, no byte of a response has come, and
// either the process is really dead, or it had closed the connection, idle until
// then, before it read the request. One that lives and has read the request may
// have closed the connection as its answer. p.mu is held.
func (p *pair) mayRepeat(l *link) bool {
	if len(p.sent) != 1 || p.sent[0].again == nil || l.heard || p.sending {
		return false
	}
	// Nothing more is sent on the link meanwhile: what the client asks next
	// waits for what becomes of this request.
	l.going = true
	for wait := time.Millisecond; ; wait *= 2 {
		// One that was closed by both sides in order looks like one that was reset.
		if l.answered && !p.said && wasReset(l.out.raw) {
			p.sent[0].unread = true
			return true
		}
		switch {
		case l.inst.Alive == nil:
			return false
		case !l.inst.Alive():
			return true
		case wait > deathWait:
			return false
		}
		p.mu.Unlock()
		p.relay.sleep(wait)
		p.mu.Lock()
		if p.frozen() || p.ended || p.opaque || len(p.sent) != 1 || p.sending {
			return false
		}
	}
}

// repeat sends the request in flight a second time, over a new link, which it
// returns; nil when it cannot.
func (p *pair) repeat() *link {
	for {
		l, err := p.connect()
		p.mu.Lock()
		switch {
		case errors.Is(err, errFrozen) && !p.ended:
			p.mu.Unlock()
			return nil
		case err != nil || p.ended:
			if l != nil {
				p.attach(l) // closes it: the pair has ended
			}
			p.repeating = false
			p.sent = nil // counted as aborted already
			why, told := unserved(err)
			if told = told && !p.ended; told {
				p.writing = true
			} else {
				p.finish()
			}
			p.mu.Unlock()
			if told {
				p.answerInstead(why)
			}
			return nil
		case !p.attach(l):
			p.mu.Unlock()
			continue
		}
		p.answering = true
		q := &p.sent[0]
		b := q.again
		if !q.unread { // nobody has read it: whom it comes to next may still die of it
			q.again = nil
		}
		q.unread = false
		l.begin()
		p.mu.Unlock()
		_ = p.writeLink(l, b) // if it fails, the link's end says so
		p.mu.Lock()
		p.repeating = false // what the client asks next may follow
		p.changed.Broadcast()
		p.mu.Unlock()
		return l
	}
}
