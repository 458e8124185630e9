package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"clusterd/internal/config"
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
			return failed(printPlan(cmd.OutOrStdout(), cfg))
		},
	}
}

// printPlan prints the config with everything that the file leaves to defaults.
func printPlan(w io.Writer, cfg *config.Config) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s is fine: cluster %s\n", cfg.Path, cfg.Name)
	for _, a := range cfg.Apps {
		fmt.Fprintf(&b, "\n%s\n", a.Name)
		item := func(name, format string, args ...any) {
			fmt.Fprintf(&b, "  %-10s %s\n", name, fmt.Sprintf(format, args...))
		}
		item("command", "%s", a.Command)
		if a.Port != 0 {
			plan := proc.PlanOf(a)
			item("port", "%s, balance %s", address(a), a.Balance)
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
		item("restart", "%s", restartPlan(a))
		item("stop", "%s, SIGKILL after %s", unix.SignalName(a.StopSignal), a.StopTimeout)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func address(a config.App) string {
	if a.Host == "" {
		return fmt.Sprintf("%d on every address", a.Port)
	}
	return fmt.Sprintf("%d on %s", a.Port, a.Host)
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
