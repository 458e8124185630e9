package proc

import (
	"context"
	"net"
	"time"

	"clusterd/internal/config"
	"clusterd/internal/handover"
	"clusterd/internal/port"
	"clusterd/internal/traffic"
)

// way is how the instances of one app get onto its public port: the one thing
// in which the listen modes differ. The event loop owns it and makes every
// call; what may block is handed back as a function, for a goroutine of the run
// to call.
type way interface {
	// addSlot adds the next slot, and counts in c what its instances serve; the
	// slot is held at once where the address is.
	addSlot(slot int, c *traffic.Counters) error
	// removeSlot gives up the last slot, of which nothing runs any more. The
	// function that it returns blocks until every connection that came to the
	// slot is with an instance of another one, or ctx ends.
	removeSlot(slot int) (settle func(ctx context.Context))
	// open takes the public address and holds a socket for each slot. It is
	// closed before it is opened again.
	open() error
	// close lets go of the address; connections that wait in its queues are
	// reset. The function that it returns blocks until clients have what
	// instances said to them before they ended, or ctx ends, and closes their
	// connections.
	close() (flush func(ctx context.Context))
	// overlaps tells whether two generations of a slot may run beside each other.
	overlaps() bool
	// prepare finds a place for a generation of a slot. Also where there is none,
	// the place has their numbers.
	prepare(slot, generation int) (place, error)
	// access says what the process at a place needs to get there. What is seen of
	// it is told to w. What it holds is the caller's to close.
	access(at place, w port.Watch) (access, error)
	// listening returns a function that blocks until the process serves at its
	// place, and returns the place made complete, or ctx's error when that ends
	// first, which is the only one. It calls hint with a sentence when something
	// seems to be in the way. It is nil where to run is to serve.
	listening(at place) func(ctx context.Context, p process, hint func(string)) (place, error)
	// admit gives the slot's new connections to the process at a place, and no
	// more of them to its predecessor; alive tells, from any goroutine, whether it
	// still runs.
	admit(at place, alive func() bool)
	// reachable returns a function that tells whether the process at a place can
	// still get connections: it has not closed its listening sockets.
	reachable(at place) func() bool
	// dialer returns a function that connects to exactly the process at a place,
	// whoever gets the connections of others. Errors are port.ErrNotListening,
	// port.ErrInexact, and those of connecting.
	dialer(at place) func(ctx context.Context) (net.Conn, error)
	// stuck tells since when the slot's process has not accepted connections that
	// wait for it, or would, if others did not get them.
	stuck(slot int) (since time.Time, ok bool)
	// drain returns a function that stops giving connections to the process at a
	// place and blocks until it has answered what it has, or ctx ends.
	drain(at place) func(ctx context.Context)
	// handOver ends the way, and keeps in b what it has open. Nothing may be asked of it
	// afterwards.
	handOver(b *handover.Bag) (wayState, error)
	// takeOver has a new way go on from where another one was. Places that are live
	// are admitted again before goOn, with which it begins to serve.
	takeOver(st wayState, a *app, b *handover.Bag) error
	goOn()
	// launched tells that there is a process for a place, which may get connections
	// from here on; after takeOver, too.
	launched(at place)
	// withdraw tells that the process at a place is gone.
	withdraw(at place)
	// release gives a place back that no process uses any more.
	release(at place)
	// abandon tells that nothing runs in the slot, nor will by itself: others get
	// what waits for it.
	abandon(slot int)
	// source tells what a slot has served; nil: nobody counts.
	source(slot int) traffic.Source
	// queue is how many connections wait in the slot's accept queue.
	queue(slot int) (n uint64, ok bool)
	// dropped is how many connections were turned away since that was full.
	dropped(slot int) (n uint64, ok bool)
}

// place is where one generation of an instance listens.
type place struct {
	slot, generation int
	port             int            // $PORT; 0: nowhere
	private          int            // the port behind the relay; 0: none
	socket           port.Listening // what it serves on, once it listens
	members          func() []int   // its living processes, once it has been launched
}

// chosen is a way with the names under which it is shown.
type chosen struct {
	way
	Plan
}

// direct tells that the instances accept connections for themselves.
func (c chosen) direct() bool { return c.Listen != "" && c.Listen != string(config.ListenRelay) }

// choose makes the way of a plan. It has no slots yet.
func choose(a config.App, p Plan, private *port.Private, kernel *kernelCounts, log func(string)) chosen {
	c := chosen{Plan: p}
	switch p.Listen {
	case "":
		c.way = noPort{}
	case string(config.ListenRelay):
		c.way = &relayWay{app: a, private: private, log: log, adopts: p.adopts, grip: p.grip}
	default:
		if p.Count != string(config.CountEBPF) {
			kernel = nil
		}
		listen := config.Listen(p.Listen)
		if p.adopts { // also what sets SO_REUSEPORT itself: so its place in the group is known
			listen = config.ListenAdopt
		}
		way := &directWay{app: a, listen: listen, grip: p.grip, kernel: kernel, log: log}
		if p.Count == string(config.CountKernel) {
			way.watch = new(watched)
		}
		c.way = way
	}
	return c
}

// noPort is the way of a worker: there is nothing to listen on, so it is ready
// as soon as it runs.
type noPort struct{}

func (noPort) addSlot(int, *traffic.Counters) error { return nil }
func (noPort) removeSlot(int) func(context.Context) { return func(context.Context) {} }
func (noPort) open() error                          { return nil }
func (noPort) close() func(context.Context)         { return func(context.Context) {} }
func (noPort) admit(place, func() bool)             {}
func (noPort) drain(place) func(context.Context)    { return func(context.Context) {} }
func (noPort) withdraw(place)                       {}
func (noPort) source(int) traffic.Source            { return nil }
func (noPort) stuck(int) (time.Time, bool)          { return time.Time{}, false }
func (noPort) abandon(int)                          {}
func (noPort) reachable(place) func() bool          { return func() bool { return true } }
func (noPort) access(place, port.Watch) (access, error) {
	return access{}, nil
}
func (noPort) release(place)              {}
func (noPort) queue(int) (uint64, bool)   { return 0, false }
func (noPort) dropped(int) (uint64, bool) { return 0, false }

func (noPort) dialer(place) func(context.Context) (net.Conn, error) {
	return func(context.Context) (net.Conn, error) { return nil, errWorker }
}

// overlaps is false: what a worker takes for itself, like a lock or jobs of a
// queue, is its own business, and two with one index are one too many.
func (noPort) overlaps() bool { return false }

func (noPort) prepare(slot, generation int) (place, error) {
	return place{slot: slot, generation: generation}, nil
}

func (noPort) listening(place) func(context.Context, process, func(string)) (place, error) {
	return nil
}
