package proc

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// operation is an Action under way: it ends when every instance it concerns
// has got where the action wants it, or cannot get there.
type operation struct {
	verb    Verb
	pending []pending
	failed  []error
	reply   chan<- error
}

// pending is an instance that an operation waits for.
type pending struct {
	inst *instance
	run  *run // the one it had when the operation began
}

// onAction begins an operation.
func (c *Cluster) onAction(m actionMsg) {
	insts, err := c.targets(m.action.Targets)
	if err == nil && c.stopping && (m.action.Verb == VerbStart || m.action.Verb == VerbRestart) {
		err = fmt.Errorf("cannot %s: the cluster is stopping", m.action.Verb)
	}
	if err != nil {
		m.reply <- err
		return
	}
	op := &operation{verb: m.action.Verb, reply: m.reply}
	for _, inst := range insts {
		before := inst.run
		if err := c.begin(m.action.Verb, inst); err != nil {
			op.failed = append(op.failed, err)
			continue
		}
		op.pending = append(op.pending, pending{inst, before})
	}
	c.operations = append(c.operations, op)
}

// begin does the first step of a verb on one instance.
func (c *Cluster) begin(v Verb, inst *instance) error {
	switch v {
	case VerbStart:
		switch {
		case inst.run == nil && inst.state != StateStarting:
			c.start(inst)
		case inst.run != nil && (inst.run.stopping || inst.run.exited):
			inst.again = true
		}
	case VerbStop:
		inst.again = false
		c.stop(inst, stopDrain)
	case VerbRestart:
		if inst.run == nil {
			c.start(inst)
			return nil
		}
		inst.again = true
		c.stop(inst, inst.app.config.StopTimeout)
	case VerbKill:
		if inst.run == nil || inst.run.process == nil {
			return fmt.Errorf("cannot kill %s: it has no process, it is %s", inst.id, inst.state)
		}
		c.killRun(inst.run)
	default:
		return fmt.Errorf("unknown action %q", v)
	}
	return nil
}

// reviewOperations ends the operations that have nothing left to wait for.
func (c *Cluster) reviewOperations() {
	c.operations = slices.DeleteFunc(c.operations, func(op *operation) bool {
		op.pending = slices.DeleteFunc(op.pending, func(p pending) bool {
			done, err := op.verdict(p)
			if err != nil {
				op.failed = append(op.failed, err)
			}
			return done
		})
		if len(op.pending) > 0 {
			return false
		}
		op.reply <- errors.Join(op.failed...)
		return true
	})
}

// verdict tells whether an instance is where the operation wants it, or why it
// will not get there.
func (op *operation) verdict(p pending) (done bool, err error) {
	inst := p.inst
	switch op.verb {
	case VerbStop:
		if inst.run != nil && inst.run != p.run {
			return true, fmt.Errorf("%s is %s: it was started again meanwhile", inst.id, inst.state)
		}
		return inst.run == nil && inst.retry == nil, nil
	case VerbKill:
		return inst.run != p.run, nil
	}
	if inst.run != nil && inst.run == p.run && (inst.run.stopping || inst.run.exited) {
		return false, nil // the generation to be replaced
	}
	switch inst.state {
	case StateReady, StateDone:
		return true, nil
	case StateFailed, StateBackoff, StateStopped:
		return true, fmt.Errorf("%s is %s: %s", inst.id, inst.state, cmp.Or(inst.reason, "it was stopped meanwhile"))
	case StateStarting:
		if inst.run != nil && inst.run.late {
			return true, fmt.Errorf("%s is not ready after %s: %s", inst.id, readyTimeout,
				cmp.Or(inst.reason, "not listening on $PORT"))
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
