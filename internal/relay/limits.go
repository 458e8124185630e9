package relay

import (
	"syscall"
	"time"
)

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
	// take the rest of a response. It is also how long a connection that cannot
	// be followed stays open without a byte once one side has said all. For an
	// HTTP response there is no bound but the client's patience. Default 2 min.
	Stall time.Duration
	// Hold is how long connections wait for an instance when none is live,
	// from the moment when the last one has gone: new ones in the kernel's
	// accept queue, so that none is lost while an app restarts, others when
	// they need an instance. After that each is accepted and told: a request
	// is answered with 503, anything else with the end of the connection.
	// It is also how long a connection waits for live instances that refuse
	// it. Default 30 s.
	Hold time.Duration
	// Conns is how many client connections are open at once; further ones
	// wait in the kernel's accept queue. Each takes two descriptors, one for
	// the client and one for the instance. Default 10,000, or as many as the
	// process's limit on descriptors (RLIMIT_NOFILE) has room for if that is
	// less. Each relay has a limit of its own, so several of them can together
	// run out of descriptors; then clients get 503, or wait to be accepted.
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
		l.Conns = defaultConns()
	}
	return l
}

func defaultConns() int {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return maxConns
	}
	return connsWithin(files.Cur)
}

// connsWithin is how many connections, of two descriptors each, a process that
// may have so many descriptors has room for, with some for all else.
func connsWithin(files uint64) int {
	const others = 128
	if files >= others+2*maxConns {
		return maxConns
	}
	return max(minConns, (int(files)-others)/2)
}

const (
	// maxConns and minConns bound the default of Limits.Conns.
	maxConns = 10_000
	minConns = 16
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
