package proc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"clusterd/internal/config"
	"clusterd/internal/port"
	"clusterd/internal/relay"
	"clusterd/internal/traffic"
)

// relayWay puts clusterd's relay on the public port: it accepts on the held
// sockets and passes connections on to the private ports of the instances.
type relayWay struct {
	app      config.App
	counters []*traffic.Counters // by slot
	private  *port.Private
	log      func(string)
	adopts   bool // what binds the public port is moved to the private one
	grip     port.Grip

	public *relayPort // nil: closed
}

func (w *relayWay) addSlot(slot int, c *traffic.Counters) error {
	if w.public != nil && slot >= w.public.slots() {
		if err := w.public.addSlot(c); err != nil {
			return err
		}
	}
	w.counters = append(w.counters[:slot:slot], c)
	return nil
}

// removeSlot keeps the slot's sockets, and the relay accepts from them for the
// other slots. The kernel gives connections to a listening socket until it is
// closed, so that one could come in between the last accept and the close.
func (w *relayWay) removeSlot(slot int) func(context.Context) {
	w.counters = w.counters[:slot]
	return func(context.Context) {}
}

func (w *relayWay) open() error {
	p, err := openRelayPort(w.app, w.log)
	if err != nil {
		return err
	}
	for _, c := range w.counters {
		if err := p.addSlot(c); err != nil {
			p.release()
			p.relay.Close()
			return err
		}
	}
	w.public = p
	return nil
}

func (w *relayWay) close() func(context.Context) {
	p := w.public
	p.release()
	w.public = nil
	return func(ctx context.Context) {
		p.relay.Flush(ctx)
		p.relay.Close()
	}
}

func (w *relayWay) overlaps() bool { return true }

func (w *relayWay) prepare(slot, generation int) (place, error) {
	p, err := w.private.Take()
	at := place{slot: slot, generation: generation, port: p, private: p}
	if w.adopts {
		at.port = w.app.Port
	}
	return at, err
}

func (w *relayWay) access(at place, watch port.Watch) (access, error) {
	if at.port == at.private {
		return access{}, nil
	}
	p, log := w.public, w.log
	said := "" // Go tries twice, with Multipath TCP and without
	loudly := func(f func(port.Addr) error) func(port.Addr) error {
		return func(at port.Addr) error {
			err := f(at)
			if err != nil && err.Error() != said {
				said = err.Error()
				log(fmt.Sprintf("the relay cannot listen where an instance would: %v", err))
			}
			return err
		}
	}
	return access{grip: w.grip, adopt: func(pids func() []int) *port.Adoption {
		return port.Adopt(at.port, w.grip, pids, &port.Moved{
			Private: at.private, Bound: loudly(p.check), Listening: loudly(p.ask),
		}, watch)
	}}, nil
}

func (w *relayWay) release(at place) { w.private.Put(at.private) }

// abandon leaves the slot's sockets to the relay, which accepts for all.
func (w *relayWay) abandon(int) {}

func (w *relayWay) listening(at place) func(context.Context, process, func(string)) (place, error) {
	public := w.public
	return func(ctx context.Context, p process, hint func(string)) (place, error) {
		if at.port != at.private {
			return at, awaitAdopted(ctx, at.port, p, hint)
		}
		var err error
		if at.socket, err = awaitListening(ctx, at.port, p, hint, port.Listeners); err != nil {
			return at, err
		}
		return at, awaitPublic(ctx, public, at, p, hint)
	}
}

// awaitPublic opens the public port at the addresses at which an instance listens
// on its private one. While that cannot be done, it says why through hint, each
// time that this is something new. The only error is that of ctx.
func awaitPublic(ctx context.Context, public *relayPort, at place, p process, hint func(string)) error {
	for said := ""; ; {
		all := []port.Listening{at.socket}
		if found, err := port.Listeners(at.port); err == nil {
			all = append(all, own(found, p)...)
		}
		var err error
		for _, l := range all {
			err = errors.Join(err, public.askAs(l))
		}
		if err == nil {
			return nil
		}
		if text := err.Error(); text != said {
			said = text
			hint(text)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(listenPollMax):
		}
	}
}

func (w *relayWay) admit(at place, alive func() bool) {
	w.public.relay.Admit(at.slot, relay.Instance{
		Generation: at.generation,
		Network:    "tcp",
		Address:    at.socket.DialAddr().String(),
		Alive:      alive,
	})
}

// reachable does not look: a connection that is refused goes to another one.
func (w *relayWay) reachable(place) func() bool { return func() bool { return true } }

// dialer goes past the relay, which would choose.
func (w *relayWay) dialer(at place) func(context.Context) (net.Conn, error) {
	var first []byte
	if w.app.ProxyProtocol {
		first = relay.LocalHeader()
	}
	return func(ctx context.Context) (net.Conn, error) {
		if !at.socket.Addr.IsValid() {
			return nil, port.ErrNotListening
		}
		var d net.Dialer
		d.SetMultipathTCP(false)
		conn, err := d.DialContext(ctx, "tcp", at.socket.DialAddr().String())
		if err != nil || first == nil {
			return conn, err
		}
		if _, err := conn.Write(first); err != nil {
			conn.Close()
			return nil, err
		}
		return conn, nil
	}
}

// stuck does not tell: an instance that hangs has requests in flight, and gets
// no more than the others do.
func (w *relayWay) stuck(int) (time.Time, bool) { return time.Time{}, false }

func (w *relayWay) drain(at place) func(context.Context) {
	r := w.public.relay
	// The only error is that of ctx: time is up, and what is left is left.
	return func(ctx context.Context) { _ = r.Drain(ctx, at.slot, at.generation) }
}

func (w *relayWay) withdraw(at place) { w.public.relay.Withdraw(at.slot, at.generation) }

func (w *relayWay) source(slot int) traffic.Source {
	if slot >= len(w.counters) || w.app.Count == config.CountOff {
		return nil
	}
	return w.counters[slot]
}

func (w *relayWay) queue(slot int) (uint64, bool) {
	if w.public == nil {
		return 0, false
	}
	return w.public.queue(slot)
}

func (w *relayWay) dropped(slot int) (uint64, bool) {
	if w.public == nil {
		return 0, false
	}
	return w.public.dropped(slot)
}
