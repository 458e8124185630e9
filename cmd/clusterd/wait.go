package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"clusterd/internal/control"
	"clusterd/internal/proc"
)

func waitCommand(o *options) *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "wait [TARGET…]",
		Short: "Wait until instances are ready",
		Long: `Returns when all targets are ready, or have run to their end as they are meant
to, or, with exit code 1, when one of them is not going to be: it has failed, was
stopped, or is not ready in its time. What is started again after a crash is
waited for. A TARGET is an app (web) or one of its instances (web/2); none means
all that have been started.`,
		Example: "  clusterd wait --timeout 30s web",
		RunE: func(_ *cobra.Command, targets []string) error {
			return o.talk(func(ctx context.Context, c *control.Client) error { return await(ctx, c, targets, timeout) })
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "how long to wait at most, such as 30s; 0: as long as it takes")
	return cmd
}

// await blocks until the targets are ready, or says which is not. A timeout of 0
// is none.
func await(ctx context.Context, c *control.Client, targets []string, timeout time.Duration) error {
	limited := ctx
	if timeout > 0 {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	err := c.Do(limited, proc.Action{Verb: proc.VerbWait, Targets: targets})
	switch {
	case ctx.Err() != nil:
		return errors.New("interrupted")
	case limited.Err() == nil:
		return err
	}
	s, err := c.Snapshot(ctx)
	if err != nil {
		return err
	}
	if err := narrow(s, targets); err != nil {
		return err
	}
	return fmt.Errorf("not ready after %s: %s", timeout, strings.Join(unready(s), "; "))
}

// unready names the instances that are not ready, and says why.
func unready(s *proc.Snapshot) (out []string) {
	for _, a := range s.Apps {
		for _, in := range a.Instances {
			if slices.Contains([]proc.State{proc.StateReady, proc.StateDone, proc.StateStopped}, in.State) {
				continue
			}
			text := fmt.Sprintf("%s is %s", in.ID, in.State)
			if in.Reason != "" {
				text += " (" + in.Reason + ")"
			}
			out = append(out, text)
		}
	}
	const most = 5
	if n := len(out); n > most {
		out = append(out[:most], fmt.Sprintf("and %d more", n-most))
	}
	return out
}
