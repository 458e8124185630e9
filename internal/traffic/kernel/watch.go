package kernel

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"time"

	"clusterd/internal/sockdiag"
	"clusterd/internal/traffic"
)

// Options say what a Watch counts.
type Options struct {
	Port int
	// Members are the living processes of each slot. It is called once a second.
	Members func() map[int][]int
	// SlotOf tells which slot a connection came to that began since, by its two
	// addresses; ok is false when that cannot be told. It is called for each
	// connection that nobody was seen to have, and was not disowned.
	SlotOf func(client, local netip.AddrPort, since time.Time) (slot int, ok bool)
}

// A Watch counts the connections to one port while it is open, and remembers them
// when it is not. The zero value is ready to be opened. Its methods may be called by
// any goroutine, Open and Close by one at a time.
type Watch struct {
	opts   Options
	events *sockdiag.Events // nil: it is closed
	done   chan struct{}    // closed by Close
	soon   chan struct{}    // asks for a look
	tasks  sync.WaitGroup

	mu     sync.Mutex
	conns  map[uint64]*conn        // by cookie: those that are open
	gone   map[uint64]bool         // cookies of those that have ended since the running look began
	own    map[netip.AddrPort]bool // clients that are clusterd itself, whose connection has not been seen yet
	left   map[uint64]bool         // cookies of those that were open when the Watch was closed last, and are counted
	ended  map[int]traffic.Totals
	foggy  bool      // connections were missed, or nobody knows whose they were
	looked time.Time // when the last look began
	looks  int
	missed int // the look before which ends of connections were missed last
}

// conn is a connection that is or was open, as it is handed over as well.
type conn struct {
	Slot    int // Known: whose it is; below 0: nobody's
	Known   bool
	Client  netip.AddrPort
	Local   netip.AddrPort
	Inode   uint32
	Since   time.Time // it began at this time or later
	Traffic traffic.Totals
	Seen    int // the look that has seen it last
}

// Open begins to count. What is open already counts as well.
func (w *Watch) Open(opts Options) error {
	events, err := sockdiag.Subscribe(opts.Port)
	if err != nil {
		return fmt.Errorf("count connections to port %d: %w", opts.Port, err)
	}
	w.mu.Lock()
	w.conns, w.looked = map[uint64]*conn{}, time.Now()
	if w.ended == nil {
		w.ended = map[int]traffic.Totals{}
	}
	w.own = map[netip.AddrPort]bool{}
	w.mu.Unlock()
	w.begin(opts, events)
	return nil
}

// begin has what is known kept up to date.
func (w *Watch) begin(opts Options, events *sockdiag.Events) {
	w.opts, w.events, w.done = opts, events, make(chan struct{})
	w.mu.Lock()
	w.soon, w.gone = make(chan struct{}, 1), map[uint64]bool{}
	w.mu.Unlock()
	w.tasks.Go(w.hear)
	w.tasks.Go(w.lookAround)
}

// Close ends the counting, after a last look. What was counted stays; connections
// that are still open count as having ended.
func (w *Watch) Close() {
	close(w.done)
	w.events.Close()
	w.tasks.Wait()
	w.events = nil
	if w.look() != nil {
		w.blur()
	}
	w.mu.Lock()
	rest := w.conns
	w.conns = map[uint64]*conn{}
	w.left = map[uint64]bool{}
	for cookie, c := range rest {
		w.left[cookie] = true
		w.settle(c)
	}
	w.mu.Unlock()
	for _, c := range rest {
		w.ask(c)
	}
}

// LookSoon has a look taken without delay: connections that begin after it need not
// be told from those before. It is for when others begin to get them.
func (w *Watch) LookSoon() {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case w.soon <- struct{}{}:
	default: // it is asked for already, or the Watch was never open
	}
}

// blur says that not all is known any more.
func (w *Watch) blur() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.foggy = true
}

// Disown takes a connection out of the counts, by its SO_COOKIE.
func (w *Watch) Disown(cookie uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.conns[cookie]
	if c == nil {
		c = &conn{Seen: w.looks}
		w.conns[cookie] = c
	}
	c.Slot, c.Known = -1, true
}

// ownNet is where clusterd itself asks one exact slot from, by IPv4.
var ownNet = netip.MustParsePrefix("127.77.0.0/16")

// Own takes a connection out of the counts that clusterd has made itself, by the
// address of its own end. By IPv4 that is known without. One that ends before Own is
// called is counted.
func (w *Watch) Own(client netip.AddrPort) {
	if ownNet.Contains(client.Addr()) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		if c.Client == client && c.Traffic.ConnsOpen > 0 {
			c.Slot, c.Known = -1, true
			return
		}
	}
	if w.own != nil {
		w.own[client] = true
	}
}

// meet is a connection that is seen for the first time.
func (w *Watch) meet(m sockdiag.Message) *conn {
	c := &conn{Since: w.looked}
	if client := m.Remote(); w.own[client] || ownNet.Contains(client.Addr()) {
		delete(w.own, client)
		c.Slot, c.Known = -1, true
	}
	return c
}

// hear takes note of connections that end.
func (w *Watch) hear() {
	buf := make([]byte, 64<<10)
	for {
		err := w.events.Read(buf, w.over)
		switch {
		case errors.Is(err, os.ErrClosed):
			return
		case err != nil:
			w.mu.Lock()
			w.foggy, w.missed = true, w.looks
			w.mu.Unlock()
		}
	}
}

// over counts a connection that has ended.
func (w *Watch) over(m sockdiag.Message) {
	if m.Remote().Port() == 0 {
		return // a listening socket
	}
	w.mu.Lock()
	if w.left[m.Cookie()] {
		delete(w.left, m.Cookie())
		w.mu.Unlock()
		return
	}
	c := w.conns[m.Cookie()]
	if c == nil {
		c = w.meet(m)
	}
	delete(w.conns, m.Cookie())
	w.gone[m.Cookie()] = true
	c.update(m)
	w.settle(c)
	w.mu.Unlock()
	w.ask(c)
}

// settle counts a connection for good, if it is known whose it is.
func (w *Watch) settle(c *conn) {
	if c.Known && c.Slot >= 0 {
		c.Traffic.ConnsOpen = 0
		w.ended[c.Slot] = w.ended[c.Slot].Add(c.Traffic)
	}
}

// ask finds out whose a connection was, and settles it. The lock is not held:
// whoever knows may be about to call the Watch.
func (w *Watch) ask(c *conn) {
	if c.Known {
		return
	}
	c.Slot, c.Known = w.opts.SlotOf(c.Client, c.Local, c.Since)
	w.mu.Lock()
	defer w.mu.Unlock()
	if !c.Known {
		w.foggy = true
	}
	w.settle(c)
}

// update takes over what the kernel says of a connection. The end of what a client
// sends counts as a byte for the kernel; of a connection that is over, and was not
// reset, it has come.
func (c *conn) update(m sockdiag.Message) {
	c.Client, c.Local = m.Remote(), m.Local()
	c.Inode = m.Inode()
	info, ok := m.Info()
	if !ok {
		return
	}
	in := info.Bytes_received
	if in > 0 && (m.States()&(sockdiag.CloseWait|sockdiag.LastAck|sockdiag.Closing|sockdiag.Closed) != 0) {
		in--
	}
	c.Traffic = traffic.Totals{
		ConnsOpen:  1,
		ConnsTotal: 1,
		Requests:   uint64(info.Data_segs_in),
		BytesIn:    max(in, c.Traffic.BytesIn),
		BytesOut:   info.Bytes_sent - info.Bytes_retrans,
	}
}

// Source returns the source of a slot.
func (w *Watch) Source(slot int) traffic.Source { return source{w, slot} }

type source struct {
	watch *Watch
	slot  int
}

// Totals are as of the last look, but for connections that have ended since.
func (s source) Totals() traffic.Totals {
	w := s.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.ended[s.slot]
	for _, c := range w.conns {
		if c.Known && c.Slot == s.slot {
			t = t.Add(c.Traffic)
		}
	}
	t.Estimated, t.NoStatus, t.ConnsInexact = true, true, w.foggy
	return t
}

// Recent are not known.
func (source) Recent() traffic.Latencies { return traffic.Latencies{} }

// Latencies are not known.
func (source) Latencies() traffic.Latencies { return traffic.Latencies{} }
