// Clusterd runs many instances of a server on one port, keeps them running, and
// shows what each of them does.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"clusterd/internal/control"
)

// version is set by the linker.
var version = "dev"

func main() { os.Exit(run(os.Args[1:])) }

// Exit codes, the same for every command.
const (
	exitDone       = 0
	exitFailed     = 1 // it did not work
	exitUsage      = 2 // the command line or the config is wrong
	exitNotRunning = 3 // no such cluster is running
)

// run executes one command line and returns the exit code.
func run(args []string) int {
	root := rootCommand()
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
		fmt.Fprintln(os.Stderr, "clusterd: "+strings.ReplaceAll(text, "\n", "\nclusterd: "))
	}
	return code
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

func rootCommand() *cobra.Command {
	var o options
	var noTUI bool
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
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(*cobra.Command, []string) error { return runCluster(o, noTUI) },
	}
	root.PersistentFlags().StringVarP(&o.config, "config", "c", "cluster.toml", "the cluster's config `file`")
	root.Flags().BoolVar(&noTUI, "no-tui", false, "print logs and events instead of showing the dashboard")
	root.AddCommand(
		statusCommand(&o),
		logsCommand(&o),
		startCommand(&o),
		stopCommand(&o),
		restartCommand(&o),
		dashCommand(&o),
		downCommand(&o),
		checkCommand(&o),
		versionCommand(),
	)
	return root
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
