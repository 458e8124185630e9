package relay

import (
	"errors"
	"time"
)

// A pair whose client and instance talk plainly, one request after the other, needs
// no goroutine: it is parked, and its poller passes on what is there whenever there
// is something. That costs less than to wake a goroutine, and a connection that
// waits holds no stack. What would have to wait, or is anything but a whole request
// or a piece of a response, ends that: the pair is unparked, and its two goroutines
// go on from where it is, as if it had been handed over.

// errParked is that the request goroutine is to end, since its pair is parked.
var errParked = errors.New("parked")

// maxPieces is how many pieces of responses the poller passes on in a row. Who has
// more to say gets a goroutine, so that others have their turn.
const maxPieces = 16

// park makes the poller go on with the pair, if it may, which its request goroutine
// calls when it has nothing to do. It has to end then.
func (p *pair) park() bool {
	if !p.idle() {
		return false
	}
	p.mu.Lock()
	parked := !p.answering && p.mayPark()
	if parked {
		p.parked = true
		p.turn++
		if len(p.sent) == 0 {
			p.boundIdle(time.Now())
		}
	}
	p.mu.Unlock()
	if parked {
		p.stir()
	}
	return parked
}

// mayPark tells whether the pair is at nothing that the poller knows nothing of, if
// the request goroutine isn't. p.mu is held.
func (p *pair) mayPark() bool {
	if p.opaque || p.last || p.ended || p.refusing || p.repeating || p.sending || p.said || p.writing ||
		len(p.unsent) > 0 || len(p.sent) > 1 || p.frozen() {
		return false
	}
	l := p.link
	return l == nil || !l.closed && !l.going && l.out.end == nil && l.out.sock != nil && l.out.sock.watchRead() == nil
}

// idle tells whether there is nothing for the request goroutine to do, which asks,
// and whether the poller can tell of what the client says next.
func (p *pair) idle() bool {
	if p.in.sock == nil || !p.asked || p.keepBy || p.in.end != nil || len(p.in.bytes()) > 0 {
		return false
	}
	_, late := p.in.sock.pending()
	return !late && p.in.sock.watchRead() == nil
}

// rest tells the response goroutine, which it starts if there is none, that the
// request goroutine is about to wait for the client.
func (p *pair) rest() {
	resting := p.idle()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ensureAnswers()
	p.resting = resting
}

// unrest ends that. It is true when the response goroutine has ended meanwhile, and
// with it the wait. p.mu is held.
func (p *pair) unrest() bool {
	p.resting = false
	if !p.parking {
		return false
	}
	p.parking = false
	if !p.frozen() && !p.last {
		_ = p.client.SetReadDeadline(p.readBy)
	}
	return true
}

// yield ends the response goroutine if the pair can be parked, for which it cuts the
// request goroutine's wait off. p.mu is held.
func (p *pair) yield(l *link) bool {
	if !p.resting || p.link != l || l.reply.inBody || len(l.out.bytes()) > 0 || len(p.sent) > 0 || !p.mayPark() {
		return false
	}
	p.parking, p.answering = true, false
	_ = p.client.SetReadDeadline(longAgo)
	return true
}

// unpark starts the pair's goroutines. p.mu is held.
func (p *pair) unpark() {
	p.parked, p.taken = false, true
	p.relay.running.Add(1)
	go p.serve(p.turn)
}

// stir goes on with the pair if it is parked, as far as that takes no waiting.
func (p *pair) stir() {
	p.mu.Lock()
	over := p.step()
	p.mu.Unlock()
	if over {
		p.relay.forget(p)
	}
}

// step is true when the pair has ended, and is to be forgotten. p.mu is held.
func (p *pair) step() (over bool) {
	for pieces := 0; p.parked && !p.frozen(); {
		ready, late := p.in.sock.pending()
		switch {
		case pieces == maxPieces:
			p.unpark()
		case p.link != nil && p.link.out.poll():
			pieces++
			if p.takeResponse(p.link) {
				return true
			}
		case late && len(p.sent) > 0: // a slow response is no idle client
			p.readBy = time.Time{}
			_ = p.client.SetReadDeadline(p.readBy)
		case late:
			p.keepBy = true
			p.unpark()
		case ready && p.in.poll():
			p.takeRequest()
		default:
			return false
		}
	}
	return false
}

// takeRequest passes on a whole request that has been read from the client of a
// parked pair. p.mu is held.
func (p *pair) takeRequest() {
	l, b := p.link, p.in.bytes()
	if p.in.end != nil || l == nil || len(p.sent) > 0 {
		p.unpark()
		return
	}
	t := batch{whole: p.relay.strict, forward: p.forward}
	err := t.collect(b)
	if err == nil && t.plain(b) {
		p.register(&t, l)
		p.passRequest(l, t.bytes(b))
		p.in.consume(t.n)
	} else {
		p.unpark()
	}
	if p.forward != nil {
		p.forward.release()
	}
}

func (p *pair) passRequest(l *link, b []byte) {
	if l.used {
		l.hurry()
	}
	l.used = true
	n, err := l.out.sock.tryWrite(b)
	l.slot.counters.AddBytes(n, 0)
	switch {
	case err != nil:
		p.stage = awaitingDecision
		p.unpark()
	case n < len(b):
		p.unsent = append([]byte(nil), b[n:]...)
		p.unpark()
	}
}

// takeResponse passes on what has been read from the instance of a parked pair. p.mu
// is held. It is true when the pair has ended with that.
func (p *pair) takeResponse(l *link) (over bool) {
	r := &l.reply
	if l.out.end != nil {
		if len(p.sent) == 0 && len(l.out.bytes()) == 0 {
			p.detach(l) // the next request goes over another one
		} else {
			p.unpark()
		}
		return false
	}
	if p.judge(l, r) != nil || p.opaque || r.strange {
		p.unpark()
		return false
	}
	if r.due > 0 {
		n, err := p.in.sock.tryWrite(l.out.bytes()[:r.due])
		l.slot.counters.AddBytes(0, n)
		l.out.consume(n)
		r.due -= n
		if err != nil || r.due > 0 {
			p.unpark()
			return false
		}
	}
	p.passed(l, r)
	switch {
	case p.ended: // hung up
		p.parked = false
		return true
	case p.last, r.inBody && r.body.bulk() >= spliceMin:
		p.unpark()
	case len(p.sent) == 0:
		p.boundIdle(time.Now())
	}
	return false
}

// boundIdle gives the client of a parked pair so much time for its next request. p.mu
// is held.
func (p *pair) boundIdle(now time.Time) {
	idle := p.relay.limits.Idle
	if by := now.Add(idle); !soonEnough(p.readBy, by, idle) {
		p.readBy = by
		_ = p.client.SetReadDeadline(by)
	}
}
