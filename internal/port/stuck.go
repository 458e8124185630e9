package port

import (
	"context"
	"net"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

const (
	easyTick   = 25 * time.Millisecond // between looks, while queues move
	busyTick   = 10 * time.Millisecond // while one stands still
	mostPause  = 4 * easyTick          // the same, while they are found empty again and again
	calmTick   = 5 * time.Second       // while nothing arrives
	stuckAfter = 50 * time.Millisecond // without a connection leaving the queue: shunned
	robAfter   = 3 * stuckAfter        // still without one, while nothing new arrives
	assertTick = time.Second           // an application may detach the program
	// A stranger that is found so often is none that will be held.
	strangerLooks = 5
	probeLimit    = 5 * time.Second // for the handshake of a probe
)

// A watch follows the accept queue of one held socket. A process that does not
// accept is shunned. If its queue stands still even then, with nothing new
// arriving, it is robbed: others serve what waits. From then on an empty queue
// proves nothing, and a probe has to: a connection of clusterd's that leaves the
// queue when the process accepts again.
type watch struct {
	queue   uint32
	moved   time.Time // when the queue was last seen empty, to be empty no more, or to shrink
	since   time.Time // when it had last moved before it was shunned
	shunned bool
	robbed  bool
	robbing bool // the robber is at work
	taken   int  // connections robbed
	probe   *probe
	mean    float64 // of the queue, over some ticks
}

// A probe is a connection to one exact socket, waiting to be accepted.
type probe struct {
	mark  uint32
	conn  net.Conn // nil until it is connected
	taken int      // of the watch, when it connected
}

// An act is what a look at a queue calls for.
type act int

const (
	nothing act = iota
	shun        // steer around it
	rob         // accept what waits
	test        // connect a probe
	readmit     // steer to it again
)

// see notes the length of the queue at a time and says what to do. others: there
// is a live socket that is not shunned.
func (w *watch) see(queue uint32, now time.Time, others bool) act {
	if queue == 0 || w.queue == 0 || queue < w.queue {
		w.moved = now
	}
	w.queue = queue
	w.mean += (float64(queue) - w.mean) / 4
	still := now.Sub(w.moved)
	probed := w.probe != nil && w.probe.conn != nil
	switch {
	case !w.shunned && still >= stuckAfter:
		w.shunned, w.since, w.moved = true, w.moved, now
		return shun
	case !w.shunned:
		return nothing
	case !w.robbed && queue == 0:
		return readmit
	case !w.robbed && still >= robAfter && others:
		return rob
	case !w.robbed:
		return nothing
	case probed && queue == 0 && !w.robbing && w.taken == w.probe.taken:
		return readmit
	case probed && queue == 0:
		return test // the robber took the probe
	case w.probe == nil && queue == 0:
		return test
	case still >= stuckAfter && others && !w.robbing && (!probed || queue > 1):
		return rob // stragglers
	}
	return nothing
}

// weight is the part that a socket gets, about 1/(1+2q) of a full one for a queue
// of q. It has few steps, so that the program does not change at every look.
func (w *watch) weight() uint32 {
	weight := uint32(fullShare)
	for x := 1 + 2*w.mean; x >= 2 && weight > fullShare/32; x /= 2 {
		weight /= 2
	}
	return weight
}

// unwatch forgets what was seen of the queue.
func (h *held) unwatch() {
	h.endProbe()
	h.watch = watch{}
}

func (h *held) endProbe() {
	if p := h.watch.probe; p != nil && p.conn != nil {
		p.conn.Close()
	}
	h.watch.probe = nil
}

// watchAll looks at all queues until the Front closes: again and again while
// something is in them, and otherwise when something comes. Who wakes up costs: a
// process that nobody asks anything shall not.
func (f *Front) watchAll() {
	var asserted, counted time.Time
	pause := easyTick
	for open := true; open; {
		now := time.Now()
		if now.Sub(asserted) >= assertTick {
			asserted = now
			f.assert()
		}
		if now.Sub(counted) >= censusTick {
			counted = now
			f.count(now)
		}
		next, calm := f.look(now)
		if !calm {
			open = f.arrivals.sleep(next)
			continue
		}
		// Not at every connection, however many come.
		if open = f.arrivals.sleep(pause); open {
			paused := time.Now()
			open = f.arrivals.await(calmTick)
			if pause *= 2; time.Since(paused) > mostPause {
				pause = easyTick
			}
			pause = min(pause, mostPause)
		}
	}
}

// look sees after all queues and returns when to look again. calm: nothing is to be
// seen before something arrives. Sockets whose queue is empty are recognised by one
// poll(2) of all.
func (f *Front) look(now time.Time) (next time.Duration, calm bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	polled := make([]unix.PollFd, 0, len(f.held))
	of := make([]*held, 0, len(f.held))
	for _, h := range f.held {
		if h.listening {
			polled = append(polled, unix.PollFd{Fd: int32(h.fd), Events: unix.POLLIN})
			of = append(of, h)
		}
	}
	if _, err := unix.Poll(polled, 0); err != nil {
		return busyTick, false // interrupted
	}
	next, calm = easyTick, true
	changed := false
	var shut []*held
	for i, p := range polled {
		h, queue := of[i], uint32(0)
		if p.Revents&unix.POLLHUP != 0 {
			shut = append(shut, h)
			continue
		}
		if p.Revents&unix.POLLIN != 0 {
			queue, calm = h.queue(), false
		}
		weight := h.watch.weight()
		if f.see(h, queue, now) || h.watch.weight() != weight {
			changed = true
		}
		if h.watch.shunned || h.watch.queue > 0 && h.watch.moved.Before(now) {
			next, calm = busyTick, false
		}
		if h.watch.weight() != fullShare {
			calm = false // it rises with every look
		}
	}
	f.lost(shut)
	if changed || shut != nil {
		f.steerAll()
	}
	if !f.choice() {
		next = mostPause // a queue that stands still is then only told of
	}
	return next, calm
}

// choice tells whether connections could go to one socket rather than another.
func (f *Front) choice() bool {
	n := 0
	for _, h := range f.held {
		if h.listening && h.followed() {
			n++
		}
	}
	return n > 1
}

// followed tells whether what its queue does has a consequence: it is steered to,
// or was, and a process should accept from it.
func (h *held) followed() bool {
	return h.cohort.why == "" && !h.cohort.hash && (h.standing == live || h.standing == draining) && !h.retiring
}

// lost takes note of sockets that stopped listening without clusterd's doing.
func (f *Front) lost(shut []*held) {
	gone := map[*cohort][]*held{}
	for _, h := range shut {
		f.arrivals.remove(h.fd)
		gone[h.cohort] = append(gone[h.cohort], h)
	}
	for c, of := range gone {
		if !c.lost(of) {
			f.learn(c) // they have gone in the same moment
		}
	}
}

// see does what the look at a queue calls for, and tells whether the plan is
// concerned.
func (f *Front) see(h *held, queue uint32, now time.Time) (changed bool) {
	c := h.cohort
	if !h.followed() {
		return false
	}
	others := queue > 0 && slices.ContainsFunc(c.held, func(other *held) bool {
		return other != h && other.standing == live && other.listening && !other.watch.shunned
	})
	act := h.watch.see(queue, now, others)
	switch act {
	case rob:
		f.rob(h)
	case test:
		if h.standing == live {
			f.probe(h)
		}
	case readmit:
		h.unwatch()
	}
	return act != nothing
}

// rob has the queue of a stuck socket served by others.
func (f *Front) rob(h *held) {
	fd, err := unix.FcntlInt(uintptr(h.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return // at the next look
	}
	h.endProbe()
	h.watch.robbed, h.watch.robbing = true, true
	f.helpers.Go(func() {
		defer unix.Close(fd)
		f.empty(h, fd, func() { h.watch.taken++ })
		f.mu.Lock()
		h.watch.robbing = false
		f.mu.Unlock()
	})
}

// probe connects to a socket that has been robbed.
func (f *Front) probe(h *held) {
	h.endProbe()
	mark, ok := h.cohort.probeMark()
	if !ok {
		return
	}
	p := &probe{mark: mark}
	h.watch.probe = p
	f.steer(h.cohort)
	at := h.cohort.addr.dial()
	f.tasks.Go(func() {
		ctx, cancel := context.WithTimeout(f.life, probeLimit)
		defer cancel()
		conn, err := f.ask(ctx, at, &mark)
		f.mu.Lock()
		defer f.mu.Unlock()
		switch {
		case err != nil && h.watch.probe == p:
			h.watch.probe = nil
		case err == nil && h.watch.probe == p:
			p.conn, p.taken = conn, h.watch.taken
		case err == nil:
			conn.Close()
		}
	})
}

// assert puts all programs in force again, where nobody else has joined the group.
func (f *Front) assert() {
	f.mu.Lock()
	defer f.mu.Unlock()
	ours := f.inodes()
	for _, c := range f.cohorts {
		if c.why != "" {
			continue
		}
		f.survey(c, ours)
		if err := c.attach(); err != nil {
			f.unsteer(c, err.Error())
		}
	}
}

// survey looks who listens at an address besides ours. Where sockets join by
// themselves, one may do so before it is held, and get nothing meanwhile.
func (f *Front) survey(c *cohort, ours map[uint64]bool) {
	all, err := listening(c.addr)
	if err != nil {
		return
	}
	c.foreign++
	if !slices.ContainsFunc(all, func(inode uint64) bool { return !ours[inode] }) {
		c.foreign = 0
	}
	if c.foreign > 0 && !c.wild || c.foreign >= strangerLooks {
		f.unsteer(c, "somebody else has begun to listen there too")
	}
	f.relearn(c, all)
}

// inodes are those of all sockets of the Front.
func (f *Front) inodes() map[uint64]bool {
	out := map[uint64]bool{}
	for _, h := range f.held {
		out[h.inode] = true
	}
	for _, c := range f.cohorts {
		for _, m := range c.members {
			var st unix.Stat_t
			if err := unix.Fstat(m.fd, &st); err == nil {
				out[st.Ino] = true
			}
		}
	}
	return out
}

// Stuck tells since when a slot that is live has not accepted, though connections
// wait or a probe does.
func (f *Front) Stuck(slot int) (since time.Time, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, h := range f.held {
		if h.owner.Slot == slot && h.watch.shunned && (!ok || h.watch.since.Before(since)) {
			since, ok = h.watch.since, true
		}
	}
	return since, ok
}
