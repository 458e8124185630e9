package proc

import (
	"context"

	"clusterd/internal/config"
	"clusterd/internal/port"
	"clusterd/internal/traffic"
)

// way is how the instances of one app get onto its public port: the one thing
// in which the listen modes differ. The event loop owns it and makes every
// call; what may block is handed back as a function, for a goroutine of the run
// to call.
type way interface {
	// open takes the public address and holds a socket for each slot. It is
	// closed before it is opened again.
	open() error
	// close lets go of the address; connections that wait in its queues are
	// reset. The function that it returns blocks until clients have what
	// instances said to them before they ended, or ctx ends, and closes their
	// connections.
	close() (flush func(ctx context.Context))
	// prepare finds a place for the next generation of a slot.
	prepare() (place, error)
	// listening returns a function that blocks until the process serves at its
	// place, and returns the place made complete, or ctx's error when that ends
	// first, which is the only one. It calls hint with a sentence when something
	// seems to be in the way.
	listening(at place) func(ctx context.Context, p process, hint func(string)) (place, error)
	// admit gives new connections to the slot's process; alive tells, from any
	// goroutine, whether it still runs.
	admit(slot int, at place, alive func() bool)
	// drain returns a function that stops giving connections to the slot's
	// process and blocks until it has answered what it has, or ctx ends.
	drain(slot int) func(ctx context.Context)
	// withdraw tells that the slot's process is gone.
	withdraw(slot int)
	// release gives a place back that no process uses any more.
	release(at place)
	// queue is how many connections wait in the slot's accept queue.
	queue(slot int) (n uint64, ok bool)
}

// place is where one generation of an instance listens.
type place struct {
	port   int            // $PORT; 0: nowhere
	socket port.Listening // what it serves on, once it listens
}

// chosen is a way with the names under which it is shown.
type chosen struct {
	way
	Plan
}

// choose picks the way of an app, and says why that one. counters are those of
// its slots.
func choose(a config.App, counters []*traffic.Counters, private *port.Private, log func(string)) chosen {
	c := chosen{Plan: PlanOf(a)}
	switch {
	case a.Port == 0:
		c.way = noPort{}
	case a.Listen == config.ListenSelf:
		c.way = &selfWay{app: a}
	default:
		c.way = &relayWay{app: a, counters: counters, private: private, log: log}
	}
	return c
}

// noPort is the way of a worker: there is nothing to listen on, so it is ready
// as soon as it runs.
type noPort struct{}

func (noPort) open() error                   { return nil }
func (noPort) prepare() (place, error)       { return place{}, nil }
func (noPort) admit(int, place, func() bool) {}
func (noPort) withdraw(int)                  {}
func (noPort) release(place)                 {}
func (noPort) queue(int) (uint64, bool)      { return 0, false }
func (noPort) close() func(context.Context)  { return func(context.Context) {} }
func (noPort) drain(int) func(context.Context) {
	return func(context.Context) {}
}
func (noPort) listening(at place) func(context.Context, process, func(string)) (place, error) {
	return func(context.Context, process, func(string)) (place, error) { return at, nil }
}
