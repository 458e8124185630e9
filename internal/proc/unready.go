package proc

import (
	"slices"
	"time"
)

// An instance that is alive and does not serve is unready: it gets no connections
// until it does again.

const closedListener = "it has closed its listening socket"

// reviewReach does what follows from a look at a ready run.
func (c *Cluster) reviewReach(r *run, unreachable bool) {
	inst := r.inst
	stuck := inst.state == StateUnready && inst.reason == notAccepting
	if !unreachable || r.stopping || r.exited || inst.state != StateReady && !stuck {
		return
	}
	c.unready(inst, closedListener)
}

// listensAgain makes a run that is unready for that reason ready.
func (c *Cluster) listensAgain(r *run) {
	if inst := r.inst; r.current() && inst.state == StateUnready && inst.reason == closedListener {
		c.readyAgain(inst, "listens again")
	}
}

const notAccepting = "it does not accept connections"

// noticeable is how long an instance may not accept connections before that is
// worth a word. It has been steered around long before; on a busy machine that
// happens for moments, and to all instances at once.
const noticeable = time.Second

// reviewStuck tells of the instances of an app that do not accept connections,
// and of those that do again.
func (c *Cluster) reviewStuck(a *app, now time.Time) {
	for _, inst := range a.instances {
		since, stuck := a.way.stuck(inst.index)
		switch {
		case stuck && inst.state == StateReady && now.Sub(since) >= noticeable:
			c.unready(inst, notAccepting)
		case !stuck && inst.state == StateUnready && inst.reason == notAccepting:
			c.readyAgain(inst, "accepts connections again")
		}
	}
}

func (c *Cluster) unready(inst *instance, why string) {
	c.set(inst, StateUnready, why)
	text := "unready: " + why
	if slices.ContainsFunc(inst.app.instances, func(other *instance) bool {
		_, stuck := inst.app.way.stuck(other.index)
		return other != inst && other.state == StateReady && !stuck
	}) {
		text += "; others get its connections"
	}
	c.event(inst.id, text)
}

func (c *Cluster) readyAgain(inst *instance, why string) {
	c.set(inst, StateReady, "")
	c.event(inst.id, "ready again: "+why)
}
