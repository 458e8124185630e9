package relay

import (
	"net"
	"time"
)

// accept takes connections from one of a slot's sockets, while anybody is live
// to serve them; otherwise they wait in the kernel, for as long as Limits.Hold
// says.
func (r *Relay) accept(s *slot, l acceptor) {
	defer r.running.Done()
	pause := time.Duration(0)
	for r.awaitWork() {
		conn, err := l.Accept()
		if err != nil {
			r.mu.Lock()
			over := r.closed || r.frozen.Load()
			r.mu.Unlock()
			if over {
				return
			}
			// Usually EMFILE or ENFILE: descriptors may come back.
			r.rare.log("cannot accept connections", err)
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			r.sleep(pause)
			continue
		}
		pause = 0
		r.begin(s, conn)
	}
}

// awaitWork blocks until the limit on connections allows another one, and a slot
// is live or none has been for so long that clients are to be told. It is false
// once the relay is closed or being handed over.
func (r *Relay) awaitWork() bool {
	for {
		r.mu.Lock()
		if r.closed || r.frozen.Load() {
			r.mu.Unlock()
			return false
		}
		room := len(r.pairs) < r.limits.Conns
		if !room {
			r.rare.log("all of the relay's connections are in use; more clients wait", nil)
		}
		live, patience, changed := r.anyLive(), r.patience(), r.changed
		r.mu.Unlock()
		var vain <-chan time.Time // nobody has come
		switch {
		case room && (live || patience <= 0):
			return true
		case room:
			vain = time.After(patience)
		}
		select {
		case <-changed:
		case <-vain:
		}
	}
}

// sleep returns early when the relay is handed over.
func (r *Relay) sleep(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.ctx.Done():
	}
}

// begin serves an accepted connection in goroutines of its own.
func (r *Relay) begin(home *slot, conn net.Conn) {
	p, err := newPair(r, home, conn)
	if err != nil {
		conn.Close()
		r.rare.log("cannot serve a connection", err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		conn.Close()
		return
	}
	r.pairs[p] = struct{}{}
	if !r.frozen.Load() {
		r.running.Add(1)
		go p.serve(p.turn)
	}
}

// forget removes a pair whose client's connection is closed, and counts that.
func (r *Relay) forget(p *pair) {
	p.in.release()
	p.mu.Lock()
	if p.counted != nil {
		p.counted.counters.ConnClosed()
	}
	p.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.pairs, p)
	if len(r.pairs) == r.limits.Conns-1 {
		r.wake()
	}
}
