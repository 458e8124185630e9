package proc

import (
	"context"
	"fmt"
	"math"
	"time"
)

const (
	// stopDrain is how long requests in flight may take before an instance is
	// told to stop, when nobody follows it. It is short: the instance has the
	// same chance after its stop signal.
	stopDrain = time.Second
	// readyTimeout is after how long a starting instance is called late.
	readyTimeout = 30 * time.Second
	// lastWords is how long what a process wrote before its end may take to
	// arrive. Only a stranger that was given its output can take that long.
	lastWords = 200 * time.Millisecond
)

func (c *Cluster) onListening(m listeningMsg) {
	r, inst := m.run, m.run.inst
	if !r.current() || r.stopping || r.exited {
		return
	}
	r.deadline.Stop()
	r.place = m.at
	r.readyAt = time.Now()
	alive := r.alive
	inst.app.way.admit(inst.index, r.place, func() bool { return alive.Err() == nil })
	c.set(inst, StateReady, "")
	c.event(inst.id, "ready after "+round(r.readyAt.Sub(r.launchedAt)).String())
}

func (c *Cluster) onHint(m hintMsg) {
	if inst := m.run.inst; m.run.current() && inst.state == StateStarting {
		c.set(inst, StateStarting, m.text)
		c.event(inst.id, m.text)
	}
}

func (c *Cluster) onLate(m lateMsg) {
	if inst := m.run.inst; m.run.current() && inst.state == StateStarting {
		m.run.late = true
		c.event(inst.id, fmt.Sprintf("still not ready after %s", readyTimeout))
	}
}

// stop ends an instance for good, or with again set beforehand to start it
// anew. drain bounds how long its requests in flight may take before it is told.
func (c *Cluster) stop(inst *instance, drain time.Duration) {
	c.cancelRetry(inst)
	r := inst.run
	if r == nil {
		if inst.state != StateDone && inst.state != StateFailed {
			c.set(inst, StateStopped, "")
		}
		return
	}
	if r.stopping {
		return
	}
	r.stopping = true
	if r.deadline != nil {
		r.deadline.Stop()
	}
	if r.exited {
		return // its end is under way
	}
	c.set(inst, StateStopping, "")
	if r.process == nil {
		return // onLaunched goes on from here
	}
	if r.readyAt.IsZero() {
		c.signalStop(r)
		return
	}
	wait := inst.app.way.drain(inst.index)
	go func() {
		ctx, cancel := context.WithTimeout(r.alive, drain)
		defer cancel()
		wait(ctx)
		c.post(drainedMsg{r})
	}()
}

func (c *Cluster) onDrained(m drainedMsg) {
	if r := m.run; r.current() && !r.exited && !r.signaled {
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
	if !r.current() {
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
	if !r.readyAt.IsZero() {
		inst.app.way.withdraw(inst.index)
	}
	inst.lastExit = exitOf(m.status, now, now.Sub(r.launchedAt))
	if !r.signaled {
		// Nobody told it to end, so whatever it leaves behind is unled.
		r.hurry()
		if r.deadline != nil {
			r.deadline.Stop()
		}
	}
	c.set(inst, StateStopping, short(m.status)+", ending what it left behind")
	go func() {
		r.process.End(r.patience)
		select {
		case <-r.silent:
		case <-time.After(lastWords):
		}
		c.post(endedMsg{r})
	}()
}

func (c *Cluster) onEnded(m endedMsg) {
	r, inst := m.run, m.run.inst
	c.dispose(r)
	ran := time.Duration(inst.lastExit.After * float64(time.Second))
	switch {
	case inst.again && !c.stopping:
		c.event(inst.id, fmt.Sprintf("%s after %s; restarting, as asked", r.status, round(ran)))
		inst.again = false
		inst.history = history{}
		c.start(inst)
	case r.stopping || c.stopping:
		c.event(inst.id, fmt.Sprintf("%s after %s; stopped", r.status, round(ran)))
		inst.history = history{}
		c.set(inst, StateStopped, "")
	default:
		c.afterEnding(inst, ending{
			status:   r.status,
			at:       inst.lastExit.At,
			ran:      ran,
			readyFor: r.readyFor(inst.lastExit.At),
		})
	}
}

// afterEnding does what decide says about a run that nobody asked to end, or
// that could not be launched.
func (c *Cluster) afterEnding(inst *instance, e ending) {
	var d decision
	d, inst.history = decide(inst.app.policy, inst.history, e, c.os.jitter())
	c.event(inst.id, d.event)
	if e.launch == nil { // there was a process that wrote something
		if hint := c.clashHint(inst); hint != "" && e.readyFor == 0 {
			c.event(inst.id, hint)
		}
		if d.next == StateFailed {
			d.reason += c.lastOutput(inst)
		}
	}
	c.set(inst, d.next, d.reason)
	if d.next != StateBackoff {
		return
	}
	inst.retryAt = e.at.Add(d.delay)
	if d.delay == 0 {
		inst.restarts++
		c.start(inst)
		return
	}
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
	r.inst.app.way.release(r.place)
	r.inst.run = nil
	r.inst.usage = usage{}
}

func (c *Cluster) cancelRetry(inst *instance) {
	if inst.retry != nil {
		inst.retry.Stop()
		inst.retry = nil
	}
}

func (c *Cluster) set(inst *instance, s State, reason string) {
	inst.state, inst.reason = s, reason
}

func exitOf(s exitStatus, at time.Time, after time.Duration) *Exit {
	e := &Exit{Code: s.code, At: at, After: after.Seconds()}
	if s.signal != 0 {
		e.Signal = signalName(s.signal)
	}
	return e
}
