package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"clusterd/internal/config"
	"clusterd/internal/figure"
	"clusterd/internal/proc"
)

func checkCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Check the config file and print what it would run",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := o.load()
			if err != nil {
				return err
			}
			if err := printPlan(cmd.OutOrStdout(), cfg); err != nil {
				return failed(err)
			}
			var errs []error
			for _, a := range cfg.Apps {
				if err := proc.Limitable(a); err != nil {
					errs = append(errs, fmt.Errorf("%s cannot start here: %w", a.Name, err))
				}
			}
			return failed(errors.Join(errs...))
		},
	}
}

// printPlan prints the config with everything that the file leaves to defaults.
func printPlan(w io.Writer, cfg *config.Config) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s is fine: cluster %s\n", cfg.Path, cfg.Name)
	if cfg.Metrics != "" {
		fmt.Fprintf(&b, "metrics for Prometheus at %s/metrics\n", cfg.Metrics)
	}
	for _, a := range cfg.Apps {
		fmt.Fprintf(&b, "\n%s\n", a.Name)
		item := func(name, format string, args ...any) {
			fmt.Fprintf(&b, "  %-10s %s\n", name, fmt.Sprintf(format, args...))
		}
		item("command", "%s", a.Command)
		if a.Port != 0 {
			plan := proc.PlanOf(a, proc.ThisMachine())
			item("port", "%s, balance %s", address(a, plan.Listen), a.Balance)
			item("listen", "%s: %s", plan.Listen, plan.ListenWhy)
			item("count", "%s: %s", plan.Count, plan.CountWhy)
		} else {
			item("port", "none: a worker")
		}
		start := ""
		if !a.Autostart {
			start = ", not started by itself"
		}
		item("instances", "%d%s", a.Instances, start)
		item("cwd", "%s", a.Cwd)
		for _, name := range slices.Sorted(maps.Keys(a.Env)) {
			item("env", "%s=%s", name, a.Env[name])
		}
		switch {
		case a.Ready.By != "":
			item("ready", "%s, within %s", probePlan(a.Ready), a.Ready.Timeout)
		case a.Port != 0:
			item("ready", "when it listens, within %s", a.Ready.Timeout)
		}
		if a.Health.By != "" {
			item("health", "%s, every %s; restarted after %s in a row",
				probePlan(a.Health), a.Health.Interval, figure.Plural(a.Health.Failures, "failure"))
		}
		for _, on := range a.DependsOn {
			item("after", "%s is %s", on.App, on.Until)
		}
		for _, file := range a.EnvFiles {
			item("env_file", "%s", file)
		}
		if id := a.RunAs; id != nil {
			item("user", "%s, with the ids %d and %d", id.User, id.UID, id.GID)
		}
		if a.Umask != nil {
			item("umask", "%03o", *a.Umask)
		}
		if limits := limitsPlan(a.Limits); limits != "" {
			item("limits", "%s", limits)
		}
		if a.Schedule.Set() {
			next := a.Schedule.Next(time.Now())
			item("schedule", "%s, next at %s", a.Schedule.Text, next.Format("Mon 2 Jan 15:04:05 MST"))
		}
		if a.Watch.Paths != nil {
			item("watch", "%s: %s", strings.Join(a.Watch.Paths, " "), a.Watch.Action)
		}
		if a.Log.File != "" {
			item("log", "%s, %d more of %s each, %s", a.Log.File, a.Log.Keep, size(uint64(a.Log.MaxSize)), a.Log.Format)
		}
		item("restart", "%s", restartPlan(a))
		item("reload", "%d at a time", a.ReloadParallel)
		item("stop", "%s, SIGKILL after %s", unix.SignalName(a.StopSignal), a.StopTimeout)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func size(bytes uint64) string { return figure.Size(&bytes) }

func limitsPlan(l config.Limits) string {
	var parts []string
	if l.Memory > 0 {
		parts = append(parts, size(uint64(l.Memory))+" of memory, restarted above")
	}
	if l.Nofile > 0 {
		parts = append(parts, fmt.Sprintf("%d open files", l.Nofile))
	}
	if l.CPU > 0 {
		parts = append(parts, fmt.Sprintf("%g of a CPU", l.CPU))
	}
	return strings.Join(parts, "; ")
}

func address(a config.App, listen string) string {
	switch {
	case listen == string(config.ListenAdopt) || listen == string(config.ListenSelf):
		return fmt.Sprintf("%d, where the instances bind it", a.Port)
	case a.Host == "" && listen == string(config.ListenRelay):
		return fmt.Sprintf("%d, where the instances listen", a.Port)
	case a.Host == "":
		return fmt.Sprintf("%d on every address", a.Port)
	}
	return fmt.Sprintf("%d on %s", a.Port, a.Host)
}

// probePlan says who is asked.
func probePlan(p config.Probe) string {
	switch p.By {
	case config.ByHTTP:
		return "GET " + p.HTTP
	case config.ByTCP:
		return "a connection"
	case config.ByExec:
		return "command: " + p.Exec.String()
	case config.ByLog:
		return fmt.Sprintf("a line of output that matches %q", p.Log)
	case config.ByNotify:
		return "READY=1 at $NOTIFY_SOCKET"
	}
	return "WATCHDOG=1 at $NOTIFY_SOCKET"
}

func restartPlan(a config.App) string {
	if a.Restart == config.RestartNever {
		return string(a.Restart)
	}
	plan := fmt.Sprintf("%s, after %s up to %s", a.Restart, a.BackoffMin, a.BackoffMax)
	if a.MaxRestarts == 0 {
		return plan + ", for ever"
	}
	return fmt.Sprintf("%s, at most %d times in %s", plan, a.MaxRestarts, a.RestartWindow)
}
