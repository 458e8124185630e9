package proc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"clusterd/internal/port"
)

// openAll takes the public addresses of all apps that start by themselves.
func (c *Cluster) openAll() error {
	var errs []error
	for _, a := range c.apps {
		if !a.config.Autostart || len(a.instances) == 0 {
			continue
		}
		if err := a.way.open(); err != nil {
			errs = append(errs, fmt.Errorf("start %s: %w", a.config.Name, port.FindHolders(err)))
			continue
		}
		a.open, a.held = true, a.config.Port
	}
	if errs != nil {
		c.closeAll()
	}
	return errors.Join(errs...)
}

func (c *Cluster) closeAll() {
	for _, a := range c.apps {
		if a.open {
			c.closePort(a)
		}
	}
}

// flushFor is how long clients have to take the answers of instances that have
// ended, before their connections are closed.
const flushFor = 5 * time.Second

func (c *Cluster) closePort(a *app) {
	flush := a.way.close()
	a.open = false
	c.flushing.Go(func() {
		ctx, cancel := context.WithTimeout(c.killed, flushFor)
		defer cancel()
		flush(ctx)
	})
}
