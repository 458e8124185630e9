package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"clusterd/internal/control"
)

func applyCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "apply",
		Short: "Make the running cluster what the edited config file says",
		Long: `Reads the config file again and changes only what differs: apps are added and
removed, instances are started or ended, and an app whose command or environment
differs is reloaded, one instance after the other, losing no connection. An app
that is to have another port is restarted there. What concerns no process, such
as restart or stop_timeout, holds from now on.

A file with mistakes changes nothing. While the cluster is busy with a reload of
an app that differs, nothing is changed either. When the first instance does not
come to be ready with its new config, the app goes on with the old one.

With watch_config = true in the file, this happens whenever it is saved.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			mistaken := ""
			err := o.talk(func(ctx context.Context, c *control.Client) error {
				a, err := c.Apply(ctx)
				if ctx.Err() != nil {
					return errors.New("interrupted; clusterd goes on to apply the file")
				}
				if err != nil {
					return err
				}
				for _, change := range a.Changes {
					fmt.Fprintln(cmd.OutOrStdout(), change)
				}
				switch {
				case a.Mistake:
					mistaken = a.Error
				case a.Error != "":
					return errors.New(a.Error)
				case len(a.Changes) == 0:
					fmt.Fprintln(cmd.OutOrStdout(), "nothing differs from what runs")
				}
				return nil
			})
			if mistaken != "" { // each line begins with its place in the file
				fmt.Fprintln(os.Stderr, mistaken)
				return &exitError{exitUsage, errors.New("the file is wrong; nothing has been changed")}
			}
			return err
		},
	}
}
