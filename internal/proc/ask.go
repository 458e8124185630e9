package proc

import (
	"context"
	"errors"
	"time"
)

// What any goroutine may ask of a cluster while it runs.

// Kill ends the cluster without waiting for anyone: SIGKILL to every process.
func (c *Cluster) Kill() { c.killNow() }

// ErrDown says that the cluster is not running any more.
var ErrDown = errors.New("the cluster is down")

// Started is closed once Run has taken the ports of all apps: it will not fail
// to start any more.
func (c *Cluster) Started() <-chan struct{} { return c.started }

// Snapshot returns the cluster as it is now. It waits for the event loop, which
// never waits itself, and for the kernel to say which connections are open (some
// milliseconds where there are thousands).
func (c *Cluster) Snapshot(ctx context.Context) (*Snapshot, error) { return c.look(ctx, false) }

// Measure is Snapshot, with the durations of all requests.
func (c *Cluster) Measure(ctx context.Context) (*Snapshot, error) { return c.look(ctx, true) }

func (c *Cluster) look(ctx context.Context, measured bool) (*Snapshot, error) {
	reply := make(chan view, 1)
	v, err := ask(ctx, c, snapshotMsg{measured, reply}, reply)
	if err != nil {
		return nil, err
	}
	c.opens.complete(v.snapshot, v.looks)
	return v.snapshot, nil
}

func (c *Cluster) onSnapshot(m snapshotMsg) {
	v := view{c.snapshot(time.Now()), c.lookForOpen()}
	if m.measured {
		c.measure(v.snapshot)
	}
	m.reply <- v
}

// Logs returns kept log lines.
func (c *Cluster) Logs(_ context.Context, q LogQuery) (LogPage, error) {
	p := c.journal.page(q)
	p.Changes = c.changes.Load()
	return p, nil
}

// LogsChanged returns a channel that is closed once there are lines after seq.
func (c *Cluster) LogsChanged(seq uint64) <-chan struct{} { return c.journal.wait(seq) }

// Do does what a asks and blocks until it is done, cannot be done, or ctx ends
// (which takes nothing back). The error is a sentence for the user.
func (c *Cluster) Do(ctx context.Context, a Action) error {
	reply := make(chan error, 1)
	outcome, err := ask(ctx, c, actionMsg{a, ctx, reply}, reply)
	if err != nil {
		return err
	}
	return outcome
}

func ask[T any](ctx context.Context, c *Cluster, m message, reply <-chan T) (T, error) {
	var none T
	select {
	case c.messages <- m:
	case <-c.done:
		return none, ErrDown
	case <-ctx.Done():
		return none, ctx.Err()
	}
	select {
	case answer := <-reply:
		return answer, nil
	case <-c.done:
		select {
		case answer := <-reply: // the last thing that Run did
			return answer, nil
		default:
			return none, ErrDown
		}
	case <-ctx.Done():
		return none, ctx.Err()
	}
}
