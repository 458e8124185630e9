package proc

import (
	"context"
	"errors"
	"fmt"
	"net"

	"clusterd/internal/port"
)

// Dial connects to exactly the instance that target names, such as web/2, past
// everything that would choose another one. It need not be ready, as long as it
// listens. The connection is the caller's; errors are sentences for the user.
func (c *Cluster) Dial(ctx context.Context, target string) (net.Conn, error) {
	reply := make(chan route, 1)
	r, err := ask(ctx, c, dialMsg{target, reply}, reply)
	if err != nil {
		return nil, err
	}
	if r.err != nil {
		return nil, r.err
	}
	conn, err := r.dial(ctx)
	if errors.Is(err, port.ErrNotListening) && r.reason != "" {
		err = errors.New(r.reason) // says more
	}
	if err != nil {
		return nil, fmt.Errorf("cannot reach %s, which is %s: %w", target, r.state, err)
	}
	return conn, nil
}

// route is how to connect to an instance, or why that is out of the question.
type route struct {
	dial   func(context.Context) (net.Conn, error)
	state  State
	reason string // for that state
	err    error
}

// errWorker is why nobody can connect to an instance of an app without a port.
var errWorker = errors.New("it is a worker and has no port")

// routeTo finds the process that is the instance target at the moment. During a
// reload that is the one that serves.
func (c *Cluster) routeTo(target string) route {
	insts, err := c.targets([]string{target})
	if err != nil {
		return route{err: err}
	}
	if len(insts) != 1 || insts[0].id != target {
		return route{err: fmt.Errorf("cannot reach %s: it is an app; name one of its instances, such as %s/0", target, target)}
	}
	inst := insts[0]
	for _, r := range []*run{inst.run, inst.next} {
		if r != nil && r.process != nil && !r.exited {
			return route{dial: inst.app.way.dialer(r.place), state: inst.state, reason: inst.reason}
		}
	}
	err = fmt.Errorf("cannot reach %s: it has no process, it is %s", target, inst.state)
	if inst.reason != "" {
		err = fmt.Errorf("%w: %s", err, inst.reason)
	}
	return route{err: err}
}
