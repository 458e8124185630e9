package relay

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"
)

// readRequests passes on what the client sends, until it has nothing more to
// say or the pair has ended.
func (p *pair) readRequests() {
	more := p.goOn()
	for more && !p.frozen() {
		more = p.nextRequests()
	}
}

// firstBytes waits for the client to begin. In some protocols the server speaks
// first: a client that stays silent gets a link to an instance that may.
func (p *pair) firstBytes() bool {
	if p.relay.strict {
		return true
	}
	err := error(nil)
	if !p.in.poll() {
		p.readWithin(firstByte)
		err = p.fill()
	}
	switch {
	case err == nil:
		p.stage = passingRequests
		return true
	case errors.Is(err, os.ErrDeadlineExceeded):
		return p.greet()
	}
	return false
}

// greet gives a silent client a link.
func (p *pair) greet() bool {
	p.stage = greeting
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ensureLink() != nil {
		return false
	}
	p.ensureAnswers()
	return true
}

// nextRequests passes on one request, and with it all that the client has
// pipelined behind it so far. It returns false when there will be no more.
func (p *pair) nextRequests() bool {
	p.stage = passingRequests
	switch err := p.awaitHead(); {
	case errors.Is(err, errNotHTTP), errors.Is(err, errAmbiguous), errors.Is(err, io.ErrShortBuffer):
		return p.unfollowed(err)
	case errors.Is(err, io.EOF):
		p.halfClose()
		return false
	case err != nil:
		return false
	}
	b := p.in.bytes()
	batch := batch{whole: p.relay.strict, forward: p.forward}
	if err := batch.collect(b); err != nil {
		return p.unfollowed(err)
	}
	l, err := p.send(&batch, b)
	if p.forward != nil {
		p.forward.release()
	}
	if why, known := unserved(err); known {
		p.conclude(why)
		return false
	}
	switch {
	case l == nil: // not sent at all
		if !p.instead() {
			return false
		}
		if p.relay.isClosed() && !p.frozen() {
			p.answer(http.StatusServiceUnavailable, "This app is being stopped.\n", "")
			return false
		}
		return true
	}
	p.in.consume(batch.n)
	p.asked = true
	p.body, p.upgrading = batch.body, batch.upgrade
	switch {
	case err != nil:
		return p.afterFailure(l)
	case batch.broken:
		return p.unfollowed(errAmbiguous)
	case batch.open && !p.passBody():
		return false
	case p.upgrading:
		return p.awaitUpgrade()
	}
	return true
}

// awaitHead reads until a whole head is in the buffer. The error tells why
// there will be none: io.EOF that the client has said all, perhaps with a last
// head cut off, which no instance needs to see; errNotHTTP,
// errAmbiguous and io.ErrShortBuffer that its bytes cannot be followed.
func (p *pair) awaitHead() error {
	for scanned := 0; ; {
		b := p.in.bytes()
		end, next, err := scanHead(b, scanned)
		if err != nil || end > 0 {
			p.headBy = time.Time{}
			return err
		}
		scanned = next
		// Some clients end a body with an empty line too many.
		idle := len(b) == 0 || (p.asked && len(b) == emptyLines(b))
		switch {
		case idle:
			if p.park() {
				return errParked
			}
			p.readWithin(p.relay.limits.Idle)
		case !couldBeRequest(b):
			return errNotHTTP
		default:
			now := time.Now()
			if p.headBy.IsZero() {
				p.headBy = now.Add(p.relay.limits.Head)
			}
			by := p.headBy
			// Perhaps the beginning of something else, whose client waits for
			// an answer.
			if soon := now.Add(firstByte); !p.relay.strict && !knownMethod(b) && soon.Before(by) {
				by = soon
			}
			p.readUntil(by)
		}
		p.rest()
		err = p.fill()
		p.mu.Lock()
		unrested := p.unrest()
		opaque, last, waiting := p.opaque, p.last, len(p.sent) > 0 || p.writing
		p.mu.Unlock()
		switch {
		case errors.Is(err, errFrozen):
			return err
		case unrested && errors.Is(err, os.ErrDeadlineExceeded): // nothing has come
		case last:
			p.linger(err)
			return errEnded
		case opaque:
			return errNotHTTP
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded) && idle && waiting:
			p.readBy = time.Time{} // a slow response is no idle client
		case p.relay.strict:
			return err
		case errors.Is(err, os.ErrDeadlineExceeded) && !idle && !knownMethod(b):
			return errNotHTTP
		case errors.Is(err, io.EOF) && !idle && !surelyRequest(b):
			return errNotHTTP // perhaps it is whole in another protocol
		default:
			return err
		}
	}
}

// send registers a batch that b begins with, and writes it to an instance, over a new
// link if there is none. It returns the link, or nil when nothing was sent: for want
// of an instance (errNobody), or since there is something else to be done first.
// An error with a link says that it broke, and the response goroutine knows best
// what that means.
func (p *pair) send(t *batch, b []byte) (*link, error) {
	p.mu.Lock()
	p.ensureAnswers()
	for !p.ended && !p.opaque && !p.last && !p.frozen() && p.mustWait(t.count) {
		p.changed.Wait()
	}
	if p.ended || p.opaque || p.last || p.frozen() {
		p.mu.Unlock()
		return nil, errEnded
	}
	if err := p.ensureLink(); err != nil {
		p.mu.Unlock()
		return nil, err
	}
	l := p.link
	if !t.plain(b) || t.n > bufferSize {
		p.ensureAnswers()
	}
	p.register(t, l)
	p.mu.Unlock()
	err := p.writeLink(l, t.bytes(b))
	if err != nil {
		p.mu.Lock()
		p.ensureAnswers()
		p.mu.Unlock()
	}
	return l, err
}

// register takes note of requests that are about to be passed on over l. p.mu is
// held.
func (p *pair) register(t *batch, l *link) {
	now := time.Now()
	q := t.first
	q.at = now
	if q.again != nil {
		if len(p.sent) == 0 && t.count == 1 {
			p.copied = append(p.copied[:0], q.again...)
			q.again = p.copied
		} else {
			q.again = nil
		}
	}
	p.sent = append(p.sent, q)
	l.begin()
	for _, q := range t.more {
		q.at, q.again = now, nil
		p.sent = append(p.sent, q)
		l.begin()
	}
	l.heard = false
	p.sending = t.open || t.broken
}

// mustWait tells that n more requests cannot be sent yet: too many wait for
// their answers, or the link is to be left first, or is being replaced by the
// response goroutine, which has a request to send first. p.mu is held.
func (p *pair) mustWait(n int) bool {
	return p.repeating || (len(p.sent) > 0 && len(p.sent)+n > maxPipelined) ||
		(p.link != nil && p.link.going) ||
		(p.link == nil && len(p.sent) > 0)
}

// ensureLink makes a link if there is none. Before anything waits for what comes over
// it, ensureAnswers has to follow, or the pair be parked. p.mu is held, but not while
// it waits.
func (p *pair) ensureLink() error {
	for p.link == nil {
		p.mu.Unlock()
		l, err := p.connect()
		p.mu.Lock()
		if err != nil {
			return err
		}
		if !p.attach(l) && p.ended {
			return errEnded
		}
	}
	return nil
}

// ensureAnswers starts the response goroutine if there is a link without. p.mu is
// held.
func (p *pair) ensureAnswers() {
	if p.link != nil && !p.answering {
		p.readAnswers()
	}
}

// readAnswers starts the response goroutine. p.mu is held.
func (p *pair) readAnswers() {
	p.answering = true
	p.relay.running.Add(1)
	go p.readResponses(p.link)
}

// writeLink passes bytes of the client on. What a hand-over cuts off passes later,
// and is no error.
func (p *pair) writeLink(l *link, b []byte) error {
	// A first small write leaves at once anyway; behind it, a part of a request
	// would wait until what came before is acknowledged. Most connections of one
	// request need no system call for that.
	if l.used || len(b) > bufferSize {
		l.hurry()
	}
	l.used = true
	n, err := l.conn.Write(b)
	l.slot.counters.AddBytes(n, 0)
	if p.cut(err) {
		p.leaveUnsent(b[n:])
		return nil
	}
	return err
}

// awaitUpgrade waits for the answer to a request that asks to leave HTTP/1.x:
// what comes behind it is read according to that.
func (p *pair) awaitUpgrade() bool {
	p.stage = awaitingUpgrade
	p.mu.Lock()
	for len(p.sent) > 0 && !p.opaque && !p.ended && !p.last && !p.frozen() {
		p.changed.Wait()
	}
	p.mu.Unlock()
	return p.instead()
}

// afterFailure waits for what follows from l not taking what it was sent. The
// response goroutine decides: the request is sent again over another link, or
// there is a response all the same, or the pair ends.
func (p *pair) afterFailure(l *link) bool {
	p.stage = awaitingDecision
	p.mu.Lock()
	for l != nil && p.link == l && !p.opaque && !p.ended && !p.last && !p.frozen() {
		p.changed.Wait()
	}
	p.mu.Unlock()
	return p.instead()
}

// instead does what is to be done in place of following the client's requests,
// if anything; then it returns false when that is done.
func (p *pair) instead() bool {
	p.mu.Lock()
	opaque, last, ended := p.opaque, p.last, p.ended
	p.mu.Unlock()
	switch {
	case ended:
		return false
	case last:
		p.linger(nil)
		return false
	case opaque:
		return p.goOpaque()
	}
	return true
}

// linger reads and drops what the client still sends, until it hangs up or
// the deadline set by finish has passed. err is what its last read said.
func (p *pair) linger(err error) {
	for err == nil {
		p.in.release()
		err = p.fill()
	}
}

// fill reads more of what the client says. It is errFrozen when the relay is being
// handed over.
func (p *pair) fill() error {
	err := p.in.fill()
	if p.cut(err) {
		p.keepBy = !p.readBy.IsZero()
		return errFrozen
	}
	return err
}

// readWithin bounds the next reads from the client; 0 lifts the bound. The
// deadline may come a tenth early, so that it need not be moved each time.
func (p *pair) readWithin(d time.Duration) {
	if d == 0 {
		p.readUntil(time.Time{})
		return
	}
	if p.keepBy {
		p.keepBy = false
		return
	}
	by := time.Now().Add(d)
	if soonEnough(p.readBy, by, d) {
		return
	}
	p.readUntil(by)
}

// soonEnough tells that a deadline that is set need not be moved to by, which is d
// from now.
func soonEnough(set, by time.Time, d time.Duration) bool {
	late := by.Sub(set)
	return late >= 0 && late < d/10
}

// readUntil sets when the next reads from the client end at the latest; zero
// is never.
func (p *pair) readUntil(by time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last {
		return // finish has set the deadline
	}
	p.readBy = by
	if !p.frozen() {
		_ = p.client.SetReadDeadline(by)
	}
}
