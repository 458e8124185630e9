package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"clusterd/internal/control"
	"clusterd/internal/proc"
)

// place is where the running cluster of the config file can be reached. The
// file need not exist any more.
func (o options) place() (control.Place, error) {
	path, err := filepath.Abs(o.config)
	if err != nil {
		return control.Place{}, failed(err)
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	} else if !errors.Is(err, fs.ErrNotExist) {
		return control.Place{}, failed(err)
	}
	p, err := control.PlaceOf(path)
	return p, failed(err)
}

// dial reaches the running cluster.
func (o options) dial(ctx context.Context) (*control.Client, error) {
	p, err := o.place()
	if err != nil {
		return nil, err
	}
	c, err := control.Dial(ctx, p)
	if errors.Is(err, control.ErrNotRunning) {
		return nil, fmt.Errorf("%w for %s; start it with: clusterd -c %s (nobody answers at %s, which follows from "+
			"the file's path, the user and XDG_RUNTIME_DIR)", err, o.config, o.config, p.Socket)
	}
	return c, failed(err)
}

// talk calls f with a client of the running cluster. Its context ends with
// Ctrl-C.
func (o options) talk(f func(ctx context.Context, c *control.Client) error) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	c, err := o.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	return failed(f(ctx, c))
}

// actCommand is a command that does one verb to its targets.
func actCommand(o *options, verb proc.Verb, short, long string) *cobra.Command {
	return &cobra.Command{
		Use:   string(verb) + " [TARGET…]",
		Short: short,
		Long:  long + "\n\nA TARGET is an app (web) or one of its instances (web/2); none means all.",
		Args:  cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, targets []string) error {
			return o.talk(func(ctx context.Context, c *control.Client) error {
				err := c.Do(ctx, proc.Action{Verb: verb, Targets: targets})
				if ctx.Err() != nil {
					return fmt.Errorf("interrupted; clusterd goes on to %s what it was asked to", verb)
				}
				return err
			})
		},
	}
}

func startCommand(o *options) *cobra.Command {
	return actCommand(o, proc.VerbStart, "Start what is stopped, has failed, or waits to be retried",
		"Starts instances that do not run, and returns when they are ready or one of them\nis not going to be.")
}

func stopCommand(o *options) *cobra.Command {
	return actCommand(o, proc.VerbStop, "Stop instances until they are started again",
		"Stops instances gracefully and returns when their last process is gone.")
}

func restartCommand(o *options) *cobra.Command {
	return actCommand(o, proc.VerbRestart, "Stop and start instances",
		"Stops instances and starts them again, all at once; new connections wait\nmeanwhile. Returns when they are ready.")
}

func reloadCommand(o *options) *cobra.Command {
	return actCommand(o, proc.VerbReload, "Replace instances one after the other, losing no connection",
		"Starts a successor beside each instance, and ends that once the successor is\n"+
			"ready, one after the other. An app with reload_parallel has so many replaced at\n"+
			"a time. A worker is restarted instead: there is never more than one of it.\n"+
			"Instances that do not run are started.\n\n"+
			"When a successor ends or is not ready in time, the reload of that app ends; what\n"+
			"served before goes on.")
}

func downCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Stop the cluster",
		Long:  "Stops every instance gracefully, then clusterd itself. Returns when all is gone.",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			p, err := o.place()
			if err != nil {
				return err
			}
			return o.talk(func(ctx context.Context, c *control.Client) error {
				return shutDown(ctx, c, p)
			})
		},
	}
}

// awaitDown blocks until the daemon of the cluster at p, known by its pid, has
// ended: it holds the cluster's lock until then.
func awaitDown(ctx context.Context, p control.Place, pid int) error {
	const poll = 20 * time.Millisecond
	for {
		holder, held, err := p.Holder()
		if err != nil {
			return err
		}
		if !held || holder != 0 && holder != pid { // or it is another one already
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.New("interrupted; the cluster is still stopping")
		case <-time.After(poll):
		}
	}
}

// shutDown stops the cluster at p, and returns when it is gone.
func shutDown(ctx context.Context, c *control.Client, p control.Place) error {
	s, err := c.Snapshot(ctx)
	if err != nil {
		return err
	}
	if err := c.Down(ctx); err != nil {
		return err
	}
	return awaitDown(ctx, p, s.PID)
}
