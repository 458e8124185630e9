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
	Hash   bool
	Limits Limits
	// Log, if set, gets a sentence for a human, of each kind one a minute at
	// most. It must not block.
	Log func(string)
}

// Instance is a live process that serves a slot.
type Instance struct {
	Network, Address string      // to dial
	Alive            func() bool // whether the process still runs; nil: assume so. Must not block
}

// Relay serves the public sockets of one app. All methods may be called by any
// goroutine.
type Relay struct {
	hash   bool
	limits Limits
	rare   rare
	dial   func(*Instance) (instanceConn, error)

	mu      sync.Mutex
	slots   map[int]*slot
	pairs   map[*pair]struct{}
	vacant  time.Time     // since when no slot is live; means nothing while one is
	changed chan struct{} // closed and replaced when a slot goes live or none is left, a pair ends, or the relay closes
	closed  bool

	running sync.WaitGroup // acceptors, pairs and the watch
}

// slot is one place on the port. Its fields are guarded by Relay.mu.
type slot struct {
	index     int
	listeners []net.Listener
	counters  *traffic.Counters
	live      *Instance // nil: nobody to give connections to
	links     map[*link]struct{}
	claims    atomic.Int64 // links that stand for a request, see link.claim; not guarded
}

// load is how much a slot's instance has to do: requests in flight.
func (s *slot) load() int64 { return s.counters.Totals().InFlight + s.claims.Load() }

// New returns a Relay without slots.
func New(o Options) *Relay {
	return &Relay{
		hash:    o.Hash,
		limits:  o.Limits.withDefaults(),
		rare:    rare{say: o.Log},
		dial:    dial,
		slots:   map[int]*slot{},
		pairs:   map[*pair]struct{}{},
		vacant:  time.Now(),
		changed: make(chan struct{}),
	}
}

// AddSlot takes over a listening socket of a slot and counts what the slot's
// instances serve in c. A slot may have several sockets, with one c.
func (r *Relay) AddSlot(index int, l net.Listener, c *traffic.Counters) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.slots) == 0 {
		r.running.Add(1)
		go r.watch()
	}
	s := r.slots[index]
	if s == nil {
		s = &slot{index: index, counters: c, links: map[*link]struct{}{}}
		r.slots[index] = s
	}
	s.listeners = append(s.listeners, l)
	r.running.Add(1)
	go r.accept(s, l)
}

// Admit makes an instance live: new connections may go to it.
func (r *Relay) Admit(index int, in Instance) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.slots[index]; s != nil {
		s.live = &in
		r.wake()
	}
}

// Withdraw tells that a slot's instance is gone.
func (r *Relay) Withdraw(index int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.slots[index]; s != nil {
		r.vacate(s)
	}
}

// vacate makes a slot's instance live no more. r.mu is held.
func (r *Relay) vacate(s *slot) {
	if s.live == nil {
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

// Drain gives nothing new to a slot's instance and makes each of its
// connections leave it as soon as no request is in flight there; the client
// keeps its connection, and its next request goes to another instance. Drain
// returns when no request is left, or with ctx's error. Connections that cannot
// be followed are not waited for: only the instance can end them well.
func (r *Relay) Drain(ctx context.Context, index int) error {
	r.mu.Lock()
	s := r.slots[index]
	var leaving []*link
	if s != nil {
		r.vacate(s)
		for l := range s.links {
			leaving = append(leaving, l)
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
// had to say, which takes until these end their connections, or for ctx's end.
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
// slots that are not in tried. It returns nil, and what to wait for, when there
// is none.
func (r *Relay) pick(home *slot, tried map[*slot]bool) (*slot, *Instance, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var best *slot
	var least int64
	for _, s := range r.slots {
		if r.closed || s.live == nil || tried[s] || (s.live.Alive != nil && !s.live.Alive()) {
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
