package relay

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// unfollowed goes on with a client whose bytes cannot be followed: they pass
// unread, or are refused.
func (p *pair) unfollowed(err error) bool {
	p.mu.Lock()
	agreed := p.opaque
	p.mu.Unlock()
	if agreed || !p.relay.strict {
		return p.goOpaque()
	}
	status := http.StatusBadRequest
	if errors.Is(err, io.ErrShortBuffer) {
		status = http.StatusRequestHeaderFieldsTooLarge
	}
	p.refuseRequest(status)
	return false
}

// refuseRequest answers a request in place of the instance, which has got none
// of it, or not its end; requests before it are answered first.
func (p *pair) refuseRequest(status int) {
	p.mu.Lock()
	due := 0
	if p.sending {
		due = 1 // the request itself
	}
	for (len(p.sent) > due || p.writing || p.repeating) && !p.opaque && !p.ended && !p.last && !p.frozen() {
		p.changed.Wait()
	}
	if p.opaque || p.ended || p.last {
		p.mu.Unlock()
		p.instead()
		return
	}
	if p.frozen() {
		p.mu.Unlock()
		return
	}
	p.refusing = true
	begun := len(p.sent) > 0 && p.replying
	for range p.sent {
		p.counted.counters.RequestAborted()
	}
	p.sent, p.sending = nil, false
	if p.link != nil {
		p.link.setFree()
		p.link.close()
	}
	if begun {
		p.reset() // the beginning of another answer is on its way
	}
	p.mu.Unlock()
	if begun {
		return
	}
	p.answer(status, "This request is not valid HTTP, or not all would read it alike.\n", "")
}

// refuseResponse ends a link whose instance says what cannot be followed. What
// was whole has been passed on.
func (p *pair) refuseResponse(l *link, r *reply) {
	p.mu.Lock()
	asked, begun := len(p.sent) > 0, r.inBody
	p.abortSent(l)
	p.writing = asked && !begun // the request goroutine answers nothing meanwhile
	switch {
	case begun:
		p.reset()
	case !asked && p.sending:
		p.finish() // what comes next is the rest of a body that nobody reads
	}
	p.detach(l)
	p.mu.Unlock()
	if !asked || begun { // unasked, nobody waits for it: the client's next request goes over another link
		return
	}
	p.answerInstead(ownAnswer(http.StatusBadGateway, "The app's answer is not valid HTTP.\n", ""))
}

// answerInstead is answer for the response goroutine; p.writing is set.
func (p *pair) answerInstead(answer []byte) {
	if p.cut(p.writeAnswer(answer)) {
		return
	}
	p.mu.Lock()
	p.writing = false
	p.finish()
	p.mu.Unlock()
}

// answer answers in the instances' place, and ends the connection.
func (p *pair) answer(status int, text, fields string) { p.conclude(ownAnswer(status, text, fields)) }

// conclude writes the client's last response, or the rest of it.
func (p *pair) conclude(answer []byte) {
	if p.writeAnswer(answer) != nil {
		return
	}
	p.mu.Lock()
	p.writing = false
	p.finish()
	p.mu.Unlock()
	p.linger(nil)
}

// unserved is the answer to a request that no instance gets, known if that is for one
// of the reasons that its client is told.
func unserved(err error) (answer []byte, known bool) {
	text := "No instance of this app is running.\n"
	switch {
	case errors.Is(err, errScarce):
		text = "Too many connections are open.\n"
	case !errors.Is(err, errNobody):
		return nil, false
	}
	return ownAnswer(http.StatusServiceUnavailable, text, "Retry-After: 1\r\n"), true
}

// ownAnswer is a response of the relay's own, which is the connection's last;
// fields are lines to add to its head.
func ownAnswer(status int, text, fields string) []byte {
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n"+
		"%sContent-Length: %d\r\n\r\n%s", status, http.StatusText(status), fields, len(text), text)
}

// writeAnswer writes a response of the relay's own. What a hand-over cuts off
// stays in p.untold.
func (p *pair) writeAnswer(answer []byte) error {
	p.mu.Lock()
	if !p.frozen() {
		_ = p.client.SetWriteDeadline(time.Now().Add(lingerTime))
	}
	p.mu.Unlock()
	n, err := p.client.Write(answer)
	if p.cut(err) {
		p.mu.Lock()
		p.untold = answer[n:]
		p.mu.Unlock()
	}
	return err
}
