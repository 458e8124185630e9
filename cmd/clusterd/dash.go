package main

import (
	"context"
	"errors"
	"os"

	"github.com/spf13/cobra"

	"clusterd/internal/control"
	"clusterd/internal/tui"
)

func dashCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "dash",
		Short: "Show the dashboard of the running cluster",
		Long:  "Shows the dashboard of a cluster that runs already. Leaving it leaves the\ncluster running.",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if !canShowDashboard() {
				return failed(errors.New("the dashboard needs a terminal; clusterd status prints the same as text"))
			}
			return o.talk(func(ctx context.Context, c *control.Client) error {
				outcome, err := tui.Run(ctx, c, tui.Options{Attached: true, Env: os.Getenv})
				if err != nil || outcome != tui.Shutdown {
					return err
				}
				p, err := o.place()
				if err != nil {
					return err
				}
				return shutDown(ctx, c, p)
			})
		},
	}
}
