package proc

import (
	"fmt"
	"slices"

	"clusterd/internal/config"
)

// An app that depends on others is started once they are where it wants them, and
// they are stopped after it. What happens in between is not its business: a
// restart waits for nobody.

// want starts an instance that does not run: at once, or when the apps that it
// depends on are there. Those that are stopped are started for it.
func (c *Cluster) want(inst *instance) {
	for _, on := range inst.app.config.DependsOn {
		needed := c.app(on.App)
		if needed == nil {
			continue // until it is there
		}
		for _, other := range needed.instances {
			if !other.surplus && (other.state == StateStopped || other.unwanted) {
				c.event(other.id, "started for "+inst.app.config.Name)
				c.revive(other)
			}
		}
	}
	need, hopeless := c.unmet(inst.app)
	if need == "" {
		c.start(inst)
		return
	}
	c.cancelRetry(inst)
	inst.ended = nil
	inst.unwanted, inst.hopeless = false, hopeless
	c.set(inst, StateWaiting, need)
	c.event(inst.id, "waits "+need)
}

// revive starts an instance that does not run, or is not to any more.
func (c *Cluster) revive(inst *instance) {
	inst.unwanted = false
	switch {
	case inst.run == nil && inst.state != StateStarting:
		c.want(inst)
	case inst.run != nil && (inst.run.stopping || inst.run.exited):
		inst.again = true
	}
}

// app is the app of a name, or nil: one that a new config names may not be there
// yet, nor one that it does not name any more.
func (c *Cluster) app(name string) *app {
	i := slices.IndexFunc(c.apps, func(a *app) bool { return a.config.Name == name && !a.removing })
	if i < 0 {
		return nil
	}
	return c.apps[i]
}

// unmet says what an app waits for: "for db to be ready"; "" when for nothing. It
// is hopeless when that will not come by itself.
func (c *Cluster) unmet(a *app) (need string, hopeless bool) {
	for _, on := range a.config.DependsOn {
		met, why := false, ""
		if needed := c.app(on.App); needed != nil {
			met, why = c.reached(needed, on.Until)
		}
		if met {
			continue
		}
		if need == "" {
			need = fmt.Sprintf("for %s to be %s", on.App, on.Until)
			if why != "" {
				need += ", and " + why
			}
		}
		hopeless = hopeless || why != ""
	}
	return need, hopeless
}

// reached tells whether an app is as far as others want it, or else why it will
// not get there by itself.
func (c *Cluster) reached(a *app, until config.Until) (met bool, why string) {
	met = true
	for _, inst := range a.instances {
		if inst.surplus || inst.reached(until) {
			continue
		}
		met = false
		switch {
		case inst.state == StateWaiting:
			if need, hopeless := c.unmet(a); hopeless {
				return false, fmt.Sprintf("that waits %s", need)
			}
		case inst.settled():
			why = fmt.Sprintf("%s is %s", inst.id, inst.state)
			if inst.reason != "" {
				why += ": " + inst.reason
			}
			return false, why
		}
	}
	return met, ""
}

func (i *instance) reached(until config.Until) bool {
	switch until {
	case config.UntilStarted:
		return i.hasRun && i.state != StateStopped && i.state != StateWaiting
	case config.UntilDone:
		return i.state == StateDone
	default:
		return i.state == StateReady || i.state == StateDone
	}
}

// reviewWaiting starts what has waited for others, and says when there is no hope
// any more.
func (c *Cluster) reviewWaiting(a *app) {
	if !slices.ContainsFunc(a.instances, func(i *instance) bool { return i.state == StateWaiting }) {
		return
	}
	need, hopeless := c.unmet(a)
	for _, inst := range a.instances {
		switch {
		case inst.state != StateWaiting:
		case need == "":
			c.start(inst)
		case need != inst.reason:
			inst.hopeless = hopeless
			c.set(inst, StateWaiting, need)
			if hopeless {
				c.event(inst.id, "waits "+need)
			}
		}
	}
}

// unwant stops an instance, once all that depend on it and are to stop as well
// have.
func (c *Cluster) unwant(inst *instance) {
	inst.again = false
	if inst.run == nil {
		c.stop(inst, stopDrain)
	}
	inst.unwanted = inst.state == StateStopping || inst.run != nil
}

// reviewUnwanted stops what is to stop and is needed by nobody any more.
func (c *Cluster) reviewUnwanted(a *app) {
	for _, inst := range a.instances {
		r := inst.run
		if !inst.unwanted || r == nil || r.stopping && r.fault == "" {
			continue
		}
		if inst.stopsAfter = c.user(a); inst.stopsAfter == "" {
			drain := stopDrain
			if inst.surplus {
				drain = a.config.StopTimeout // the others follow it
			}
			c.stop(inst, drain)
		}
	}
}

// user is an instance that depends on an app and is to stop before it; "" when
// there is none. Where the config has changed, apps that it names depend on those
// that it names, and not on ones of the same names that are on their way out.
func (c *Cluster) user(a *app) string {
	for _, other := range c.apps {
		if a.removing && !other.removing || !slices.ContainsFunc(other.config.DependsOn, func(on config.Dependency) bool { return on.App == a.config.Name }) {
			continue
		}
		for _, inst := range other.instances {
			if inst.unwanted {
				return inst.id
			}
		}
	}
	return ""
}

// inOrder are the apps, each after those that it depends on.
func (c *Cluster) inOrder() (out []*app) {
	var add func(a *app)
	add = func(a *app) {
		if slices.Contains(out, a) {
			return
		}
		for _, on := range a.config.DependsOn {
			if needed := c.app(on.App); needed != nil {
				add(needed)
			}
		}
		out = append(out, a)
	}
	for _, a := range c.apps {
		add(a)
	}
	return out
}
