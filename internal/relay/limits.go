package relay

import "time"

// Limits bound what clients can make the relay hold. A zero value stands for
// the default.
type Limits struct {
	// Head is how long a request's head may take from its first byte.
	// Default 30 s.
	Head time.Duration
	// Idle is how long a client may keep a connection between requests. It is
	// longer than the keep-alive of common servers and clients, so that it is
	// they who decide. Default 5 min.
	Idle time.Duration
	// Stall is how long a client may neither send the rest of a request nor
	// take the rest of a response. Default 2 min.
	Stall time.Duration
	// Hold is how long a connection waits for an instance when none is live.
	// Default 30 s.
	Hold time.Duration
	// Conns is how many client connections are open at once; further ones
	// wait in the kernel's accept queue. Default 10,000.
	Conns int
}

func (l Limits) withDefaults() Limits {
	def := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	def(&l.Head, 30*time.Second)
	def(&l.Idle, 5*time.Minute)
	def(&l.Stall, 2*time.Minute)
	def(&l.Hold, 30*time.Second)
	if l.Conns == 0 {
		l.Conns = 10_000
	}
	return l
}

const (
	// maxHead bounds a message's head; a longer one cannot be followed.
	maxHead = 64 << 10
	// maxPipelined is how many requests of one connection may wait for their
	// answers before no more are read.
	maxPipelined = 256
	// firstByte is how long a client may be silent after connecting before the
	// instance gets a chance to speak first, as many protocols want it.
	firstByte = 200 * time.Millisecond
	// dialTimeout bounds one connect to an instance.
	dialTimeout = 10 * time.Second
)
