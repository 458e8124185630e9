package proc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"clusterd/internal/config"
	"clusterd/internal/port"
	"clusterd/internal/relay"
	"clusterd/internal/traffic"
)

// directWay lets the instances accept straight from the kernel: clusterd holds
// the listening sockets of the slots, and steers new connections to those that
// are live. How the sockets get into the processes depends on listen.
type directWay struct {
	app    config.App
	listen config.Listen // adopt, fd or self
	kernel *kernelCounts // nil: requests are not counted in the kernel
	watch  *watched      // nil: nor are connections
	grip   port.Grip
	log    func(string)

	counted countedSlots
	front   *port.Front // nil: closed
	// orphans passes connections that came to slots which cannot serve them on to
	// those that can: they are few, and go through clusterd.
	orphans *relay.Relay
	// serving is the generation of a slot that gets its connections, if any.
	serving map[int]int
}

func (w *directWay) addSlot(slot int, _ *traffic.Counters) error {
	if w.kernel == nil {
		return nil
	}
	if err := w.counted.add(slot, w.kernel); err != nil {
		w.log(fmt.Sprintf("requests are not counted: %v", err))
	}
	return nil
}

func (w *directWay) removeSlot(slot int) func(context.Context) {
	w.abandon(slot)
	f := w.front
	return func(ctx context.Context) {
		for held := f != nil; held && ctx.Err() == nil; {
			select {
			case <-time.After(drainPoll):
			case <-ctx.Done():
			}
			_, held = f.Queue(slot)
		}
	}
}

func (w *directWay) open() error {
	err := port.Probe(w.app.Host, w.app.Port)
	if _, ok := errors.AsType[*port.PrivilegeError](err); ok && w.listen == config.ListenSelf {
		err = nil // the app's program may have a privilege of its own
	}
	if err != nil {
		return err
	}
	r := relay.New(relay.Options{Log: w.log})
	r.AddSlot(anySlot, nil, &traffic.Counters{})
	w.orphans = r
	w.serving = map[int]int{}
	w.front = port.NewFront(w.frontOptions(r))
	if w.watch != nil {
		if err := w.watch.open(w.front, w.app.Port); err != nil {
			w.front.Close()
			r.Close()
			w.front, w.orphans = nil, nil
			return err
		}
	}
	return nil
}

// frontOptions are those of a Front whose orphans r passes on.
func (w *directWay) frontOptions(r *relay.Relay) port.FrontOptions {
	return port.FrontOptions{
		Port:   w.app.Port,
		Hash:   w.app.Balance == config.BalanceHash,
		Orphan: func(conn net.Conn) { r.Serve(conn) },
		Hold:   w.hold,
		Even:   w.watch != nil,
		Taken:  w.taken,
		Asking: func(own netip.AddrPort) {
			if w.watch != nil {
				w.watch.watch.Own(own)
			}
		},
		Replanned: func() {
			if w.watch != nil {
				w.watch.watch.LookSoon()
			}
		},
		Log: w.log,
	}
}

// hold has the requests counted that come to a held socket.
func (w *directWay) hold(slot, fd int) {
	if err := w.counted.attach(slot, fd); err != nil {
		w.log(fmt.Sprintf("requests of slot %d are not counted: %v", slot, err))
	}
}

// taken has the requests of a connection not counted for the slot that could not
// serve it: it comes to another one.
func (w *directWay) taken(slot int, conn net.Conn) {
	err := w.counted.disown(slot, conn)
	if w.watch != nil {
		err = errors.Join(err, w.watch.disown(conn))
	}
	if err != nil {
		w.log(err.Error())
	}
}

func (w *directWay) source(slot int) traffic.Source {
	if w.watch != nil {
		return w.watch.source(slot)
	}
	return w.counted.source(slot)
}

func (w *directWay) close() func(context.Context) {
	f, r := w.front, w.orphans
	if w.watch != nil {
		w.watch.watch.Close()
	}
	f.Close()
	r.Release()
	w.front, w.orphans = nil, nil
	return func(ctx context.Context) {
		r.Flush(ctx)
		r.Close()
	}
}

func (w *directWay) overlaps() bool { return true }

func (w *directWay) prepare(slot, generation int) (place, error) {
	return place{slot: slot, generation: generation, port: w.app.Port}, nil
}

func (at place) owner() port.Owner { return port.Owner{Slot: at.slot, Generation: at.generation} }

func (w *directWay) access(at place, watch port.Watch) (access, error) {
	switch w.listen {
	case config.ListenAdopt:
		f := w.front
		return access{grip: w.grip, adopt: func(pids func() []int) *port.Adoption {
			return port.Adopt(at.port, w.grip, pids, &port.Direct{Front: f, Owner: at.owner(), Port: at.port, PIDs: pids}, watch)
		}}, nil
	case config.ListenFD:
		fds, err := w.front.Inherit(at.owner(), w.app.Host)
		names := strings.Repeat(w.app.Name+":", len(fds))
		return access{inherited: fds, names: strings.Split(names, ":")[:len(fds)]}, err
	}
	return access{}, nil
}

func (w *directWay) listening(at place) func(context.Context, process, func(string)) (place, error) {
	f, log := w.front, w.log
	return func(ctx context.Context, p process, hint func(string)) (place, error) {
		switch w.listen {
		case config.ListenAdopt:
			return at, awaitAdopted(ctx, at.port, p, hint)
		case config.ListenFD:
			return at, awaitAccepting(ctx, f, at.owner(), hint)
		}
		var err error
		at.socket, err = awaitListening(ctx, at.port, p, hint, port.Listeners)
		if err != nil {
			return at, err
		}
		fd, err := port.Take(at.socket, p.Members())
		if err == nil {
			err = f.JoinListening(at.owner(), fd)
		}
		if err != nil {
			log(fmt.Sprintf("the sockets of instances cannot be held, so that connections that wait for one are lost with it: %v", err))
		}
		return at, nil
	}
}

// drainPoll is how often it is looked whether something has come to its end.
const drainPoll = 10 * time.Millisecond

// awaitAccepting blocks until the process accepts from the socket that it was
// given: a connection to this socket leaves its queue.
func awaitAccepting(ctx context.Context, f *port.Front, o port.Owner, hint func(string)) error {
	conns, err := f.Reach(ctx, o)
	if err != nil {
		return err
	}
	defer func() {
		for _, conn := range conns {
			conn.Close()
		}
	}()
	began, hinted := time.Now(), false
	for last := uint64(0); ; {
		n, ok := f.QueueOf(o)
		if ok && (n == 0 || n < last) {
			return nil
		}
		last = n
		if !hinted && time.Since(began) >= hintAfter {
			hinted = true
			hint("does not accept connections from the socket that it was given (descriptor 3, LISTEN_FDS) yet")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(listenPollMin):
		}
	}
}

func (w *directWay) admit(at place, _ func() bool) {
	f := w.front
	w.serving[at.slot] = at.generation
	f.Admit(at.owner())
	if w.listen == config.ListenFD { // it has all that it will ever have
		f.ReleaseVacant(at.owner())
	}
	w.orphans.Admit(anySlot, relay.Instance{Dial: f.DialAny})
}

// anySlot is the one slot of orphans: the kernel chooses who gets them.
const anySlot = 0

func (w *directWay) reachable(at place) func() bool {
	f := w.front
	if w.listen == config.ListenFD {
		return func() bool { return true } // not every server takes the socket as it is
	}
	return func() bool {
		// By now it has taken what it wanted.
		f.ReleaseVacant(at.owner())
		return f.Look(at.owner(), at.members)
	}
}

func (w *directWay) dialer(at place) func(context.Context) (net.Conn, error) {
	f, unheld := w.front, w.listen == config.ListenSelf && at.socket.Addr.IsValid()
	return func(ctx context.Context) (net.Conn, error) {
		conn, err := f.Dial(ctx, at.owner())
		if unheld && errors.Is(err, port.ErrNotListening) {
			err = fmt.Errorf("%w: its own socket cannot be held", port.ErrInexact)
		}
		return conn, err
	}
}

func (w *directWay) stuck(slot int) (time.Time, bool) {
	if w.front == nil {
		return time.Time{}, false
	}
	return w.front.Stuck(slot)
}

func (w *directWay) drain(at place) func(context.Context) {
	f := w.front
	return func(ctx context.Context) {
		// Its only error that matters here is that of ctx: time is up, and what is
		// left is left.
		_ = f.Drain(ctx, at.owner())
		requests := port.Requests{Port: at.port, PIDs: at.members}
		for last := time.Now(); ctx.Err() == nil; {
			busy, first, err := requests.Look()
			if first > 0 {
				last = time.Now()
			}
			if busy == 0 || err != nil || time.Since(last) >= pauseLimit {
				return
			}
			select {
			case <-time.After(drainPoll):
			case <-ctx.Done():
			}
		}
	}
}

// pauseLimit is how long is waited for a moment in which nothing is asked, once what
// was asked before the drain has been answered. A client that never pauses on its
// connection gives none, and is as well told so by the server, when that is told to
// stop: most end connections after the next answer.
const pauseLimit = 500 * time.Millisecond

// withdraw keeps the sockets for the slot's next process, unless that is there
// already, or has its own.
func (w *directWay) withdraw(at place) {
	if w.watch != nil {
		w.watch.leave(at.owner())
	}
	w.front.Ended(at.owner())
	if w.serving[at.slot] == at.generation {
		delete(w.serving, at.slot)
	}
	if len(w.serving) == 0 {
		w.orphans.Withdraw(anySlot, 0)
	}
	if _, other := w.serving[at.slot]; other || w.listen == config.ListenSelf {
		w.front.Release(at.owner())
	}
}

func (w *directWay) release(at place) {
	if w.front != nil {
		w.front.Forget(at.owner())
	}
}

func (w *directWay) abandon(slot int) {
	if w.front != nil {
		w.front.GiveUp(slot)
	}
}

func (w *directWay) queue(slot int) (uint64, bool) {
	if w.front == nil {
		return 0, false
	}
	return w.front.Queue(slot)
}

func (w *directWay) dropped(slot int) (uint64, bool) {
	if w.front == nil {
		return 0, false
	}
	return w.front.Dropped(slot)
}
