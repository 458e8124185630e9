package proc

import (
	"net"
	"net/netip"
	"slices"
	"sync"

	"clusterd/internal/config"
	"clusterd/internal/port"
	"clusterd/internal/relay"
	"clusterd/internal/traffic"
)

// relayPort is the public port of an app behind the relay: for each slot the
// held sockets, from which the relay accepts. Where the config has no host, it is
// opened at the addresses that the instances ask for, when the first of them does,
// and stays open there for the others. All methods may be called by any goroutine.
type relayPort struct {
	number int
	relay  *relay.Relay
	fixed  bool // the config says at which address

	mu       sync.Mutex
	counters []*traffic.Counters // by slot
	groups   map[port.Addr]*port.Group
	closed   bool
}

// openRelayPort takes the public address of an app, if that is known, or makes
// sure that nobody has the port.
func openRelayPort(a config.App, log func(string)) (*relayPort, error) {
	p := &relayPort{number: a.Port, fixed: a.Host != "", groups: map[port.Addr]*port.Group{}}
	var err error
	if p.fixed {
		p.groups[port.Addr{}], err = port.Open(a.Host, a.Port)
	} else {
		err = port.Probe(a.Host, a.Port)
	}
	if err != nil {
		return nil, err
	}
	p.relay = relay.New(relayOptions(a, log))
	return p, nil
}

func relayOptions(a config.App, log func(string)) relay.Options {
	return relay.Options{
		Hash:          a.Balance == config.BalanceHash,
		Forwarded:     a.Forwarded,
		ProxyProtocol: a.ProxyProtocol,
		Strict:        a.Strict,
		Log:           log,
	}
}

// addSlot adds the next slot, with sockets at all addresses that are open.
func (p *relayPort) addSlot(c *traffic.Counters) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	slot := len(p.counters)
	p.relay.AddSlot(slot, nil, c)
	for _, g := range p.groups {
		listeners, err := hold(g, slot)
		if err != nil {
			return err
		}
		for _, l := range listeners {
			p.relay.AddSlot(slot, l, c)
		}
	}
	p.counters = append(p.counters, c)
	return nil
}

// slots is how many there are.
func (p *relayPort) slots() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.counters)
}

// hold opens a slot's sockets in g, and returns what to accept from.
func hold(g *port.Group, slot int) ([]net.Listener, error) {
	if err := g.Hold(slot); err != nil {
		return nil, err
	}
	listeners, err := g.Listeners(slot)
	if err != nil {
		g.Release(slot) // connections would come to it, and nobody take them
	}
	return listeners, err
}

// check tells whether ask will do, as far as nothing is open.
func (p *relayPort) check(at port.Addr) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.fixed || len(p.groups) > 0 { // what is open would be in the way of a look
		return nil
	}
	return at.Probe()
}

// ask opens the port at the address that an instance asks for, if it is left to
// the instances and is not open there. The errors are those of port.Open.
func (p *relayPort) ask(at port.Addr) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return net.ErrClosed
	case p.fixed || p.groups[at] != nil:
		return nil
	}
	g := port.OpenAt(at)
	all := make([][]net.Listener, len(p.counters))
	for slot := range p.counters {
		var err error
		if all[slot], err = hold(g, slot); err != nil {
			for _, l := range slices.Concat(all...) {
				l.Close()
			}
			g.Close()
			return err
		}
	}
	for slot, listeners := range all {
		for _, l := range listeners {
			p.relay.AddSlot(slot, l, p.counters[slot])
		}
	}
	p.groups[at] = g
	return nil
}

// askAs is ask for what stands for the public address on a private port.
func (p *relayPort) askAs(l port.Listening) error {
	host := l.Addr.Addr().WithZone("")
	return p.ask(port.Addr{
		At:     netip.AddrPortFrom(host, uint16(p.number)),
		IPv6:   host.Is6(),
		V6Only: l.V6Only && host.IsUnspecified(),
	})
}

// queue is how many connections wait in the slot's accept queues.
func (p *relayPort) queue(slot int) (uint64, bool) {
	return p.sum(func(g *port.Group) (uint64, bool) { return g.Queue(slot) })
}

// dropped is how many were turned away since these were full.
func (p *relayPort) dropped(slot int) (uint64, bool) {
	return p.sum(func(g *port.Group) (uint64, bool) { return g.Dropped(slot) })
}

func (p *relayPort) sum(of func(*port.Group) (uint64, bool)) (sum uint64, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, g := range p.groups {
		if n, held := of(g); held {
			sum, ok = sum+n, true
		}
	}
	return sum, ok
}

// release closes the sockets.
func (p *relayPort) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.relay.Release()
	for _, g := range p.groups {
		g.Close()
	}
}
