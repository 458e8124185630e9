package proc

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"
)

const (
	// stopDrain is how long requests in flight may take before an instance is
	// told to stop, when nobody follows it. It is short: the instance has the
	// same chance after its stop signal.
	stopDrain = time.Second
	// lastWords is how long what a process wrote before its end may take to
	// arrive. Only a stranger that was given its output can take that long.
	lastWords = 200 * time.Millisecond
)

// stop ends an instance for good, or with again set beforehand to start it
// anew. drain bounds how long its requests in flight may take before it is told.
func (c *Cluster) stop(inst *instance, drain time.Duration) {
	c.cancelRetry(inst)
	c.abandon(inst)
	inst.ended = nil
	for _, r := range inst.leaving {
		if r.process != nil && !r.exited && !r.signaled {
			c.signalStop(r) // the time for its requests is over
		}
	}
	r := inst.run
	if r != nil {
		r.fault = "" // it would have been ended anyhow
	}
	if r == nil {
		if inst.state != StateDone && inst.state != StateFailed || !inst.app.nextRun.IsZero() {
			c.rest(inst)
		}
		return
	}
	if !r.stopping && !r.exited {
		c.set(inst, StateStopping, "")
	}
	c.end(r, drain)
}

// rest is the end of a stop: the instance is stopped as soon as nothing is left
// of other generations than the one that it had.
func (c *Cluster) rest(inst *instance) {
	if len(inst.leaving) > 0 {
		c.set(inst, StateStopping, "")
	} else {
		c.set(inst, StateStopped, "")
	}
}

// end ends a run: what it has been asked may be answered for as long as drain,
// then it is told to stop.
func (c *Cluster) end(r *run, drain time.Duration) {
	if r.stopping {
		return
	}
	r.stopping = true
	r.unwatch()
	if r.deadline != nil {
		r.deadline.Stop()
	}
	if r.exited {
		return // its end is under way
	}
	if r.process == nil {
		return // onLaunched goes on from here
	}
	if r.readyAt.IsZero() {
		c.signalStop(r)
		return
	}
	wait := r.inst.app.way.drain(r.place)
	go func() {
		ctx, cancel := context.WithTimeout(r.alive, drain)
		defer cancel()
		if r.alive.Err() == nil { // else its place is not its own any more
			wait(ctx)
		}
		c.post(drainedMsg{r})
	}()
}

func (c *Cluster) onDrained(m drainedMsg) {
	if r := m.run; !r.exited && !r.signaled {
		c.signalStop(r)
	}
}

// signalStop tells a run's processes to end, and starts the clock for those
// that do not.
func (c *Cluster) signalStop(r *run) {
	inst := r.inst
	r.signaled = true
	sig := inst.app.config.StopSignal
	if err := r.process.Signal(sig); err != nil {
		c.event(inst.id, fmt.Sprintf("cannot be sent %s: %v", signalName(sig), err))
	}
	r.deadline = time.AfterFunc(inst.app.config.StopTimeout, func() { c.post(overdueMsg{r}) })
}

func (c *Cluster) onOverdue(m overdueMsg) {
	r, inst := m.run, m.run.inst
	if r.over {
		return
	}
	if !r.stopping && !r.exited {
		c.condemn(r, fmt.Sprintf("said that it is stopping, and was not gone after %s", inst.app.config.StopTimeout))
		return
	}
	what := "did not stop"
	if r.exited {
		what = "left processes behind that did not stop"
	}
	c.event(inst.id, fmt.Sprintf("%s within %s of %s; killing it", what,
		inst.app.config.StopTimeout, signalName(inst.app.config.StopSignal)))
	c.killRun(r)
}

// killRun ends every process of a run at once.
func (c *Cluster) killRun(r *run) {
	r.hurry()
	if p := r.process; p != nil && !r.exited {
		go p.Kill()
	}
}

func (c *Cluster) onExited(m exitedMsg) {
	r, inst := m.run, m.run.inst
	now := time.Now()
	r.exited, r.status = true, m.status
	r.hasEnded()
	inst.app.way.withdraw(r.place)
	r.exit = exitOf(m.status, now, now.Sub(r.launchedAt))
	inst.lastExit = r.exit
	inst.remember(r)
	if !r.signaled {
		// Nobody told it to end, so whatever it leaves behind is unled.
		r.hurry()
		if r.deadline != nil {
			r.deadline.Stop()
		}
	}
	switch {
	case r.current() && inst.next != nil:
		c.set(inst, StateStarting, "")
	case r.current():
		c.set(inst, StateStopping, short(m.status)+", ending what it left behind")
	}
	go func() {
		leftSome := slices.ContainsFunc(r.process.Members(), func(pid int) bool { return pid != r.process.PID() })
		r.process.End(r.patience)
		select {
		case <-r.silent:
		case <-time.After(lastWords):
		}
		c.post(endedMsg{r, leftSome})
	}()
}

func (c *Cluster) onEnded(m endedMsg) {
	r, inst := m.run, m.run.inst
	current, successor := r.current(), r == inst.next
	c.dispose(r)
	after := fmt.Sprintf("%s after %s", r.status, round(r.ran()))
	switch {
	case successor:
		c.failSuccessor(inst, after+quote(r.output.lines()))
	case !current:
		c.onLeft(inst, after)
	case inst.next != nil:
		c.event(inst.id, after+"; its successor is starting")
		e := r.ending()
		inst.ended = &e
		c.set(inst, StateStarting, "")
	case inst.again && !c.stopping:
		c.event(inst.id, after+"; restarting, as asked")
		inst.again = false
		inst.history = history{}
		c.start(inst)
	case r.stopping && r.fault == "" || inst.unwanted || c.stopping:
		c.event(inst.id, after+"; stopped")
		inst.history = history{}
		c.rest(inst)
	default:
		e := r.ending()
		e.leftSome = m.leftSome
		c.afterEnding(inst, e)
	}
}

// afterEnding does what decide says about a run that nobody asked to end, or
// that could not be launched.
func (c *Cluster) afterEnding(inst *instance, e ending) {
	var d decision
	d, inst.history = decide(inst.app.policy, inst.history, e, c.os.jitter())
	c.event(inst.id, d.event)
	if e.launch == nil { // there was a process that wrote something
		if hint := inst.app.clashHint(e.output); hint != "" && e.readyFor == 0 {
			c.event(inst.id, hint)
		}
		if e.leftSome && e.status == (exitStatus{}) {
			c.event(inst.id, "it has left processes behind, which were ended: a server has to stay in the foreground")
		}
		if d.next == StateFailed {
			d.reason += quote(e.output)
		}
	}
	c.set(inst, d.next, d.reason)
	if d.next != StateBackoff {
		return
	}
	inst.retryAt = e.at.Add(d.delay)
	if d.delay == 0 && c.handing == nil { // else the next program starts it
		inst.restarts++
		c.start(inst)
		return
	}
	c.retryAt(inst)
}

// retryAt starts an instance again at its time.
func (c *Cluster) retryAt(inst *instance) {
	// Made before it is set: a short one could fire while timer is still nil,
	// and the retry would be taken for a cancelled one.
	var timer *time.Timer
	timer = time.AfterFunc(math.MaxInt64, func() { c.post(retryMsg{inst, timer}) })
	timer.Reset(time.Until(inst.retryAt))
	inst.retry = timer
}

func (c *Cluster) onRetry(m retryMsg) {
	if m.inst.retry == nil || m.inst.retry != m.timer {
		return // cancelled when it had already fired
	}
	m.inst.restarts++
	c.start(m.inst)
}

// fail gives an instance up for a reason that trying again would not change.
func (c *Cluster) fail(inst *instance, reason string) {
	inst.history = history{}
	c.set(inst, StateFailed, reason)
	c.event(inst.id, reason)
}

// dispose forgets a run of which nothing is left.
func (c *Cluster) dispose(r *run) {
	r.hasEnded()
	r.hurry()
	if r.deadline != nil {
		r.deadline.Stop()
	}
	r.over = true
	inst := r.inst
	if r.process == nil { // it never came to be
		inst.app.way.withdraw(r.place)
	}
	inst.app.way.release(r.place)
	switch r {
	case inst.run:
		inst.run = nil
		inst.usage = usage{}
	case inst.next:
		inst.next = nil
	default:
		inst.leaving = slices.DeleteFunc(inst.leaving, func(l *run) bool { return l == r })
	}
}

func (c *Cluster) cancelRetry(inst *instance) {
	if inst.retry != nil {
		inst.retry.Stop()
		inst.retry = nil
	}
}

func (c *Cluster) set(inst *instance, s State, reason string) {
	if inst.state != s {
		inst.since = time.Now()
	}
	if inst.state != s || inst.reason != reason {
		c.changes.Add(1)
	}
	inst.state, inst.reason = s, reason
	if inst.state == StateStopped || inst.state == StateFailed || inst.state == StateDone {
		inst.unwanted = false
	}
	if s == StateFailed || s == StateStopped || s == StateDone {
		inst.app.way.abandon(inst.index)
	}
}

func exitOf(s exitStatus, at time.Time, after time.Duration) *Exit {
	e := &Exit{Code: s.code, At: at, After: after.Seconds()}
	if s.signal != 0 {
		e.Signal = signalName(s.signal)
	}
	return e
}
