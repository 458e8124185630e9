package traffic

import (
	"sync/atomic"
	"time"
)

// Counters are the totals of one slot. All methods may be called by any
// goroutine; the zero value is ready to use. Do not copy.
type Counters struct {
	opened   atomic.Uint64
	closed   atomic.Uint64
	inFlight atomic.Int64
	requests atomic.Uint64
	classes  [5]atomic.Uint64 // 1xx … 5xx
	unparsed atomic.Uint64
	bytesIn  atomic.Uint64
	bytesOut atomic.Uint64
	latency  recent
}

// ConnOpened counts a client connection handed to this slot.
func (c *Counters) ConnOpened() { c.opened.Add(1) }

// ConnClosed counts the end of a connection counted by ConnOpened.
func (c *Counters) ConnClosed() { c.closed.Add(1) }

// RequestStarted counts a request whose head has been passed on to the instance.
func (c *Counters) RequestStarted() { c.inFlight.Add(1) }

// RequestDone counts a request that RequestStarted announced and that has been
// answered with status (100 to 599) after the time that passed from the end of
// its head to the first byte of the final response's head. It must be called
// before the last bytes of the response reach the client, so that whoever has
// read an answer also finds it counted.
func (c *Counters) RequestDone(status int, latency time.Duration) {
	c.inFlight.Add(-1)
	c.requests.Add(1)
	if class := status/100 - 1; class >= 0 && class < len(c.classes) {
		c.classes[class].Add(1)
	}
	c.latency.record(latency)
}

// RequestAborted ends a request that RequestStarted announced and that was
// never answered, because either side went away.
func (c *Counters) RequestAborted() { c.inFlight.Add(-1) }

// ConnUnparsed counts a connection that carries no HTTP/1.x that can be
// followed: its bytes pass, its requests are not counted from here on.
func (c *Counters) ConnUnparsed() { c.unparsed.Add(1) }

// AddBytes counts bytes that came from clients (in) and went to them (out).
func (c *Counters) AddBytes(in, out int) {
	if in > 0 {
		c.bytesIn.Add(uint64(in))
	}
	if out > 0 {
		c.bytesOut.Add(uint64(out))
	}
}

// Totals reads the counters.
func (c *Counters) Totals() Totals {
	t := Totals{
		// closed before opened: a connection that ends in between must not
		// make the difference negative.
		ConnsOpen: c.closed.Load(),
		InFlight:  c.inFlight.Load(),
		Requests:  c.requests.Load(),
		Unparsed:  c.unparsed.Load(),
		BytesIn:   c.bytesIn.Load(),
		BytesOut:  c.bytesOut.Load(),
	}
	t.ConnsTotal = c.opened.Load()
	t.ConnsOpen = t.ConnsTotal - t.ConnsOpen
	for i := range c.classes {
		t.Classes[i] = c.classes[i].Load()
	}
	return t
}

// CountersState is what Counters have counted, as it can be handed to another
// process.
type CountersState struct {
	Opened   uint64
	Closed   uint64
	InFlight int64
	Requests uint64
	Classes  [5]uint64
	Unparsed uint64
	BytesIn  uint64
	BytesOut uint64
	Latency  RecentState
}

// State is what has been counted. Connections that are open, and requests that are
// in flight, are so in the state as well: whoever has them later counts their ends.
// Nobody may count meanwhile.
func (c *Counters) State() CountersState {
	st := CountersState{
		Opened:   c.opened.Load(),
		Closed:   c.closed.Load(),
		InFlight: c.inFlight.Load(),
		Requests: c.requests.Load(),
		Unparsed: c.unparsed.Load(),
		BytesIn:  c.bytesIn.Load(),
		BytesOut: c.bytesOut.Load(),
		Latency:  c.latency.state(),
	}
	for i := range c.classes {
		st.Classes[i] = c.classes[i].Load()
	}
	return st
}

// Restore has c, which has counted nothing, go on from st.
func (c *Counters) Restore(st CountersState) {
	c.opened.Store(st.Opened)
	c.closed.Store(st.Closed)
	c.inFlight.Store(st.InFlight)
	c.requests.Store(st.Requests)
	for i, n := range st.Classes {
		c.classes[i].Store(n)
	}
	c.unparsed.Store(st.Unparsed)
	c.bytesIn.Store(st.BytesIn)
	c.bytesOut.Store(st.BytesOut)
	c.latency.restore(st.Latency)
}

// Recent are the latencies of the requests answered within the last 30 to 60
// seconds.
func (c *Counters) Recent() Latencies { return c.latency.lately() }

// Latencies are those of all requests answered.
func (c *Counters) Latencies() Latencies { return c.latency.ever() }
