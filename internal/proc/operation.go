package proc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// operation is an Action under way: it ends when every instance it concerns
// has got where the action wants it, or cannot get there.
type operation struct {
	verb    Verb
	every   bool            // it is about all instances, since none was named
	asks    context.Context // ends when nobody waits for the answer any more
	pending []pending
	reloads []*reload
	failed  []error
	reply   chan<- error

	removals []*app    // apps that are to be gone
	applying *applying // of verbApply
}

// pending is an instance that an operation waits for.
type pending struct {
	inst *instance
	run  *run // the one it had when the operation began
}

// onAction begins an operation.
func (c *Cluster) onAction(m actionMsg) {
	verb := m.action.Verb
	op := &operation{verb: verb, every: len(m.action.Targets) == 0, asks: m.asks, reply: m.reply}
	insts, err := c.targets(m.action.Targets)
	if op.every && (verb == VerbStart || verb == VerbRestart || verb == VerbReload) {
		insts = slices.DeleteFunc(insts, (*instance).awaitsTime) // who wants it to run now names it
	}
	switch {
	case err != nil:
	case c.stopping && verb != VerbStop && verb != VerbKill:
		err = fmt.Errorf("cannot %s: the cluster is stopping", verb)
	case verb == VerbScale:
		err = c.onScale(op, m.action.Sizes)
	case verb == VerbReload:
		c.onReload(op, insts)
	default:
		c.onInstances(op, insts)
	}
	if err != nil {
		m.reply <- err
		return
	}
	c.operations = append(c.operations, op)
}

// onReload begins a reload for each app of which there are instances.
func (c *Cluster) onReload(op *operation, insts []*instance) {
	for _, a := range c.apps {
		var own []*instance
		for _, inst := range insts {
			if inst.app == a {
				own = append(own, inst)
			}
		}
		if own == nil {
			continue
		}
		if l, err := c.beginReload(a, own); err != nil {
			op.failed = append(op.failed, err)
		} else {
			op.reloads = append(op.reloads, l)
		}
	}
}

// onInstances does the first step of the operation on each instance.
func (c *Cluster) onInstances(op *operation, insts []*instance) {
	for _, inst := range insts {
		before := inst.run
		if err := c.begin(op.verb, inst); err != nil {
			op.failed = append(op.failed, err)
			continue
		}
		op.pending = append(op.pending, pending{inst, before})
	}
}

// begin does the first step of a verb on one instance.
func (c *Cluster) begin(v Verb, inst *instance) error {
	if inst.surplus && (v == VerbStart || v == VerbRestart) {
		return fmt.Errorf("cannot %s %s: it is being removed", v, inst.id)
	}
	switch v {
	case VerbStart:
		c.revive(inst)
	case VerbStop:
		c.interrupt(inst, "stopped")
		c.unwant(inst)
	case VerbRestart:
		c.interrupt(inst, "restarted")
		c.renew(inst)
	case VerbKill:
		if !slices.ContainsFunc(inst.runs(), func(r *run) bool { return r.process != nil }) {
			return fmt.Errorf("cannot kill %s: it has no process, it is %s", inst.id, inst.state)
		}
		c.interrupt(inst, "killed")
		for _, r := range inst.runs() {
			c.killRun(r)
		}
		c.resume(inst)
	case VerbWait:
	default:
		return fmt.Errorf("unknown action %q", v)
	}
	return nil
}

// renew starts an instance, or stops it and starts it again.
func (c *Cluster) renew(inst *instance) {
	inst.unwanted = false
	if inst.run == nil {
		c.want(inst)
		return
	}
	inst.again = true
	c.stop(inst, inst.app.config.StopTimeout)
}

// reviewOperations ends the operations that have nothing left to wait for. It is
// true when one of them has begun something more.
func (c *Cluster) reviewOperations() (begun bool) {
	c.operations = slices.DeleteFunc(c.operations, func(op *operation) bool {
		if op.asks.Err() != nil {
			return true
		}
		if op.waits() {
			return false
		}
		if op.goOn() {
			begun = true
			return false
		}
		for _, l := range op.reloads {
			op.failed = append(op.failed, l.err())
		}
		op.reply <- errors.Join(op.failed...)
		return true
	})
	return begun
}

// waits tells whether there is something that has to happen yet.
func (op *operation) waits() bool {
	op.pending = slices.DeleteFunc(op.pending, func(p pending) bool {
		done, err := op.verdict(p)
		if err != nil {
			op.failed = append(op.failed, err)
		}
		return done
	})
	if op.verb == VerbWait && len(op.failed) > 0 {
		op.pending = nil // it is not going to be what was waited for
	}
	return len(op.pending) > 0 ||
		slices.ContainsFunc(op.reloads, func(l *reload) bool { return !l.over }) ||
		slices.ContainsFunc(op.removals, func(a *app) bool { return !a.removed })
}

// verdict tells whether an instance is where the operation wants it, or why it
// will not get there.
func (op *operation) verdict(p pending) (done bool, err error) {
	inst := p.inst
	switch op.verb {
	case VerbStop:
		if inst.run != nil && (inst.run != p.run || inst.run.serving() && !inst.unwanted) {
			return true, fmt.Errorf("%s is %s: it was started meanwhile", inst.id, inst.state)
		}
		return inst.run == nil && inst.retry == nil && len(inst.leaving) == 0, nil
	case VerbKill:
		return p.run == nil || inst.run != p.run, nil
	case VerbWait:
		switch {
		case inst.state == StateBackoff:
			return false, nil
		case inst.state == StateStopped && op.every:
			return true, nil
		case inst.state == StateStopped:
			return true, fmt.Errorf("%s is stopped; start it with: clusterd start %[1]s", inst.id)
		}
	case VerbScale, verbApply:
		if inst.surplus {
			return inst.removed, nil
		}
	}
	return replaced(inst, p.run)
}

// replaced tells whether an instance has come to be ready with another run than
// it had before, if that was ending, or why it will not.
func replaced(inst *instance, before *run) (done bool, err error) {
	if inst.run != nil && inst.run == before && (inst.run.stopping || inst.run.exited) {
		return false, nil // the generation to be replaced
	}
	switch inst.state {
	case StateReady, StateDone:
		return true, nil
	case StateWaiting:
		if inst.hopeless {
			return true, fmt.Errorf("%s waits %s", inst.id, inst.reason)
		}
	case StateFailed, StateBackoff, StateStopped:
		return true, fmt.Errorf("%s is %s: %s", inst.id, inst.state, cmp.Or(inst.reason, "it was stopped meanwhile"))
	case StateStarting:
		if inst.run != nil && inst.run.late {
			return true, fmt.Errorf("%s is not ready after %s: %s", inst.id, inst.app.config.Ready.Timeout, inst.run.missing())
		}
	}
	return false, nil
}

// targets resolves "web" and "web/2"; none means every instance.
func (c *Cluster) targets(names []string) ([]*instance, error) {
	var out []*instance
	for _, a := range c.apps {
		for _, inst := range a.instances {
			if selects(names, inst.id) {
				out = append(out, inst)
			}
		}
	}
	var unknown []error
	for _, name := range names {
		if !c.knows(name) {
			unknown = append(unknown, c.unknownTarget(name))
		}
	}
	return out, errors.Join(unknown...)
}

func (c *Cluster) knows(target string) bool {
	for _, a := range c.apps {
		if a.config.Name == target {
			return true
		}
		for _, inst := range a.instances {
			if inst.id == target {
				return true
			}
		}
	}
	return false
}

func (c *Cluster) unknownTarget(name string) error {
	appName, _, _ := strings.Cut(name, "/")
	var apps []string
	for _, a := range c.apps {
		if a.config.Name == appName {
			switch n := len(a.instances); n {
			case 0:
				return fmt.Errorf("no instance %q: %s has none", name, appName)
			case 1:
				return fmt.Errorf("no instance %q: %s has only %s/0", name, appName, appName)
			default:
				return fmt.Errorf("no instance %q: %s has %s/0 to %s/%d", name, appName, appName, appName, n-1)
			}
		}
		apps = append(apps, a.config.Name)
	}
	return fmt.Errorf("no app %q: the cluster has %s", name, strings.Join(apps, ", "))
}
