package proc

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// reload replaces the processes of an app's instances, a few at a time. Its
// steps go on as the state of their instances does, see advance.
type reload struct {
	app     *app
	began   time.Time
	total   int
	waiting []*instance // their turn is still to come
	steps   []*step     // under way
	begun   int         // steps so far
	done    int         // instances that have been replaced
	halted  bool        // no more steps: a successor was no good, or the cluster stops
	failed  []error
	over    bool
	undo    func() // what to do when nothing could be replaced; nil: nothing
}

// step is the part of a reload that concerns one instance.
type step struct {
	reload *reload
	number int // from 1
	inst   *instance
	before *run  // what is to be replaced; nil: nothing ran
	beside bool  // the successor is started while its predecessor serves
	after  *run  // the successor, once it is ready; only when beside
	err    error // why the instance is not replaced
}

func (l *reload) String() string {
	return fmt.Sprintf("reload, %d of %d done", l.done, l.total)
}

// beginReload begins to reload instances of one app.
func (c *Cluster) beginReload(a *app, insts []*instance) (*reload, error) {
	switch {
	case a.reload != nil:
		return nil, fmt.Errorf("cannot reload %s: it is being reloaded already (%d of %d done)",
			a.config.Name, a.reload.done, a.reload.total)
	case a.shrinking():
		return nil, fmt.Errorf("cannot reload %s: instances of it are being removed", a.config.Name)
	}
	a.reload = &reload{app: a, began: time.Now(), total: len(insts), waiting: insts}
	return a.reload, nil
}

// advance does what there is to do for a reload in the present state of its
// instances.
func (c *Cluster) advance(l *reload) {
	l.steps = slices.DeleteFunc(l.steps, func(s *step) bool {
		over, err := s.verdict()
		if !over {
			return false
		}
		s.inst.step = nil
		switch {
		case err == nil:
			l.done++
		case s.err == nil: // nobody has decided what that means, so it is the new one's fault
			l.halted = true
			fallthrough
		default:
			l.failed = append(l.failed, err)
		}
		return true
	})
	if c.stopping {
		l.halted = true
	}
	for !l.halted && len(l.waiting) > 0 && len(l.steps) < max(1, l.app.config.ReloadParallel) {
		inst := l.waiting[0]
		l.waiting = l.waiting[1:]
		c.beginStep(l, inst)
	}
	if len(l.steps) == 0 {
		c.finish(l)
	}
}

// finish ends a reload of which no step is under way.
func (c *Cluster) finish(l *reload) {
	l.over = true
	l.app.reload = nil
	if c.stopping {
		l.failed = append(l.failed, fmt.Errorf("the reload of %s ended after %d of %d: the cluster is stopping",
			l.app.config.Name, l.done, l.total))
		return
	}
	text := fmt.Sprintf("reloaded %d of %d in %s", l.done, l.total, round(time.Since(l.began)))
	if len(l.waiting) > 0 {
		text += "; the rest is as it was"
		l.failed = append(l.failed, fmt.Errorf("%s: %s", l.app.config.Name, text))
	}
	c.event(l.app.config.Name, text)
	if l.undo != nil && l.done == 0 && len(l.failed) > 0 {
		l.undo()
	}
}

// beginStep starts the successor of an instance beside it. Where nothing
// serves, or there must not be two, the instance is started anew.
func (c *Cluster) beginStep(l *reload, inst *instance) {
	l.begun++
	s := &step{reload: l, number: l.begun, inst: inst, before: inst.run}
	l.steps = append(l.steps, s)
	inst.step = s
	if inst.run != nil && inst.run.serving() && l.app.way.overlaps() {
		s.beside = true
		inst.next = c.spawn(inst)
		return
	}
	c.event(inst.id, s.label()+"restarting")
	c.renew(inst)
}

// verdict tells whether a step is over, and why its instance was not replaced.
func (s *step) verdict() (over bool, err error) {
	inst := s.inst
	switch {
	case inst.next != nil || len(inst.leaving) > 0:
		return false, nil
	case s.err != nil:
		return true, s.err
	case s.beside && inst.run != s.after:
		return true, fmt.Errorf("%s: its successor was ready, but %s soon after that", inst.id, s.after.status)
	}
	return replaced(inst, s.before)
}

// label begins an event about the step.
func (s *step) label() string { return fmt.Sprintf("reload %d/%d: ", s.number, s.reload.total) }

// progress says how far the step is.
func (s *step) progress() string {
	inst := s.inst
	text := "restarting"
	switch {
	case inst.next != nil:
		text = "successor starting"
		if p := inst.next.process; p != nil {
			text += fmt.Sprintf(", pid %d", p.PID())
		}
		if inst.next.hint != "" {
			text += ": " + inst.next.hint
		}
	case len(inst.leaving) > 0:
		text = "waiting for the end of"
		for _, r := range inst.leaving {
			if r.process != nil {
				text += fmt.Sprintf(" pid %d", r.process.PID())
			}
		}
	case inst.reason != "":
		text += ": " + inst.reason
	}
	return s.label() + text
}

// succeed makes the successor of an instance its run, now that it is ready, and
// its predecessor end.
func (c *Cluster) succeed(inst *instance, ready string) {
	old := inst.run
	inst.run, inst.next = inst.next, nil
	inst.step.after = inst.run
	inst.again, inst.ended = false, nil
	inst.history = history{}
	inst.usage = usage{}
	c.set(inst, StateReady, "")
	inst.since = inst.run.readyAt // the one before was ready, too
	text := inst.step.label() + "successor " + ready
	if old != nil {
		inst.leaving = append(inst.leaving, old)
		c.end(old, inst.app.config.StopTimeout)
		text += fmt.Sprintf("; ending pid %d", old.process.PID())
	}
	c.event(inst.id, text)
}

// failSuccessor ends the reload with an instance whose successor will not be
// ready: it did what why says. What the instance had goes on.
func (c *Cluster) failSuccessor(inst *instance, why string) {
	c.abandon(inst)
	s := inst.step
	s.err = fmt.Errorf("%s: its successor %s", inst.id, why)
	s.reload.halted = true
	c.event(inst.id, s.label()+"successor "+why)
	c.resume(inst)
}

// abandon ends the successor of an instance, if there is one.
func (c *Cluster) abandon(inst *instance) {
	if r := inst.next; r != nil {
		inst.next = nil
		inst.leaving = append(inst.leaving, r)
		c.end(r, 0)
	}
}

// resume does what follows from the end of an instance's run, which was to be
// decided once it is known what becomes of its successor.
func (c *Cluster) resume(inst *instance) {
	if e := inst.ended; e != nil {
		inst.ended = nil
		c.afterEnding(inst, *e)
	}
}

// interrupt ends the reload for an instance with which the user does something
// else; the app's other instances are reloaded all the same.
func (c *Cluster) interrupt(inst *instance, done string) {
	l := inst.app.reload
	if l == nil {
		return
	}
	if i := slices.Index(l.waiting, inst); i >= 0 && done == "stopped" {
		l.waiting = slices.Delete(slices.Clone(l.waiting), i, i+1)
		l.failed = append(l.failed, fmt.Errorf("%s was stopped before the reload came to it", inst.id))
	}
	c.interruptStep(inst, done)
}

func (c *Cluster) interruptStep(inst *instance, done string) {
	if s := inst.step; s != nil && s.err == nil {
		s.err = fmt.Errorf("%s was %s during its reload", inst.id, done)
	}
	c.abandon(inst)
}

// onLeft says that a run is gone that was on its way out beside the instance's.
func (c *Cluster) onLeft(inst *instance, after string) {
	if s := inst.step; s != nil {
		after = s.label() + after
	}
	c.event(inst.id, after)
	if inst.run == nil && inst.state == StateStopping {
		c.rest(inst)
	}
}

// err is what went wrong, when it is over.
func (l *reload) err() error { return errors.Join(l.failed...) }
