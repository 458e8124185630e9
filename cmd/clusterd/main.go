// Clusterd runs many instances of a server on one port, keeps them running, and
// shows what each of them does.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"clusterd/internal/config"
	"clusterd/internal/control"
	"clusterd/internal/handover"
	"clusterd/internal/proc"
	"clusterd/internal/setup"
)

// version is set by the linker.
var version = "dev"

func main() {
	if proc.IsGuardian() {
		proc.RunGuardian()
		return
	}
	if setup.Ordered() {
		setup.Run()
	}
	taken, err := handover.Received()
	if err != nil {
		fmt.Fprintln(os.Stderr, prefixed(err, err.Error()))
		os.Exit(exitFailed)
	}
	os.Exit(proc.ServeMainThread(func() int { return run(os.Args[1:], taken) }))
}

// The first thread starts all processes, see proc.ServeMainThread.
func init() { runtime.LockOSThread() }

// Exit codes, the same for every command.
const (
	exitDone       = 0
	exitFailed     = 1 // it did not work
	exitUsage      = 2 // the command line or the config is wrong
	exitNotRunning = 3 // no such cluster is running
)

// run executes one command line and returns the exit code. taken is what another
// daemon has handed over to this one, if any.
func run(args []string, taken *handover.Bag) int {
	root := rootCommand(taken)
	root.SetArgs(args)
	err := root.Execute()
	if err == nil {
		return exitDone
	}
	// What cobra itself finds wrong is a mistake in the command line.
	code := exitUsage
	if e, ok := errors.AsType[*exitError](err); ok {
		code = e.code
	}
	if errors.Is(err, control.ErrNotRunning) {
		code = exitNotRunning
	}
	if text := err.Error(); text != "" {
		say(prefixed(err, text))
	}
	return code
}

// say writes to stderr, but not for longer than anybody waits for it: a terminal may
// have stopped its output (ctrl-s), and clusterd has to end all the same.
func say(text string) {
	said := make(chan struct{})
	go func() {
		defer close(said)
		fmt.Fprintln(os.Stderr, text)
	}()
	awaitPrinted(said)
}

// prefixed says that it is clusterd that speaks, except in what begins with the
// place in a file, where editors look for it.
func prefixed(err error, text string) string {
	if _, ok := errors.AsType[*config.Errors](err); ok {
		return text
	}
	return "clusterd: " + strings.ReplaceAll(text, "\n", "\nclusterd: ")
}

// exitError is an error with the exit code it leads to.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// failed marks an error of something that did not work.
func failed(err error) error {
	if err == nil {
		return nil
	}
	return &exitError{exitFailed, err}
}

// options are the flags that every command knows.
type options struct{ config string }

func rootCommand(taken *handover.Bag) *cobra.Command {
	var o options
	how := runFlags{taken: taken}
	root := &cobra.Command{
		Use:   "clusterd",
		Short: "Run many instances of any server on one port, and see what each of them does",
		Long: `clusterd starts every app of a cluster.toml as several instances that share one
port, keeps them running, and shows them live: state, restarts, CPU, memory,
and the requests each of them has served.

Without a command it runs the cluster in the foreground, with a dashboard on a
terminal and prefixed logs otherwise. Ctrl-C stops it gracefully, a second one
at once.`,
		Example: `  clusterd -c cluster.toml     run the cluster
  clusterd check               see what would run
  clusterd status --json       what runs, for scripts`,
		Args:          noSuchCommand,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(*cobra.Command, []string) error { return how.run(o) },

		SuggestionsMinimumDistance: 2, // at most so many letters apart
	}
	root.PersistentFlags().StringVarP(&o.config, "config", "c", "cluster.toml", "the cluster's config `file`")
	themeFlag(root, &how.theme)
	root.Flags().BoolVar(&how.noTUI, "no-tui", false, "print logs and events instead of showing the dashboard")
	root.Flags().BoolVar(&how.detach, "detach", false, "run in the background; return when all is ready, or with exit code 1 when something failed")
	root.Flags().BoolVar(&how.detached, detachedFlag, false, "")
	_ = root.Flags().MarkHidden(detachedFlag) // it exists
	root.MarkFlagsMutuallyExclusive("no-tui", "detach")
	takeTargets := []*cobra.Command{
		statusCommand(&o),
		logsCommand(&o),
		startCommand(&o),
		stopCommand(&o),
		restartCommand(&o),
		reloadCommand(&o),
		waitCommand(&o),
		whyCommand(&o),
	}
	completeTargets(&o, takeTargets...)
	root.AddCommand(takeTargets...)
	root.AddCommand(
		scaleCommand(&o),
		applyCommand(&o),
		upgradeCommand(&o),
		formatCommand(),
		initCommand(&o),
		requestCommand(&o),
		dashCommand(&o),
		downCommand(&o),
		checkCommand(&o),
		doctorCommand(),
		versionCommand(),
		manCommand(),
	)
	return root
}

// noSuchCommand refuses what follows clusterd and is no command, and says which
// one might be meant.
func noSuchCommand(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if similar := root.SuggestionsFor(args[0]); len(similar) > 0 {
		return fmt.Errorf("unknown command %q; did you mean %q?", args[0], similar[0])
	}
	return fmt.Errorf("unknown command %q; clusterd help lists them all", args[0])
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "clusterd", version)
			return failed(err)
		},
	}
}
