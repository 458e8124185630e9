package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/spf13/cobra"

	"clusterd/internal/config"
	"clusterd/internal/control"
	"clusterd/internal/figure"
	"clusterd/internal/proc"
)

func whyCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "why TARGET",
		Short: "Say why an app or an instance is in its state",
		Long: `Says in words what state an instance is in and since when, how its last process
ended and what that wrote, when it is started again, how it gets onto its port,
and how its requests are counted. Of an app it is the instance that needs a look
most.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.talk(func(ctx context.Context, c *control.Client) error {
				a, err := accountOf(ctx, c, args[0])
				if err != nil {
					return err
				}
				a.now = time.Now()
				_, err = io.WriteString(cmd.OutOrStdout(), a.String())
				return err
			})
		},
	}
}

// account is what there is to tell of an app, or of one of its instances.
type account struct {
	app    proc.AppSnapshot
	whole  bool                   // it is about the app
	in     *proc.InstanceSnapshot // nil: the app has none
	output []proc.Line            // what the instance wrote last
	users  []string               // apps that depend on it, and what they wait for
	events []proc.Line            // what clusterd said last of it, and of the app
	now    time.Time
}

// How many lines of each kind an account cites.
const (
	citedOutput = 10
	citedEvents = 6
)

// accountOf asks the cluster for all that concerns a target.
func accountOf(ctx context.Context, c *control.Client, target string) (*account, error) {
	s, err := c.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	a := &account{users: users(s, target)}
	if a.app, a.in, err = find(s, target); err != nil {
		return nil, err
	}
	a.whole = a.app.Name == target
	const all = 10_000 // that are kept
	page, err := c.Logs(ctx, proc.LogQuery{Targets: []string{a.app.Name}, Limit: all})
	if err != nil {
		return nil, err
	}
	for _, l := range page.Lines {
		if l.Stream == proc.StreamEvent && (l.Instance == a.app.Name || a.in != nil && l.Instance == a.in.ID) {
			a.events = append(a.events, l)
		}
	}
	if a.in == nil {
		return a, nil
	}
	// Siblings may have written so much that nothing of it is among those.
	page, err = c.Logs(ctx, proc.LogQuery{Targets: []string{a.in.ID}})
	if err != nil {
		return nil, err
	}
	for _, l := range page.Lines {
		if l.Stream != proc.StreamEvent {
			a.output = append(a.output, l)
		}
	}
	return a, nil
}

// users are the apps that depend on that of a target: "web (2 of 4 wait)".
func users(s *proc.Snapshot, target string) (out []string) {
	name, _, _ := strings.Cut(target, "/")
	for _, a := range s.Apps {
		if !slices.ContainsFunc(a.DependsOn, func(d proc.Dependency) bool { return d.App == name }) {
			continue
		}
		waiting := 0
		for _, in := range a.Instances {
			if in.State == proc.StateWaiting {
				waiting++
			}
		}
		text := a.Name
		if waiting > 0 {
			text += fmt.Sprintf(" (%d of %d wait for it)", waiting, len(a.Instances))
		}
		out = append(out, text)
	}
	return out
}

// find returns the app that target names or is part of, and the instance that it
// names, or the one of the app that needs a look most.
func find(s *proc.Snapshot, target string) (proc.AppSnapshot, *proc.InstanceSnapshot, error) {
	if err := narrow(s, []string{target}); err != nil {
		return proc.AppSnapshot{}, nil, err
	}
	app := s.Apps[0]
	for i, in := range app.Instances {
		if in.ID == target || app.Name == target && in.State == app.State {
			return app, &app.Instances[i], nil
		}
	}
	return app, nil, nil
}

// meaning says what an instance in a state does, and what can be done about it.
func meaning(in *proc.InstanceSnapshot) string {
	switch in.State {
	case proc.StateStopped:
		return "it runs again after: clusterd start " + in.ID
	case proc.StateFailed:
		return "clusterd has given up on it. To try again: clusterd start " + in.ID
	}
	return in.State.Meaning()
}

// String is the account in words.
func (a *account) String() string {
	var b strings.Builder
	if a.whole {
		fmt.Fprintf(&b, "%s is %s: %d of %d ready\n", a.app.Name, a.app.State, a.app.Ready, a.app.InstancesWanted)
		switch {
		case a.in == nil:
			b.WriteString(paragraph("", "It has no instance; this gives it one: clusterd scale "+a.app.Name+"=1"))
		case len(a.app.Instances) > 1 && a.app.State != proc.StateReady:
			b.WriteString("The instance that needs a look most:\n")
		}
		b.WriteByte('\n')
	}
	if a.in != nil {
		a.instance(&b)
	}
	item := itemsOf(&b)
	item("needed by", strings.Join(a.users, ", "))
	if a.app.Port == nil {
		item("port", a.app.ListenWhy)
	} else {
		item("port", fmt.Sprintf("%d, by %s", *a.app.Port, because(a.app.Listen, a.app.ListenWhy)))
		item("requests", counted(a.app.Count, a.app.CountWhy))
	}
	section(&b, "Last output", citedOutput, a.output, a.now)
	section(&b, "Last events", citedEvents, a.events, a.now)
	a.others(&b)
	return b.String()
}

// counted says how requests are counted.
func counted(by, why string) string {
	if by == string(config.CountOff) {
		return "not counted: " + why
	}
	return "counted by " + because(by, why)
}

// itemsOf returns a function that writes items, the names below each other.
func itemsOf(b *strings.Builder) func(name, text string) {
	return func(name, text string) {
		if text != "" {
			b.WriteString(paragraph(fmt.Sprintf("  %-11s ", name), text))
		}
	}
}

// instance writes what there is to tell of the instance alone.
func (a *account) instance(b *strings.Builder) {
	in := a.in
	b.WriteString(paragraph("", fmt.Sprintf("%s is %s since %s: %s", in.ID, in.State, a.when(in.Since), meaning(in))))
	b.WriteByte('\n')
	item := itemsOf(b)
	item("reason", in.Reason)
	item("says", in.Says)
	if in.RetryAt != nil {
		item("next start", fmt.Sprintf("at %s", clock(*in.RetryAt, a.now)))
	}
	process := "none"
	if in.PID != nil {
		process = fmt.Sprintf("pid %d, up %s", *in.PID, figure.SpanOf(in.Uptime))
	}
	if in.Generation > 0 {
		process += fmt.Sprintf("; generation %d, %s without being asked", in.Generation, figure.Plural(in.Restarts, "restart"))
	}
	item("process", process)
	if e := in.LastExit; e != nil {
		how := fmt.Sprintf("with code %d", e.Code)
		if e.Signal != "" {
			how = "by " + e.Signal
		}
		item("last exit", fmt.Sprintf("%s after %s, at %s", how, lasted(e.After), a.when(e.At)))
	}
}

// lasted is how long something took, which may be short.
func lasted(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	if d < time.Minute {
		return d.Round(100 * time.Millisecond).String()
	}
	return figure.Span(seconds)
}

// when is a time in the past, and how long ago that is.
func (a *account) when(t time.Time) string {
	return fmt.Sprintf("%s (%s ago)", clock(t, a.now), figure.Span(a.now.Sub(t).Seconds()))
}

// clock is a time of day; with the date, if that is not today's.
func clock(t, now time.Time) string {
	t, now = t.Local(), now.Local()
	if t.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return t.Format(time.TimeOnly)
	}
	return t.Format(time.DateTime)
}

// section writes the last lines of some.
func section(b *strings.Builder, title string, most int, lines []proc.Line, now time.Time) {
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s\n", title)
	for _, l := range lines[max(0, len(lines)-most):] {
		label := "  " + clock(l.At, now) + " "
		if l.Stream == proc.StreamEvent {
			b.WriteString(paragraph(label, l.Instance+" "+l.Text))
		} else {
			b.WriteString(strings.TrimRight(label+ansi.Strip(l.Text), " ") + "\n")
		}
	}
}

// others writes the states of the app's other instances.
func (a *account) others(b *strings.Builder) {
	others := slices.DeleteFunc(slices.Clone(a.app.Instances), func(in proc.InstanceSnapshot) bool { return in.ID == a.in.ID })
	if !a.whole || len(others) == 0 {
		return
	}
	width := 0
	for _, in := range others {
		width = max(width, len(in.ID))
	}
	b.WriteString("\nThe other instances\n")
	for _, in := range others {
		text := fmt.Sprintf("%s for %s", in.State, figure.Span(a.now.Sub(in.Since).Seconds()))
		if in.Reason != "" {
			text += ": " + in.Reason
		}
		fmt.Fprintln(b, ansi.Truncate(fmt.Sprintf("  %-*s  %s", width, in.ID, text), pageWidth, "…"))
	}
}
