package relay

import (
	"errors"
	"os"
	"time"
)

// stage is what a pair's request goroutine is doing. Each can be begun anew where a
// hand-over has ended it.
type stage uint8

const (
	awaitingFirst stage = iota
	greeting
	passingRequests
	passingBody
	passingUnread
	awaitingUpgrade
	awaitingDecision // what follows from a link that does not take what it is sent
	awaitingLast     // the client has said all
	awaitingSilence  // nothing more of the client is passed on
)

// goOn does what the request goroutine's stage says, which is the first one unless
// the pair was handed over. It is false when that is the end.
func (p *pair) goOn() bool {
	if p.taken && !p.resume() {
		return false
	}
	switch p.stage {
	case awaitingFirst:
		return p.firstBytes()
	case greeting:
		return p.greet()
	case passingBody:
		if !p.passBody() {
			return false
		}
		return !p.upgrading || p.awaitUpgrade()
	case passingUnread:
		return p.goOpaque()
	case awaitingUpgrade:
		return p.awaitUpgrade()
	case awaitingDecision:
		p.mu.Lock()
		l := p.link
		p.mu.Unlock()
		return p.afterFailure(l)
	case awaitingLast:
		p.halfClose()
		return false
	case awaitingSilence:
		return p.awaitSilence()
	}
	return true
}

// resume goes on with a pair that was handed over, or parked, with what was cut off
// first. It is false when that is all.
func (p *pair) resume() bool {
	p.taken = false
	p.mu.Lock()
	if p.last {
		p.lingerOn()
	} else if !p.frozen() {
		_ = p.client.SetReadDeadline(p.readBy)
	}
	p.slide()
	if p.link != nil || p.repeating {
		p.readAnswers()
	}
	untold := p.untold
	p.untold = nil
	p.mu.Unlock()
	if len(untold) > 0 {
		p.conclude(untold)
		return false
	}
	p.sendRest()
	return true
}

// sendRest passes on what was cut off of what the client had said.
func (p *pair) sendRest() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l, b := p.link, p.unsent; l != nil && len(b) > 0 {
		p.mu.Unlock()
		l.hurry()
		l.used = true
		n, err := l.conn.Write(b)
		l.slot.counters.AddBytes(n, 0)
		p.mu.Lock()
		switch {
		case p.link != l:
		case p.cut(err):
			p.unsent = b[n:]
		default:
			p.unsent = nil
		}
		switch {
		case err == nil || p.cut(err):
		case p.opaque:
			p.stage = awaitingSilence
		default:
			p.stage = awaitingDecision
		}
	}
	p.boundary()
}

// leaveUnsent keeps bytes for sendRest.
func (p *pair) leaveUnsent(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unsent = append(p.unsent, b...)
}

// errFrozen is that the relay is being handed over.
var errFrozen = errors.New("the relay is being handed over")

// longAgo is a deadline that ends what waits.
var longAgo = time.Unix(1, 0)

// frozen tells that the pair is to stay as it is now.
func (p *pair) frozen() bool { return p.relay.frozen.Load() }

// cut tells of an error of reading or writing that it comes from a hand-over.
func (p *pair) cut(err error) bool {
	return err != nil && p.frozen() && errors.Is(err, os.ErrDeadlineExceeded)
}
