package proc

import (
	"context"

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

	group *port.Group  // nil: closed
	relay *relay.Relay // nil: closed
}

func (w *relayWay) open() error {
	g, err := port.Open(w.app.Host, w.app.Port)
	if err != nil {
		return err
	}
	r := relay.New(relay.Options{Hash: w.app.Balance == config.BalanceHash, Log: w.log})
	for slot, c := range w.counters {
		if err := w.hold(g, r, slot, c); err != nil {
			r.Close()
			g.Close()
			return err
		}
	}
	w.group, w.relay = g, r
	return nil
}

func (w *relayWay) hold(g *port.Group, r *relay.Relay, slot int, c *traffic.Counters) error {
	if err := g.Hold(slot); err != nil {
		return err
	}
	listeners, err := g.Listeners(slot)
	if err != nil {
		return err
	}
	for _, l := range listeners {
		r.AddSlot(slot, l, c)
	}
	return nil
}

func (w *relayWay) close() func(context.Context) {
	r := w.relay
	r.Release()
	w.group.Close()
	w.group, w.relay = nil, nil
	return func(ctx context.Context) {
		r.Flush(ctx)
		r.Close()
	}
}

func (w *relayWay) prepare() (place, error) {
	p, err := w.private.Take()
	return place{port: p}, err
}

func (w *relayWay) release(at place) { w.private.Put(at.port) }

func (w *relayWay) listening(at place) func(context.Context, process, func(string)) (place, error) {
	return func(ctx context.Context, p process, hint func(string)) (place, error) {
		var err error
		at.socket, err = awaitListening(ctx, at.port, p, hint, port.Listeners)
		return at, err
	}
}

func (w *relayWay) admit(slot int, at place, alive func() bool) {
	w.relay.Admit(slot, relay.Instance{Network: "tcp", Address: at.socket.DialAddr().String(), Alive: alive})
}

func (w *relayWay) drain(slot int) func(context.Context) {
	r := w.relay
	// The only error is that of ctx: time is up, and what is left is left.
	return func(ctx context.Context) { _ = r.Drain(ctx, slot) }
}

func (w *relayWay) withdraw(slot int) { w.relay.Withdraw(slot) }

func (w *relayWay) queue(slot int) (uint64, bool) {
	if w.group == nil {
		return 0, false
	}
	return w.group.Queue(slot)
}
