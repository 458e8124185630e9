package proc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"clusterd/internal/config"
)

// watchHealth begins to ask a run that has just become ready how it is.
func (c *Cluster) watchHealth(r *run) {
	p := r.inst.app.config.Health
	if p.By == "" {
		return
	}
	ask := c.probe(p, r)
	first := p.Interval
	if p.By != config.ByWatchdog { // instances that came together are not to be asked together
		first -= time.Duration(c.os.jitter() * float64(p.Interval/2))
	}
	c.checks.Go(func() {
		for wait := first; ; wait = p.Interval {
			select {
			case <-time.After(wait):
			case <-r.watched.Done():
				return
			}
			ctx, cancel := context.WithTimeout(r.watched, p.Timeout)
			err := ask(ctx)
			cancel()
			if r.watched.Err() != nil {
				return
			}
			c.post(healthMsg{r, err})
		}
	})
}

// onHealth: a run was asked how it is.
func (c *Cluster) onHealth(m healthMsg) {
	r, inst := m.run, m.run.inst
	if !r.current() || !r.serving() {
		return
	}
	p := inst.app.config.Health
	if m.err == nil {
		if r.ailing > 0 {
			c.recover(r)
		}
		return
	}
	if _, unasked := errors.AsType[errUnasked](m.err); unasked {
		if !r.unasked {
			r.unasked = true
			c.event(inst.id, fmt.Sprintf("its health cannot be checked: %v", m.err))
		}
		return
	}
	if errors.Is(m.err, errTrigger) {
		if p.By == config.ByWatchdog {
			c.condemn(r, healthFault(m.err, 1))
		}
		return
	}
	r.ailing++
	if r.ailing == 1 {
		r.ailingSince = time.Now()
	}
	if r.ailing >= p.Failures && inst.next == nil { // else its successor is on its way
		c.condemn(r, healthFault(m.err, r.ailing))
		return
	}
	why := m.err.Error()
	if p.Failures > 1 {
		why += fmt.Sprintf(" (failure %d of %d)", r.ailing, p.Failures)
	}
	if r.ailing > 1 {
		c.set(inst, StateUnready, why)
		return
	}
	if c.suspend(r) {
		c.unready(inst, why)
		return
	}
	c.set(inst, StateUnready, why)
	c.event(inst.id, "unready: "+why+"; no other instance could take its connections")
}

// healthFault says that a run was asked in vain so many times.
func healthFault(err error, times int) string {
	text := "failed its health check: " + err.Error()
	if times > 1 {
		text += fmt.Sprintf(", %d times in a row", times)
	}
	return text
}

// recover makes a run ready that has failed its check, but not too often.
func (c *Cluster) recover(r *run) {
	inst := r.inst
	r.ailing, r.ailingSince, r.suspended = 0, time.Time{}, false
	alive := r.alive
	inst.app.way.admit(r.place, func() bool { return alive.Err() == nil })
	c.readyAgain(inst, "passed its health check")
}

// over is a context that has ended.
var over = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// suspend sends no new connections to a run, if there are others to get them.
func (c *Cluster) suspend(r *run) bool {
	for _, other := range r.inst.app.instances {
		if other.run != r && other.state == StateReady {
			r.inst.app.way.drain(r.place)(over) // waits for nothing
			r.suspended = true
			return true
		}
	}
	return false
}

// condemn ends a run that is no good, and lets its restart policy say what
// follows, as after a crash.
func (c *Cluster) condemn(r *run, fault string) {
	if r.stopping || r.exited {
		return
	}
	r.fault = fault
	c.set(r.inst, StateStopping, fault)
	c.event(r.inst.id, fault+"; ending it")
	c.end(r, stopDrain)
}
