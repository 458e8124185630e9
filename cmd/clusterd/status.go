package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"clusterd/internal/control"
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

// narrow leaves in s only what the targets name.
func narrow(s *proc.Snapshot, targets []string) error {
	if len(targets) == 0 {
		return nil
	}
	wanted := map[string]bool{}
	for _, t := range targets {
		wanted[t] = true
	}
	found := map[string]bool{}
	var apps []proc.AppSnapshot
	for _, a := range s.Apps {
		if wanted[a.Name] {
			found[a.Name] = true
			for _, in := range a.Instances {
				found[in.ID] = true
			}
			apps = append(apps, a)
			continue
		}
		var instances []proc.InstanceSnapshot
		for _, in := range a.Instances {
			if wanted[in.ID] {
				found[in.ID] = true
				instances = append(instances, in)
			}
		}
		if instances != nil {
			a.Instances = instances
			apps = append(apps, a)
		}
	}
	for _, t := range targets {
		if !found[t] {
			return fmt.Errorf("no app or instance %q in the cluster", t)
		}
	}
	s.Apps = apps
	return nil
}

func printStatus(w io.Writer, s *proc.Snapshot, verbose bool) error {
	ready, wanted := 0, 0
	for _, a := range s.Apps {
		ready += a.Ready
		wanted += a.InstancesWanted
	}
	fmt.Fprintf(w, "%s  pid %d  up %s  %d/%d ready\n\n", s.Name, s.PID, uptime(&s.Uptime), ready, wanted)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tSTATE\tPORT\tPID\tUPTIME\tRESTARTS\tCPU\tMEMORY\tREQUESTS\tREQ/S\tCOUNT\tREASON")
	for _, a := range s.Apps {
		restarts := 0
		for _, in := range a.Instances {
			restarts += in.Restarts
		}
		row(t, a.Name, fmt.Sprintf("%s %d/%d", a.State, a.Ready, a.InstancesWanted), integer(a.Port), "", "",
			strconv.Itoa(restarts), "", "", total(a.RequestsTotal, true), perSecond(a.RequestsPerS), or(a.Count, "-"), "")
		for _, in := range a.Instances {
			row(t, "  "+in.ID, string(in.State), "", integer(in.PID), uptime(in.Uptime), strconv.Itoa(in.Restarts),
				percent(in.CPUPercent), size(in.RSSBytes), total(in.RequestsTotal, in.RequestsExact), perSecond(in.RequestsPerS), "", in.Reason)
		}
	}
	if err := t.Flush(); err != nil {
		return err
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

func row(w io.Writer, cells ...string) {
	fmt.Fprintln(w, strings.TrimRight(strings.Join(cells, "\t"), "\t "))
}

// because is "relay: it works for …", or the reason alone.
func because(what, why string) string {
	if what == "" {
		return why
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
		return "-"
	}
	return strconv.Itoa(*n)
}

// total is a count; at least that many when it is not exact.
func total(n *uint64, exact bool) string {
	switch {
	case n == nil:
		return "-"
	case !exact:
		return "≥" + strconv.FormatUint(*n, 10)
	}
	return strconv.FormatUint(*n, 10)
}

func perSecond(f *float64) string {
	if f == nil {
		return "-"
	}
	return strconv.FormatFloat(*f, 'f', 1, 64)
}

func percent(f *float64) string {
	if f == nil {
		return "-"
	}
	return strconv.FormatFloat(*f, 'f', 1, 64) + "%"
}

func size(bytes *uint64) string {
	if bytes == nil {
		return "-"
	}
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	f, i := float64(*bytes), 0
	for f >= 1024 && i < len(units)-1 {
		f /= 1024
		i++
	}
	return strconv.FormatFloat(f, 'f', 1, 64) + units[i]
}

// uptime is "12s", "4m10s" or "3h20m" or "5d3h".
func uptime(seconds *float64) string {
	if seconds == nil {
		return "-"
	}
	d := time.Duration(*seconds) * time.Second
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24)
}
