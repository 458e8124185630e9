package proc

import (
	"fmt"
	"slices"

	"clusterd/internal/traffic"
)

// onRefused: what was only to be seen once the app ran keeps it from being
// adopted.
func (c *Cluster) onRefused(m refusedMsg) {
	a := m.run.inst.app
	if m.run.exited || m.run.over { // a process that dies is refused much
		return
	}
	if !c.refuse(a, fmt.Errorf("%s", m.reason)) {
		return
	}
	for _, inst := range a.instances {
		if r := inst.run; r != nil && !r.stopping && !r.exited && !inst.unwanted {
			c.interrupt(inst, "restarted")
			inst.again = true
			c.stop(inst, stopDrain)
		}
	}
}

// refuse finds another way for an app that cannot be adopted, for a reason. It
// is false when that is known already, or nobody asked for it.
func (c *Cluster) refuse(a *app, reason error) bool {
	if a.next != nil || !a.way.adopts {
		return false
	}
	cfg := a.config
	p := planOf(cfg, reason, c.os.machine().Counting)
	p.adopts = false
	c.event(cfg.Name, fmt.Sprintf("cannot be adopted: %v", reason))
	if p.Err != nil {
		a.way.Err = p.Err // nothing is started any more
		a.way.adopts = false
		return true
	}
	way := choose(cfg, p, c.private, c.kernel, a.log)
	a.next = &way
	c.event(cfg.Name, fmt.Sprintf("going on with listen = %q", p.Listen))
	return true
}

// changeWay takes the app's next way once nothing uses the last one any more,
// and starts what has waited for it. What was counted stays counted.
func (c *Cluster) changeWay(a *app) {
	for _, inst := range a.instances {
		if inst.run != nil || inst.next != nil || len(inst.leaving) > 0 {
			return
		}
	}
	if a.open {
		c.closePort(a)
	}
	if c.awaitsPort(a) {
		return
	}
	for slot := range a.counters {
		if s := a.way.source(slot); s != nil {
			a.ledgers[slot].Close(s)
			a.counters[slot] = &traffic.Counters{}
		}
	}
	a.way, a.next = *a.next, nil
	for _, inst := range a.instances {
		_ = a.way.addSlot(inst.index, a.counters[inst.index]) // of a way that is not open: no error
	}
	for _, inst := range a.instances {
		if inst.run == nil && inst.state == StateStarting {
			c.start(inst)
		}
	}
}

// awaitsPort tells whether the port that an app is to have is still that of another
// one that is giving it up.
func (c *Cluster) awaitsPort(a *app) bool {
	return slices.ContainsFunc(c.apps, func(b *app) bool {
		return b != a && b.open && b.held == a.config.Port && (b.removing || b.next != nil)
	})
}
