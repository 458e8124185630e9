package relay

import "sync"

// link is a pair's connection to an instance.
type link struct {
	pair     *pair
	slot     *slot
	inst     *Instance
	conn     instanceConn
	out      *source // of the instance; used by the response goroutine only
	used     bool    // it has been written to; by one goroutine at a time
	prompt   bool    // what is written leaves at once; as used
	answered bool    // it has answered a request; guarded by pair.mu
	heard    bool    // it has sent something since the last request began; guarded by pair.mu
	going    bool    // it is to be left at the next message boundary; guarded by pair.mu
	// claim is that the link counts as a request to the slot, since it is being
	// made for one, or has become opaque. Guarded by pair.mu once attached.
	claim  bool
	closed bool  // from outside; its response goroutine finds out; guarded by pair.mu
	reply  reply // response goroutine only
	free   chan struct{}
	freed  sync.Once
}

func (p *pair) dial(s *slot, inst *Instance) (*link, error) {
	l := &link{pair: p, slot: s, inst: inst, free: make(chan struct{})}
	// Known before the connection is made, so that the next one to pick counts
	// it, and a drain sees it.
	r := p.relay
	r.mu.Lock()
	if s.live != inst {
		r.mu.Unlock()
		return nil, errNobody
	}
	s.links[l] = struct{}{}
	l.setClaim(true)
	r.mu.Unlock()
	conn, err := r.dial(r.ctx, p.poller, inst)
	if err == nil {
		l.conn = conn
		l.out, err = newSource(conn)
	}
	if s, ok := conn.(*socket); ok {
		s.serveTo(p)
	}
	if err == nil && r.proxyProtocol {
		l.used = true
		_, err = conn.Write(clientHeader(p.client.RemoteAddr(), p.client.LocalAddr()))
	}
	if err != nil {
		l.forget()
		if conn != nil {
			conn.Close()
		}
		return nil, err
	}
	return l, nil
}

// attach makes l the pair's link. p.mu is held. It is false when the pair has
// ended, or l's instance is to be left before anything was sent to it.
func (p *pair) attach(l *link) bool {
	if p.ended || l.going {
		l.conn.Close()
		l.forget()
		return false
	}
	p.link, p.answering = l, false
	if p.frozen() { // for its goroutine, which is about to be started
		_ = l.conn.SetDeadline(longAgo)
	}
	if p.counted != l.slot {
		if p.counted != nil {
			p.counted.counters.ConnClosed()
		}
		p.counted = l.slot
		p.counted.counters.ConnOpened()
	}
	p.changed.Broadcast()
	return true
}

// detach lets go of the pair's link. p.mu is held.
func (p *pair) detach(l *link) {
	l.conn.Close()
	l.out.release()
	if p.link == l {
		p.link, p.answering = nil, false
		p.unsent = nil
		p.changed.Broadcast()
	}
	l.forget()
}

// close ends l from outside its response goroutine, which finds it closed and
// detaches it. pair.mu is held.
func (l *link) close() {
	l.closed = true
	l.conn.Close()
}

// leave makes the pair leave l at the next message boundary, which may be now.
func (l *link) leave() {
	p := l.pair
	p.mu.Lock()
	defer p.mu.Unlock()
	l.going = true
	switch {
	case p.link != l: // being dialled, attach sees that it is to be left; or left already
	case p.opaque:
		l.setFree()
	default:
		p.boundary()
	}
}

// hurry makes what is written leave at once, small as it may be.
func (l *link) hurry() {
	if s, ok := l.conn.(*socket); ok && !l.prompt {
		l.prompt = true
		_ = s.setNoDelay() // it may be gone, which a write tells
	}
}

// forget removes l from its slot's links.
func (l *link) forget() {
	l.setClaim(false)
	r := l.pair.relay
	r.mu.Lock()
	delete(l.slot.links, l)
	if r.closed {
		r.wake() // for Flush
	}
	r.mu.Unlock()
	l.setFree()
}

// begin counts a request that is passed on over l.
func (l *link) begin() {
	l.slot.counters.RequestStarted()
	l.setClaim(false)
}

func (l *link) setClaim(claim bool) {
	if l.claim == claim {
		return
	}
	l.claim = claim
	if claim {
		l.slot.claims.Add(1)
	} else {
		l.slot.claims.Add(-1)
	}
}

// setFree tells a drain that no request is in flight on l.
func (l *link) setFree() { l.freed.Do(func() { close(l.free) }) }

// boundary leaves a link that is to be left, if nothing is in flight on it. p.mu
// is held.
func (p *pair) boundary() {
	if l := p.link; l != nil && l.going && len(p.sent) == 0 && !p.sending && len(p.unsent) == 0 && !p.opaque {
		l.setFree()
		if p.parked {
			p.detach(l)
		} else {
			l.close()
		}
	}
}
