package proc

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"time"

	"github.com/charmbracelet/x/ansi"

	"clusterd/internal/config"
)

// A run is ready when it serves at its place and its own check, if it has one,
// has passed.

// onListening: the process serves at its place.
func (c *Cluster) onListening(m listeningMsg) {
	r := m.run
	switch {
	case r.stopping || r.exited:
		return
	case r.process == nil:
		r.early = &m.at // onLaunched goes on from here
		return
	case r.listens:
		c.listensAgain(r) // or on one more address
		return
	}
	r.listens = true
	r.arrived()
	r.place = m.at
	c.seekReady(r)
}

// onPassed: the check for readiness has passed.
func (c *Cluster) onPassed(m passedMsg) {
	m.run.passed = true
	c.seekReady(m.run)
}

// seekReady makes a run ready, or finds out what is still missing for that.
func (c *Cluster) seekReady(r *run) {
	if !r.listens || !r.readyAt.IsZero() || r.stopping || r.exited {
		return
	}
	ready := r.inst.app.config.Ready
	switch {
	case ready.By == "" || r.passed:
		c.becomeReady(r)
	case ready.By == config.ByLog || ready.By == config.ByNotify: // it comes by itself
	case !r.asking:
		r.asking = true
		ask := c.probe(ready, r)
		c.checks.Go(func() { c.awaitPassed(r, ready, ask) })
	}
}

// awaitPassed asks until the answer is good, or the run ends or is told to.
func (c *Cluster) awaitPassed(r *run, p config.Probe, ask probe) {
	began, said := time.Now(), ""
	for {
		ctx, cancel := context.WithTimeout(r.watched, attemptFor(p))
		err := ask(ctx)
		cancel()
		switch {
		case r.watched.Err() != nil:
			return
		case err == nil:
			c.post(passedMsg{r})
			return
		}
		if text := err.Error(); text != said && time.Since(began) >= hintAfter {
			said = text
			c.post(hintMsg{r, text})
		}
		select {
		case <-time.After(p.Interval):
		case <-r.watched.Done():
			return
		}
	}
}

// maxAttempt is how long a connection of a check for readiness may take: a server
// that is starting may have accepted it and forgotten it.
const maxAttempt = 5 * time.Second

func attemptFor(p config.Probe) time.Duration {
	if p.Reaches() {
		return min(p.Timeout, maxAttempt)
	}
	return p.Timeout
}

// becomeReady admits a run.
func (c *Cluster) becomeReady(r *run) {
	inst := r.inst
	r.deadline.Stop()
	r.readyAt = time.Now()
	alive := r.alive
	inst.app.way.admit(r.place, func() bool { return alive.Err() == nil })
	after := "ready after " + round(r.readyAt.Sub(r.launchedAt)).String()
	if r == inst.next {
		c.succeed(inst, after)
	} else {
		c.set(inst, StateReady, "")
		if _, worker := inst.app.way.way.(noPort); !worker || r.passed { // else it is ready as soon as it runs
			c.event(inst.id, after)
		}
	}
	c.watchHealth(r)
	if r.leaves {
		c.onStopping(r)
	}
}

func (c *Cluster) onHint(m hintMsg) {
	r, inst := m.run, m.run.inst
	r.hint = m.text
	switch {
	case r == inst.next:
		c.event(inst.id, inst.step.label()+"successor: "+m.text)
	case r.current() && inst.state == StateStarting:
		c.set(inst, StateStarting, m.text)
		c.event(inst.id, m.text)
	}
}

// onLate: the time for becoming ready is over. Who has a check for that has
// failed it; who has none, and does not listen, may be something else than a
// server, and only told of.
func (c *Cluster) onLate(m lateMsg) {
	r, inst := m.run, m.run.inst
	ready := inst.app.config.Ready
	switch {
	case r == inst.next && !r.exited:
		c.failSuccessor(inst, fmt.Sprintf("is not ready after %s: %s", ready.Timeout, r.missing()))
	case !r.current() || inst.state != StateStarting:
	case ready.By != "":
		c.condemn(r, fmt.Sprintf("not ready within %s: %s", ready.Timeout, r.missing()))
	default:
		r.late = true
		c.event(inst.id, fmt.Sprintf("still not ready after %s", ready.Timeout))
	}
}

// missing says what a run is not ready for the lack of.
func (r *run) missing() string {
	ready := r.inst.app.config.Ready
	waits := notListening
	if r.listens {
		switch ready.By {
		case config.ByLog:
			waits = fmt.Sprintf("it has not written a line that matches %q", ready.Log)
		case config.ByNotify:
			waits = "it has not said READY=1 at $NOTIFY_SOCKET"
		}
	}
	return cmp.Or(r.hint, waits)
}

// notListening is all there is to say about an instance that is not ready
// in time, when nothing seems to be in the way.
const notListening = "not listening on $PORT"

// seeks returns what looks at lines of a run's output for the one that says that
// it is ready; nil: no line does. It is for one goroutine for each stream.
func (c *Cluster) seeks(r *run) func(lines []string) {
	p := r.inst.app.config.Ready
	if p.By != config.ByLog {
		return nil
	}
	expr := regexp.MustCompile(p.Log) // as config has made sure
	return func(lines []string) {
		if r.watched.Err() != nil || r.matched.Load() {
			return
		}
		for _, l := range lines {
			if expr.MatchString(ansi.Strip(l)) && !r.matched.Swap(true) {
				c.post(passedMsg{r})
				return
			}
		}
	}
}
