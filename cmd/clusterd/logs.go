package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"clusterd/internal/control"
	"clusterd/internal/proc"
)

func logsCommand(o *options) *cobra.Command {
	var follow bool
	var lines int
	cmd := &cobra.Command{
		Use:   "logs [TARGET…]",
		Short: "Print what instances wrote",
		Args:  cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, targets []string) error {
			if lines < 1 {
				return errors.New("-n takes a number from 1 on")
			}
			return o.talk(func(ctx context.Context, c *control.Client) error {
				s, err := c.Snapshot(ctx)
				if err != nil {
					return err
				}
				if err := narrow(s, targets); err != nil {
					return err
				}
				return printLogs(ctx, c, proc.LogQuery{Targets: targets, Limit: lines}, follow)
			})
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what comes")
	cmd.Flags().IntVarP(&lines, "lines", "n", 200, "how many of the last lines")
	return cmd
}

func printLogs(ctx context.Context, c *control.Client, q proc.LogQuery, follow bool) error {
	p := newPrinter(nil)
	page, err := c.Logs(ctx, q)
	if err != nil {
		return err
	}
	page.Dropped = 0 // older than what was asked for
	p.print(page)
	for follow {
		q.After, q.Limit, q.Forward = page.Next, 0, true
		if page, err = c.NextLogs(ctx, q); err != nil {
			switch {
			case ctx.Err() != nil:
				return nil // Ctrl-C is how one ends it
			case errors.Is(err, control.ErrNotRunning):
				_, err = fmt.Fprintln(os.Stderr, "clusterd: the cluster is down")
			}
			return err
		}
		p.print(page)
	}
	return nil
}
