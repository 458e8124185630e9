package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"clusterd/internal/control"
	"clusterd/internal/tui"
)

func dashCommand(o *options) *cobra.Command {
	var theme string
	dash := &cobra.Command{
		Use:   "dash",
		Short: "Show the dashboard of the running cluster",
		Long: `Shows the dashboard of a cluster that runs already. Leaving it leaves the
cluster running. On a terminal that can only print (TERM=dumb) it prints what
clusterd status does, and then what clusterd logs -f does.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := tui.CheckTheme(theme); err != nil {
				return &exitError{exitUsage, err}
			}
			switch {
			case !onTerminal():
				return failed(errors.New("the dashboard needs a terminal as standard input and output; " +
					"for text there are clusterd status and clusterd logs -f"))
			case dumbTerminal():
				return o.talk(showPlainly)
			}
			return o.talk(func(ctx context.Context, c *control.Client) error {
				runtime.GOMAXPROCS(1) // waking up a second thread takes longer than what there is to do
				outcome, err := tui.Run(ctx, c, tui.Options{Attached: true, Env: os.Getenv, Theme: theme})
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
	themeFlag(dash, &theme)
	return dash
}

// showPlainly prints what there is in place of a dashboard, and then the log as it
// grows, until ctx ends.
func showPlainly(ctx context.Context, c *control.Client) error {
	s, err := c.Snapshot(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "clusterd: a terminal with TERM=dumb shows no dashboard; this is clusterd status, and then clusterd logs -f until ctrl-c")
	if err := printStatus(os.Stdout, s, false); err != nil {
		return err
	}
	fmt.Println()
	return printLogs(ctx, newPrinter(nil, longestID(s)), c, nil, logFilter{last: plainLines}, true)
}

// plainLines is how many lines of log showPlainly begins with.
const plainLines = 10

// themeFlag lets the user choose how the dashboard looks.
func themeFlag(c *cobra.Command, theme *string) {
	c.Flags().StringVar(theme, "theme", "", "the dashboard's `colours`: "+strings.Join(tui.ThemeNames(), ", ")+
		" (or CLUSTERD_THEME; none at all with NO_COLOR)")
}
