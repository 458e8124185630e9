package relay

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"clusterd/internal/traffic"
)

// Options of a Relay. The zero value is fine.
type Options struct {
	// Hash gives a connection to the instance of the slot whose socket the
	// kernel chose for it, as long as that is live. Otherwise it goes to the
	// live instance with the fewest requests in flight; ties go to the one
	// with the fewest connections, then to that one. A connection that cannot
	// be followed counts as one request.
	Hash bool
	// Forwarded adds X-Forwarded-For, -Proto and -Host to requests, unless they
	// cannot be followed.
	Forwarded bool
	// ProxyProtocol begins each connection to an instance with the PROXY
	// protocol's header, version 2.
	ProxyProtocol bool
	// Strict answers what cannot be followed with 400 or 431 instead of passing
	// it on unread, and an instance's answer that cannot with 502. A protocol
	// that both sides agree on (101, or 2xx to CONNECT) passes all the same.
	Strict bool
	Limits Limits
	// Log, if set, gets a sentence for a human, of each kind one a minute at
	// most. It must not block.
	Log func(string)
}

// Instance is a live process that serves a slot.
type Instance struct {
	Generation       int    // tells it from the slot's instances before and after it
	Network, Address string // to dial
	// Dial, if set, connects instead.
	Dial  func(context.Context) (net.Conn, error)
	Alive func() bool // whether the process still runs; nil: assume so. Must not block
}

// Relay serves the public sockets of one app. All methods may be called by any
// goroutine.
type Relay struct {
	hash, forwarded, proxyProtocol, strict bool

	limits Limits
	rare   rare
	dial   func(context.Context, *poller, *Instance) (instanceConn, error)

	frozen atomic.Bool     // nothing goes on: it is being handed over, or has been taken and not started yet
	ctx    context.Context // ends when the relay is handed over
	stop   context.CancelFunc

	mu      sync.Mutex
	slots   map[int]*slot
	pairs   map[*pair]struct{}
	vacant  time.Time     // since when no slot is live; means nothing while one is
	changed chan struct{} // closed and replaced when a slot goes live or none is left, a pair ends, or the relay closes
	closed  bool

	running sync.WaitGroup // acceptors, both goroutines of pairs, the watch, and drains
	pollers pollers
}

// slot is one place on the port. Its fields are guarded by Relay.mu.
type slot struct {
	index     int
	listeners []acceptor
	counters  *traffic.Counters
	live      *Instance          // nil: nobody to give connections to
	links     map[*link]struct{} // also to instances that were live before
	claims    atomic.Int64       // links that stand for a request, see link.claim; not guarded
}

// load is how much a slot's instance has to do: requests in flight.
func (s *slot) load() int64 { return s.counters.Totals().InFlight + s.claims.Load() }

// New returns a Relay without slots.
func New(o Options) *Relay {
	ctx, stop := context.WithCancel(context.Background())
	return &Relay{
		hash:          o.Hash,
		forwarded:     o.Forwarded,
		proxyProtocol: o.ProxyProtocol,
		strict:        o.Strict,
		limits:        o.Limits.withDefaults(),
		rare:          rare{say: o.Log},
		dial:          dial,
		ctx:           ctx,
		stop:          stop,
		slots:         map[int]*slot{},
		pairs:         map[*pair]struct{}{},
		vacant:        time.Now(),
		changed:       make(chan struct{}),
	}
}

// AddSlot takes over a listening socket of a slot and counts what the slot's
// instances serve in c. A slot may have several sockets, with one c, or with a nil
// l none.
func (r *Relay) AddSlot(index int, l net.Listener, c *traffic.Counters) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.slots) == 0 && !r.frozen.Load() {
		r.running.Add(1)
		go r.watch()
	}
	s := r.slots[index]
	if s == nil {
		s = &slot{index: index, counters: c, links: map[*link]struct{}{}}
		r.slots[index] = s
	}
	if s.counters == nil { // of a relay that was taken
		s.counters = c
	}
	if l == nil {
		return
	}
	a := newAcceptor(l)
	s.listeners = append(s.listeners, a)
	if !r.frozen.Load() {
		r.running.Add(1)
		go r.accept(s, a)
	}
}

// Serve takes over a connection that somebody else has accepted, of which no slot
// is preferred.
func (r *Relay) Serve(conn net.Conn) { r.begin(nil, conn) }

// Admit makes an instance live: new connections may go to it. Where another
// generation was live, none go to that any more; what it has stays, until it is
// drained or ends.
func (r *Relay) Admit(index int, in Instance) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.slots[index]; s != nil {
		s.live = &in
		r.wake()
	}
}

// Withdraw tells that an instance of a slot is gone.
func (r *Relay) Withdraw(index, generation int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.slots[index]; s != nil {
		r.vacate(s, generation)
	}
}

// vacate makes an instance of a slot live no more. r.mu is held.
func (r *Relay) vacate(s *slot, generation int) {
	if s.live == nil || s.live.Generation != generation {
		return
	}
	s.live = nil
	if !r.anyLive() {
		r.vacant = time.Now()
		r.wake()
	}
}

// patience is how much longer a connection waits for an instance. r.mu is held.
func (r *Relay) patience() time.Duration {
	if r.anyLive() {
		return r.limits.Hold
	}
	return r.limits.Hold - time.Since(r.vacant)
}

func (r *Relay) anyLive() bool {
	for _, s := range r.slots {
		if s.live != nil {
			return true
		}
	}
	return false
}

// Drain gives nothing new to an instance of a slot and makes each of its
// connections leave it as soon as no request is in flight there; the client
// keeps its connection, and its next request goes to another instance. Drain
// returns when no request is left, or with ctx's error, or errFrozen when the relay
// is handed over. Connections that cannot be followed are not waited for: only the
// instance can end them well.
func (r *Relay) Drain(ctx context.Context, index, generation int) error {
	r.mu.Lock()
	if r.frozen.Load() {
		r.mu.Unlock()
		return errFrozen
	}
	r.running.Add(1)
	defer r.running.Done()
	s := r.slots[index]
	var leaving []*link
	if s != nil {
		r.vacate(s, generation)
		for l := range s.links {
			if l.inst.Generation == generation {
				leaving = append(leaving, l)
			}
		}
	}
	r.mu.Unlock()
	for _, l := range leaving {
		l.leave()
	}
	for _, l := range leaving {
		select {
		case <-l.free:
		case <-ctx.Done():
			return ctx.Err()
		case <-r.ctx.Done():
			return errFrozen
		}
	}
	return nil
}

// Release closes the sockets at once: the port is free when it returns. No
// request is passed on any more. Close has to follow.
func (r *Relay) Release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for _, s := range r.slots {
		closeListeners(s)
	}
	r.wake()
}

// Flush waits, after Release, until clients have been sent all that instances
// had to say, which takes until these end their connections, or for ctx's end, or
// until the relay is handed over.
func (r *Relay) Flush(ctx context.Context) {
	for {
		r.mu.Lock()
		links := 0
		for _, s := range r.slots {
			links += len(s.links)
		}
		changed := r.changed
		r.mu.Unlock()
		if links == 0 {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		case <-r.ctx.Done():
			return
		}
	}
}

// Close closes the sockets and every connection, and waits until all is gone.
func (r *Relay) Close() {
	r.Release()
	r.mu.Lock()
	for p := range r.pairs {
		p.abort()
	}
	r.mu.Unlock()
	r.running.Wait()
	r.pollers.close()
	r.stop()
}

func (r *Relay) isClosed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}

func closeListeners(s *slot) {
	for _, l := range s.listeners {
		l.Close()
	}
	s.listeners = nil
}

// wake tells whoever waits for a change. r.mu is held.
func (r *Relay) wake() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// pick chooses who gets a connection that came in at home, among the live
// instances that are not in tried. It returns nil, and what to wait for, when there
// is none.
func (r *Relay) pick(home *slot, tried map[*Instance]bool) (*slot, *Instance, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var best *slot
	var least int64
	for _, s := range r.slots {
		if r.closed || s.live == nil || tried[s.live] || (s.live.Alive != nil && !s.live.Alive()) {
			continue
		}
		if s == home && r.hash {
			return s, s.live, nil
		}
		load := s.load()
		var better bool
		switch {
		case best == nil:
			better = true
		case load != least:
			better = load < least
		case len(s.links) != len(best.links):
			better = len(s.links) < len(best.links)
		default:
			better = s == home
		}
		if better {
			best, least = s, load
		}
	}
	if best == nil {
		return nil, nil, r.changed
	}
	return best, best.live, nil
}
