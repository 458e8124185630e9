package proc

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"clusterd/internal/config"
)

// onScale begins to give apps other numbers of instances. A mistake in one of
// them changes nothing.
func (c *Cluster) onScale(op *operation, sizes map[string]int) error {
	for _, name := range slices.Sorted(maps.Keys(sizes)) {
		if err := c.scalable(name, sizes[name]); err != nil {
			return err
		}
	}
	for _, a := range c.apps {
		if n, ok := sizes[a.config.Name]; ok {
			c.scale(op, a, n)
		}
	}
	return nil
}

// scalable says why an app cannot be scaled to n instances.
func (c *Cluster) scalable(name string, n int) error {
	i := slices.IndexFunc(c.apps, func(a *app) bool { return a.config.Name == name })
	if i < 0 {
		return c.unknownTarget(name)
	}
	a := c.apps[i]
	switch {
	case n < 0 || n > config.MaxInstances:
		return fmt.Errorf("cannot scale %s to %d: an app can have 0 to %d instances", name, n, config.MaxInstances)
	case a.reload != nil:
		return fmt.Errorf("cannot scale %s: it is being reloaded (%d of %d done)", name, a.reload.done, a.reload.total)
	case a.shrinking() && n > a.wanted:
		return fmt.Errorf("cannot scale %s to %d: it is still on its way down to %d", name, n, a.wanted)
	}
	return nil
}

// scale starts instances, or ends those with the highest indexes, after what depends
// on them and is to end as well.
func (c *Cluster) scale(op *operation, a *app, n int) {
	for _, inst := range a.instances[min(n, len(a.instances)):] {
		inst.surplus = true
		c.unwant(inst)
		op.pending = append(op.pending, pending{inst, inst.run})
	}
	for len(a.instances) < n {
		inst, err := a.grow()
		if err != nil {
			op.failed = append(op.failed, fmt.Errorf("cannot scale %s to %d: %w; it has %d", a.config.Name, n, err, len(a.instances)))
			n = len(a.instances)
			break
		}
		if a.nextRun.IsZero() {
			c.want(inst)
		} else {
			c.set(inst, StateDone, "")
		}
		op.pending = append(op.pending, pending{inst, nil})
	}
	if n != a.wanted {
		c.event(a.config.Name, fmt.Sprintf("scaled from %d to %d", a.wanted, n))
	}
	a.wanted = n
}

// shrinking tells whether instances are on their way out.
func (a *app) shrinking() bool {
	return len(a.instances) > 0 && a.instances[len(a.instances)-1].surplus
}

// shrink gives up the slot of the last instance, if it is not wanted any more
// and nothing of it runs. Slots go one after the other, the last first.
func (c *Cluster) shrink(a *app) {
	if !a.shrinking() {
		return
	}
	last := a.instances[len(a.instances)-1]
	if !last.settled() {
		return // or it is being removed
	}
	last.removing = true
	settle := a.way.removeSlot(last.index)
	go func() {
		ctx, cancel := context.WithTimeout(c.killed, a.config.StopTimeout)
		defer cancel()
		settle(ctx)
		c.post(slotRemovedMsg{last})
	}()
}

func (c *Cluster) onSlotRemoved(m slotRemovedMsg) {
	a := m.inst.app
	m.inst.removing, m.inst.removed = false, true
	a.instances = a.instances[:m.inst.index]
	a.exits = newestFirst(append(a.exits, m.inst.exits...))
	c.event(m.inst.id, "removed")
}
