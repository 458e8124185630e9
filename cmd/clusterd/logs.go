package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"time"

	"github.com/spf13/cobra"

	"clusterd/internal/control"
	"clusterd/internal/proc"
)

// logFilter says which lines clusterd logs prints. The lines come to it, so that
// no regular expression of a user's keeps the cluster busy.
type logFilter struct {
	grep  *regexp.Regexp // nil: all
	since time.Time      // zero: from the first that is kept
	last  int            // of those that are there already
}

func (f logFilter) matches(l proc.Line, shown string) bool {
	return !l.At.Before(f.since) && (f.grep == nil || f.grep.MatchString(plain(l.Text)) || f.grep.MatchString(plain(shown)))
}

func logsCommand(o *options) *cobra.Command {
	var follow, raw bool
	var lines int
	var grep string
	var since time.Duration
	cmd := &cobra.Command{
		Use:   "logs [TARGET…]",
		Short: "Print what instances wrote",
		Long: `Prints the last lines that instances wrote and what clusterd says about them.
Lines in JSON with a message are shown as text; --raw prints the lines alone and
as they were written, for other programs.

A TARGET is an app (web) or one of its instances (web/2); none means all.`,
		Example: `  clusterd logs -f web               go on with what comes
  clusterd logs --since 10m --grep 'timeout|refused'
  clusterd logs --raw api | jq .`,
		Args: cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, targets []string) error {
			f := logFilter{last: lines}
			if lines < 1 {
				return errors.New("-n takes a number from 1 on")
			}
			if since < 0 {
				return errors.New("--since takes how long ago, such as 10m")
			}
			if since > 0 {
				f.since = time.Now().Add(-since)
			}
			var err error
			if f.grep, err = regexp.Compile(grep); err != nil {
				return fmt.Errorf("--grep: %w", err)
			}
			return o.talk(func(ctx context.Context, c *control.Client) error {
				s, err := c.Snapshot(ctx)
				if err != nil {
					return err
				}
				if err := narrow(s, targets); err != nil {
					return err
				}
				p := newPrinter(nil, longestID(s))
				p.raw = raw
				return printLogs(ctx, p, c, targets, f, follow)
			})
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what comes")
	cmd.Flags().IntVarP(&lines, "lines", "n", 200, "how many of the last lines")
	cmd.Flags().StringVar(&grep, "grep", "", "only lines that match this regular `expression`")
	cmd.Flags().DurationVar(&since, "since", 0, "only lines that are not older than this, such as 10m")
	cmd.Flags().BoolVar(&raw, "raw", false, "print lines as they were written, without names")
	return cmd
}

// longestID is how long the names of instances are.
func longestID(s *proc.Snapshot) (n int) {
	for _, a := range s.Apps {
		for _, in := range a.Instances {
			n = max(n, len(in.ID))
		}
	}
	return n
}

// printLogs prints what is there, and with follow what comes.
func printLogs(ctx context.Context, p *printer, c *control.Client, targets []string, f logFilter, follow bool) error {
	page, next, err := f.kept(ctx, p, c, targets)
	if err != nil {
		return err
	}
	p.print(page)
	for follow {
		page, err := c.NextLogs(ctx, proc.LogQuery{Targets: targets, After: next, Forward: true})
		if err != nil {
			switch {
			case ctx.Err() != nil:
				return nil // Ctrl-C is how one ends it
			case errors.Is(err, control.ErrNotRunning):
				_, err = fmt.Fprintln(os.Stderr, "clusterd: the cluster is down")
			}
			return err
		}
		next = page.Next
		page.Lines = f.matching(p, page.Lines)
		p.print(page)
	}
	return nil
}

// kept is the last lines of those that the cluster has and that match, and where
// to go on.
func (f logFilter) kept(ctx context.Context, p *printer, c *control.Client, targets []string) (out proc.LogPage, next uint64, err error) {
	if (f.grep == nil || f.grep.String() == "") && f.since.IsZero() {
		out, err = c.Logs(ctx, proc.LogQuery{Targets: targets, Limit: f.last})
		out.Dropped = 0 // older than what was asked for
		return out, out.Next, err
	}
	for {
		page, err := c.Logs(ctx, proc.LogQuery{Targets: targets, After: next, Limit: mostLines, Forward: true})
		if err != nil {
			return out, next, err
		}
		out.Lines = append(out.Lines, f.matching(p, page.Lines)...)
		if over := len(out.Lines) - f.last; over > 0 {
			out.Lines = append(out.Lines[:0], out.Lines[over:]...)
		}
		next = page.Next
		if len(page.Lines) < mostLines {
			return out, next, nil
		}
	}
}

// mostLines is the most that the cluster gives at once.
const mostLines = 10_000

func (f logFilter) matching(p *printer, lines []proc.Line) []proc.Line {
	var out []proc.Line
	for _, l := range lines {
		if f.matches(l, p.shown(l.Text)) {
			out = append(out, l)
		}
	}
	return out
}
