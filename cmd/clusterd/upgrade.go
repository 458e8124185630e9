package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"clusterd/internal/control"
	"clusterd/internal/handover"
	"clusterd/internal/proc"
)

func upgradeCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "upgrade",
		Short: "Replace the running daemon by the program that is on disk now",
		Long: `Replaces the running clusterd by the program that is at its place on disk now,
in the same process. Instances, their connections and those behind the relay,
the logs and all counters stay as they are; nothing is restarted, and what comes
meanwhile waits for about a tenth of a second. Dashboards reconnect by themselves.

It waits until no reload, stop or start is under way. When the new program
cannot take over, nothing is changed, or the old one goes on.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.talk(func(ctx context.Context, c *control.Client) error {
				u, err := c.Upgrade(ctx)
				if ctx.Err() != nil {
					return errors.New("interrupted; clusterd goes on to upgrade when it can")
				}
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "clusterd %s has taken over from %s, as pid %d\n", u.Version, u.From, u.PID)
				return err
			})
		},
	}
}

// formatCommand is asked before a program takes over.
const formatCommandName = "handover-format"

func formatCommand() *cobra.Command {
	return &cobra.Command{
		Use:    formatCommandName,
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), handover.Format, version)
			return failed(err)
		},
	}
}

// partDaemon is the part of a bag that is the daemon's own.
const partDaemon = "daemon"

// daemonState is what is handed over beside the cluster.
type daemonState struct {
	Version string
	Socket  int    // the descriptor of the control socket
	Lock    int    // of the lock
	Printed uint64 // up to where the log has been printed
	Failed  string // why this is the same program again; "": it is another one
}

// came says how this daemon has come to be.
func (st daemonState) came() control.Upgraded {
	return control.Upgraded{From: st.Version, Version: version, PID: os.Getpid(), Error: st.Failed}
}

// upgrader replaces this program by another one.
type upgrader struct {
	cluster *proc.Cluster
	lock    *control.Lock
	server  *control.Server
	out     chan uint64 // up to where the log has been printed, once nothing more is
}

// screenLimit is how long a terminal may keep the next program from starting.
const screenLimit = 2 * time.Second

// upgrade returns only with an error, when nothing has been changed. It goes on when
// ctx ends: whoever asked for it is not needed.
func (u *upgrader) upgrade(ctx context.Context) error {
	path, err := os.Executable()
	if err != nil {
		return err
	}
	if err := takesOver(ctx, path); err != nil {
		return fmt.Errorf("cannot upgrade: %w; nothing has been changed", err)
	}
	b := handover.NewBag()
	if err := u.cluster.HandOver(b); err != nil {
		return fmt.Errorf("cannot upgrade: %w", err)
	}
	// From here on there is no way back but by a program that takes over.
	st := daemonState{Version: version}
	if st.Socket, err = u.server.HandOver(b); err == nil {
		st.Lock, err = u.lock.HandOver(b)
	}
	if err != nil {
		st.Failed = err.Error()
	}
	select {
	case st.Printed = <-u.out:
	case <-time.After(screenLimit):
	}
	if err := b.Pack(partDaemon, st); err == nil {
		st.Failed = u.cluster.Exec(b, path).Error()
	}
	_ = b.Pack(partDaemon, st)
	err = u.cluster.Exec(b, "/proc/self/exe")
	fmt.Fprintln(os.Stderr, "clusterd: cannot go on:", err) // the guardian ends the instances
	os.Exit(exitFailed)
	return nil
}

// stay is for whoever has seen that the cluster has been handed over, and has printed
// its log up to a line: nothing is to be done here any more.
func (u *upgrader) stay(printed uint64) {
	u.out <- printed
	select {}
}

// formatLimit is how long a program may take to say what it can take over.
const formatLimit = 5 * time.Second

// takesOver asks the program at path whether it can go on from where this one is.
func takesOver(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, formatLimit)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, formatCommandName).Output()
	if err != nil {
		return fmt.Errorf("the program %s does not say whether it can take over: %w", path, err)
	}
	format, next, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	if format != fmt.Sprint(handover.Format) {
		return fmt.Errorf("version %s, at %s, takes over format %q, and the running version %s has format %d; replace it by: clusterd down, clusterd",
			next, path, format, version, handover.Format)
	}
	return nil
}
