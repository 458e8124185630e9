package proc

import (
	"context"
	"fmt"
	"strings"
	"time"

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
	// first. It calls hint with a sentence when something seems to be in the way.
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
	listen, listenWhy string
	count, countWhy   string
}

// choose picks the way of an app, and says why that one. counters are those of
// its slots.
func choose(a config.App, counters []*traffic.Counters, private *port.Private, log func(string)) chosen {
	if a.Port == 0 {
		return chosen{way: noPort{}, listenWhy: "a worker: it has no port"}
	}
	var c chosen
	switch a.Listen {
	case config.ListenSelf:
		c.way = &selfWay{app: a}
		c.listen, c.listenWhy = string(config.ListenSelf), `listen = "self": the instances set SO_REUSEPORT themselves`
		c.count = string(config.CountOff)
		c.countWhy = `the instances accept straight from the kernel; listen = "relay" would count their requests`
	default:
		c.way = &relayWay{app: a, counters: counters, private: private, log: log}
		c.listen, c.listenWhy = string(config.ListenRelay), `listen = "relay"`
		if a.Listen == config.ListenAuto {
			c.listenWhy = "the relay serves everything that listens on $PORT, and counts requests exactly"
		}
		c.count, c.countWhy = string(config.CountRelay), "the relay follows every request"
	}
	if a.Count == config.CountOff {
		c.count, c.countWhy = string(config.CountOff), `count = "off"`
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

// How often a starting instance is looked at: often at first, since most
// servers listen within a few milliseconds, then less.
const (
	listenPollMin = 2 * time.Millisecond
	listenPollMax = 50 * time.Millisecond
	hintAfter     = 2 * time.Second
)

// awaitListening polls find until it reports sockets and returns the first, or ctx ends. After a
// while it says through hint what the process listens on instead of port.
func awaitListening(ctx context.Context, want int, p process, hint func(string), find func() ([]port.Listening, error)) (port.Listening, error) {
	start := time.Now()
	said := ""
	for poll := listenPollMin; ; poll = min(poll*3/2, listenPollMax) {
		found, err := find()
		if err != nil {
			return port.Listening{}, err
		}
		if len(found) > 0 {
			return found[0], nil
		}
		if time.Since(start) > hintAfter {
			if s := elsewhere(want, p); s != said {
				said = s
				hint(s)
			}
		}
		select {
		case <-ctx.Done():
			return port.Listening{}, ctx.Err()
		case <-time.After(poll):
		}
	}
}

// elsewhere says what a process that should listen on the port want does
// instead.
func elsewhere(want int, p process) string {
	all, err := port.Listeners(0)
	if err != nil {
		return fmt.Sprintf("not listening on $PORT (%d) yet", want)
	}
	var at []string
	for _, l := range port.HeldBy(all, p.Members()) {
		at = append(at, l.Addr.String())
	}
	if len(at) == 0 {
		return fmt.Sprintf("not listening on $PORT (%d) yet", want)
	}
	return fmt.Sprintf("not listening on $PORT (%d) but on %s", want, strings.Join(at, ", "))
}
