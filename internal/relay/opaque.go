package relay

import (
	"errors"
	"io"
	"time"
)

// setOpaque gives up following: for good, and for what has not been answered.
// unparsed tells that this is not what the two sides agreed on (an upgrade), but
// what the relay does not understand. p.mu is held.
func (p *pair) setOpaque(unparsed bool) {
	if p.opaque {
		return
	}
	p.opaque = true
	if p.counted != nil {
		for range p.sent {
			p.counted.counters.RequestAborted()
		}
		if unparsed {
			p.counted.counters.ConnUnparsed()
		}
	}
	p.sent = nil
	p.sending = false
	if p.link != nil {
		p.link.setFree()
		p.link.setClaim(true)
	}
	p.changed.Broadcast()
}

// goOpaque passes everything on unread, what is in the buffer first. Answers
// that are due come first, so that they are counted. It returns false at the
// end.
func (p *pair) goOpaque() bool {
	p.stage = passingUnread
	p.mu.Lock()
	// And a link that is being left is no way.
	for (len(p.sent) > 0 || p.link != nil && p.link.going) && !p.sending && !p.opaque && !p.ended && !p.last && !p.frozen() {
		p.changed.Wait()
	}
	if p.frozen() {
		p.mu.Unlock()
		return false
	}
	if p.ended || p.last {
		p.mu.Unlock()
		return p.instead()
	}
	if p.link == nil && !p.opaque {
		if p.ensureLink() != nil {
			p.mu.Unlock()
			return false
		}
	}
	p.setOpaque(true)
	p.ensureAnswers()
	l := p.link
	p.mu.Unlock()
	if l == nil {
		return false
	}
	p.readWithin(0)
	for {
		if b := p.in.bytes(); len(b) > 0 {
			if p.writeLink(l, b) != nil {
				return p.awaitSilence()
			}
			p.in.consume(len(b))
		}
		p.mu.Lock()
		p.slide()
		p.mu.Unlock()
		switch err := p.fill(); {
		case errors.Is(err, io.EOF):
			closeWrite(l.conn)
			return p.awaitSilence()
		case err != nil:
			return false
		}
	}
}

// slide gives an opaque connection of which one side has said all some time for
// what the other one says next. p.mu is held.
func (p *pair) slide() {
	if !p.opaque || (!p.said && !p.silent) || p.frozen() {
		return
	}
	by := time.Now().Add(p.relay.limits.Stall)
	if p.link != nil {
		_ = p.link.conn.SetDeadline(by)
	}
	if p.silent {
		_ = p.client.SetReadDeadline(by)
	}
}

// awaitSilence waits until an opaque instance has said all, when no more of the
// client is passed on.
func (p *pair) awaitSilence() bool {
	p.stage = awaitingSilence
	p.mu.Lock()
	defer p.mu.Unlock()
	p.said = true
	p.slide()
	for !p.silent && !p.ended && p.link != nil && !p.frozen() {
		p.changed.Wait()
	}
	return false
}

// halfClose tells the instance that the client has said all, and waits until it
// has answered.
func (p *pair) halfClose() {
	p.stage = awaitingLast
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.link != nil && (len(p.sent) > 0 || p.opaque) {
		closeWrite(p.link.conn)
	}
	p.said = true
	p.slide()
	for (len(p.sent) > 0 || p.writing || (p.opaque && !p.silent)) && !p.ended && !p.last && !p.frozen() {
		p.changed.Wait()
	}
}

// endOpaque passes the instance's end on and keeps the link until the client
// has ended too. p.mu is held, but not while it waits.
func (p *pair) endOpaque(clean bool) {
	p.silent = true
	p.changed.Broadcast()
	if !clean {
		p.reset()
		return
	}
	closeWrite(p.client)
	p.slide()
	for !p.ended && !p.frozen() {
		p.changed.Wait()
	}
}
