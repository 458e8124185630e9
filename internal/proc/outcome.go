package proc

import (
	"errors"
	"fmt"
)

// over tells whether Run is to return. A cluster without a single instance is
// not done: it waits to be told what to do.
func (c *Cluster) over(untilDone bool) bool {
	instances := 0
	for _, a := range c.apps {
		for _, inst := range a.instances {
			if !inst.settled() && !(untilDone && inst.state == StateWaiting && inst.hopeless) {
				return false
			}
			if !c.stopping && (!untilDone || inst.state == StateStopped || !a.nextRun.IsZero()) {
				return false
			}
		}
		instances += len(a.instances)
	}
	return c.stopping || untilDone && instances > 0
}

// failures says which instances have failed; nil when none has.
func (c *Cluster) failures() error {
	var errs []error
	for _, a := range c.apps {
		for _, inst := range a.instances {
			switch inst.state {
			case StateFailed:
				errs = append(errs, fmt.Errorf("%s failed: %s", inst.id, inst.reason))
			case StateWaiting:
				errs = append(errs, fmt.Errorf("%s waits %s", inst.id, inst.reason))
			}
		}
	}
	return errors.Join(errs...)
}
