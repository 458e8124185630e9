package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"clusterd/internal/control"
	"clusterd/internal/figure"
	"clusterd/internal/proc"
)

func statusCommand(o *options) *cobra.Command {
	var asJSON, verbose bool
	cmd := &cobra.Command{
		Use:   "status [TARGET…]",
		Short: "Show what runs, and what it served",
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, targets []string) error {
			return o.talk(func(ctx context.Context, c *control.Client) error {
				s, err := c.Snapshot(ctx)
				if err != nil {
					return err
				}
				if err := narrow(s, targets); err != nil {
					return err
				}
				if asJSON {
					e := json.NewEncoder(cmd.OutOrStdout())
					e.SetIndent("", "  ")
					return e.Encode(s)
				}
				return printStatus(cmd.OutOrStdout(), s, verbose)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, for scripts")
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "say how each app got its port and how its requests are counted")
	return cmd
}

func printStatus(w io.Writer, s *proc.Snapshot, verbose bool) error {
	ready, wanted := 0, 0
	for i := range s.Apps {
		a := &s.Apps[i]
		ready += a.Ready
		wanted += a.Awaited()
	}
	fmt.Fprintf(w, "%s  pid %d  up %s  %d/%d ready\n\n", s.Name, s.PID, figure.Span(s.Uptime), ready, wanted)
	var table strings.Builder
	t := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tSTATE\tPORT\tPID\tUPTIME\tRESTARTS\tCPU%\tMEMORY\tREQUESTS\tREQ/S\tCOUNT\tREASON")
	for _, a := range s.Apps {
		restarts := 0
		for _, in := range a.Instances {
			restarts += in.Restarts
		}
		row(t, a.Name, strings.TrimSpace(string(a.State)+" "+a.Of()), integer(a.Port), "", "",
			strconv.Itoa(restarts), "", "", total(a.RequestsTotal, a.RequestsKind), figure.Rate(a.RequestsPerS), or(a.Count, figure.Unknown), "")
		for _, in := range a.Instances {
			row(t, "  "+in.ID, string(in.State), "", integer(in.PID), figure.SpanOf(in.Uptime), strconv.Itoa(in.Restarts),
				figure.Percent(in.CPUPercent), figure.Size(in.RSSBytes), total(in.RequestsTotal, in.RequestsKind), figure.Rate(in.RequestsPerS), "", in.Reason)
		}
	}
	t.Flush()
	for line := range strings.Lines(table.String()) {
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	if !verbose {
		return nil
	}
	for _, a := range s.Apps {
		fmt.Fprintf(w, "\n%s\n  command  %s\n  port     %s\n", a.Name, a.Command, because(a.Listen, a.ListenWhy))
		if a.Count != "" {
			fmt.Fprintf(w, "  count    %s\n", because(a.Count, a.CountWhy))
		}
	}
	return nil
}

// row writes one line of the table. It has every cell, empty or not: a column
// is as wide as its cells in rows that follow each other.
func row(w io.Writer, cells ...string) {
	fmt.Fprintln(w, strings.Join(cells, "\t"))
}

// because is "relay: it works for …", or one of the two alone.
func because(what, why string) string {
	if what == "" || why == "" {
		return what + why
	}
	return what + ": " + why
}

func or(s, none string) string {
	if s == "" {
		return none
	}
	return s
}

func integer(n *int) string {
	if n == nil {
		return figure.Unknown
	}
	return strconv.Itoa(*n)
}

// total is a count, with a sign of what it is worth if it is not exact.
func total(n *uint64, kind proc.Kind) string {
	if n == nil {
		return figure.Unknown
	}
	sign := map[proc.Kind]string{proc.AtLeast: "≥", proc.About: "≈"}[kind]
	return sign + strconv.FormatUint(*n, 10)
}
