package relay

import (
	"errors"
	"io"
)

// passBody passes on the rest of the last request's body.
func (p *pair) passBody() bool {
	p.stage = passingBody
	for done := false; !done; {
		if len(p.in.bytes()) == 0 {
			p.readWithin(p.relay.limits.Stall)
			if p.body.bulk() >= spliceMin {
				p.moveBody(&p.body)
			}
			if err := p.fill(); err != nil {
				p.mu.Lock()
				last := p.last
				p.mu.Unlock()
				switch {
				case errors.Is(err, errFrozen):
				case last:
					p.linger(err)
				case errors.Is(err, io.EOF):
					p.halfClose()
				}
				return false
			}
		}
		p.mu.Lock()
		l, opaque, last := p.link, p.opaque, p.last
		p.mu.Unlock()
		switch {
		case last:
			p.linger(nil)
			return false
		case opaque:
			return p.goOpaque()
		case l == nil:
			return false
		}
		b := p.in.bytes()
		rest := p.body
		n, end, err := rest.feed(b)
		if err != nil {
			return p.unfollowed(err)
		}
		p.body = rest
		if p.writeLink(l, b[:n]) != nil {
			return p.afterFailure(l)
		}
		p.in.consume(n)
		done = end
	}
	p.stage = passingRequests
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sending = false
	p.boundary()
	return true
}

// moveBody passes much of a body on within the kernel. What has failed, the next
// read or write tells.
func (p *pair) moveBody(rest *body) {
	p.mu.Lock()
	l, going := p.link, !p.opaque && !p.last
	p.mu.Unlock()
	if l == nil || !going {
		return
	}
	raw, err := l.conn.SyscallConn()
	if err != nil {
		return
	}
	l.hurry()
	failed := move(raw, p.in.raw, rest.bulk(), func() {}, func(n int) {
		rest.left -= int64(n)
		l.slot.counters.AddBytes(n, 0)
		p.readWithin(p.relay.limits.Stall)
	})
	if p.cut(failed.dst) {
		rest.left -= int64(len(failed.held))
		p.leaveUnsent(failed.held)
	}
}
