package proc

import (
	"context"

	"clusterd/internal/config"
	"clusterd/internal/port"
)

// selfWay leaves the public port to the instances, which set SO_REUSEPORT
// themselves: clusterd only watches who listens. Nothing stands between them
// and the kernel, and nothing can be counted.
type selfWay struct {
	app config.App
}

// open makes sure that nobody else has the port; nothing is held.
func (w *selfWay) open() error { return port.Probe(w.app.Host, w.app.Port) }

func (w *selfWay) close() func(context.Context)  { return func(context.Context) {} }
func (w *selfWay) prepare() (place, error)       { return place{port: w.app.Port}, nil }
func (w *selfWay) release(place)                 {}
func (w *selfWay) admit(int, place, func() bool) {}
func (w *selfWay) withdraw(int)                  {}
func (w *selfWay) queue(int) (uint64, bool)      { return 0, false }

// drain does nothing: the instance itself is told to stop, and closes its
// socket.
func (w *selfWay) drain(int) func(context.Context) { return func(context.Context) {} }

// listening waits for a socket on the public port that is the instance's own:
// its siblings listen there too.
func (w *selfWay) listening(at place) func(context.Context, process, func(string)) (place, error) {
	return func(ctx context.Context, p process, hint func(string)) (place, error) {
		var err error
		at.socket, err = awaitListening(ctx, at.port, p, hint, port.Listeners)
		return at, err
	}
}
