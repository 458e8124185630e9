package proc

import (
	"context"
	"os"
	"time"
)

// run starts s and blocks until it has ended, when it also ends whatever that has
// left behind, or until ctx ends, when it ends all of it. It returns how it ended
// and the last lines that it wrote; s has no files for that. The error is that of
// start, or ctx's.
func (l *launcher) run(ctx context.Context, s spec) (exitStatus, []string, error) {
	ours, theirs, err := os.Pipe()
	if err != nil {
		return exitStatus{}, nil, err
	}
	defer ours.Close()
	s.stdout, s.stderr = theirs, theirs
	p, err := l.start(s)
	theirs.Close()
	if err != nil {
		return exitStatus{}, nil, err
	}
	var wrote tail
	silent := make(chan struct{})
	go func() {
		defer close(silent)
		capture(ours, nil, wrote.add)
	}()
	forget := context.AfterFunc(ctx, p.Kill)
	status := p.Exited()
	if !forget() {
		err = ctx.Err()
	}
	p.End(over)
	select {
	case <-silent:
	case <-time.After(lastWords):
	}
	return status, wrote.lines(), err
}
