package relay

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"clusterd/internal/handover"
	"clusterd/internal/traffic"
)

// HandOver stops everything at once, whatever clients and instances do, and returns
// what Take needs to go on in the next program. All descriptors are in the bag,
// listening sockets too: whoever opened those need not keep them for the relay's
// sake. The relay is dead then; only Close may be called, and does nothing.
//
// Whoever calls Serve has to be stopped before. Drain and Flush return, and are
// to be called again in the next program, as is Withdraw for what ends meanwhile.
func (r *Relay) HandOver(b *handover.Bag) (RelayState, error) {
	if err := r.freeze(); err != nil {
		return RelayState{}, err
	}
	r.running.Wait()
	r.pollers.close()
	st := RelayState{Closed: r.closed, Vacant: r.vacant}
	for p := range r.pairs {
		if !p.settle() {
			r.forget(p)
			continue
		}
		ps, err := p.pack(b)
		if err != nil {
			r.rare.log("cannot hand a connection over", err)
			continue
		}
		st.Pairs = append(st.Pairs, ps)
	}
	r.pairs = map[*pair]struct{}{}
	for _, s := range r.slots {
		ss := SlotState{Index: s.index}
		for _, l := range s.listeners {
			fd, err := keep(b, l.(descriptor))
			if err != nil {
				return st, fmt.Errorf("hand over a listening socket: %w", err)
			}
			ss.Listeners = append(ss.Listeners, fd)
		}
		s.listeners = nil
		st.Slots = append(st.Slots, ss)
	}
	r.closed = true
	return st, nil
}

// freeze makes all goroutines end, with what they were at in the pairs.
func (r *Relay) freeze() error {
	r.mu.Lock()
	for _, s := range r.slots {
		for _, l := range s.listeners {
			if _, ok := l.(descriptor); !ok {
				r.mu.Unlock()
				return fmt.Errorf("hand over a listening socket: %T has no descriptor", l)
			}
		}
	}
	r.frozen.Store(true)
	r.stop()
	for _, s := range r.slots {
		for _, l := range s.listeners {
			_ = l.(descriptor).SetDeadline(longAgo)
		}
	}
	r.wake()
	pairs := slices.Collect(maps.Keys(r.pairs))
	r.mu.Unlock()
	for _, p := range pairs {
		p.freeze()
	}
	return nil
}

// freeze makes both goroutines end, and the poller do nothing. Who sets a deadline
// later sees that it is not to be set any more.
func (p *pair) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.parked {
		p.parked = false
		p.keepBy = !p.readBy.IsZero()
	}
	_ = p.client.SetDeadline(longAgo)
	if p.link != nil {
		_ = p.link.conn.SetDeadline(longAgo)
	}
	p.changed.Broadcast()
}

// settle does what a goroutine that has been stopped would have found out: that the
// other one has closed its connection. It is false when the pair has ended.
func (p *pair) settle() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l := p.link; l != nil && (l.closed || p.ended) {
		p.abortSent(l)
		p.detach(l)
	}
	return !p.ended
}

// descriptor is what has to be kept.
type descriptor interface {
	syscall.Conn
	SetDeadline(time.Time) error
	Close() error
}

// handedOver are those that keep their object: closing that would close them.
var handedOver struct {
	sync.Mutex
	all []descriptor
}

// keep puts what c holds into the bag, as a duplicate that nothing but the bag knows
// of, and closes c.
func keep(b *handover.Bag, c descriptor) (fd int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	var failed error
	if err := raw.Control(func(held uintptr) {
		if fd, failed = unix.FcntlInt(held, unix.F_DUPFD_CLOEXEC, 3); failed != nil { // there may be no more
			fd = int(held)
		}
	}); err != nil {
		return -1, err
	}
	if failed != nil {
		handedOver.Lock()
		handedOver.all = append(handedOver.all, c)
		handedOver.Unlock()
	} else {
		c.Close()
	}
	return b.Keep(fd), nil
}

// Take makes a relay again that was handed over, with its sockets and connections.
// Nothing goes on yet. First, AddSlot says of each slot what counts it, with a nil
// listener: connections that are open and requests in flight are not counted as
// begun again, but as ended, so that the counters must have the figures of before.
// Then Admit says which instances are live; connections that one has already are its
// own again, if the generation is the same. Then Start lets everything go on.
//
// It is an error if a descriptor was not handed over. Then none of them is served.
func Take(o Options, st RelayState, b *handover.Bag) (*Relay, error) {
	r := New(o)
	r.frozen.Store(true)
	r.closed, r.vacant = st.Closed, st.Vacant
	var errs []error
	for _, ss := range st.Slots {
		s := &slot{index: ss.Index, links: map[*link]struct{}{}}
		r.slots[ss.Index] = s
		for _, fd := range ss.Listeners {
			l, err := takeAcceptor(b, fd)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			s.listeners = append(s.listeners, l)
		}
	}
	for _, ps := range st.Pairs {
		p, err := r.unpack(ps, b)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		r.pairs[p] = struct{}{}
	}
	if err := errors.Join(errs...); err != nil {
		for _, s := range r.slots {
			closeListeners(s)
		}
		for p := range r.pairs {
			p.client.Close()
			if p.link != nil {
				p.link.conn.Close()
			}
		}
		r.pollers.close()
		r.stop()
		return nil, fmt.Errorf("take the relay over: %w", err)
	}
	return r, nil
}

// Start lets a relay go on that Take has made.
func (r *Relay) Start() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.frozen.Store(false)
	if len(r.slots) > 0 {
		r.running.Add(1)
		go r.watch()
	}
	for _, s := range r.slots {
		if s.counters == nil {
			s.counters = &traffic.Counters{}
		}
		for l := range s.links {
			if s.live != nil && s.live.Generation == l.inst.Generation {
				l.inst = s.live
			}
		}
		for _, l := range s.listeners {
			r.running.Add(1)
			go r.accept(s, l)
		}
	}
	for p := range r.pairs {
		r.running.Add(1)
		go p.serve(p.turn)
	}
}

func takeAcceptor(b *handover.Bag, fd int) (acceptor, error) {
	fd, err := b.Take(fd)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "listener")
	raw, err := file.SyscallConn()
	return &rawAcceptor{file, raw}, err
}

func takeSocket(b *handover.Bag, fd int, far net.Addr) (*socket, error) {
	fd, err := b.Take(fd)
	if err != nil {
		return nil, err
	}
	return newSocket(fd, far), nil
}
