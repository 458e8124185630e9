package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"clusterd/internal/control"
	"clusterd/internal/proc"
)

// completionWait is how long a shell waits for a cluster that is to tell its
// targets.
const completionWait = time.Second

// completeTargets offers the apps and instances of the running cluster to
// commands that take targets.
func completeTargets(o *options, commands ...*cobra.Command) {
	for _, cmd := range commands {
		cmd.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return runningTargets(o), cobra.ShellCompDirectiveNoFileComp
		}
	}
}

// completeSizes offers the apps of the running cluster that no argument names yet, to
// be followed by a number.
func completeSizes(o *options, cmd *cobra.Command) {
	cmd.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) (sizes []string, _ cobra.ShellCompDirective) {
		for _, a := range running(o) {
			if !slices.ContainsFunc(args, func(arg string) bool { return strings.HasPrefix(arg, a.Name+"=") }) {
				sizes = append(sizes, cobra.CompletionWithDesc(a.Name+"=", fmt.Sprintf("now %d", a.InstancesWanted)))
			}
		}
		return sizes, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
}

// runningTargets are the targets that there are; none where no cluster answers.
func runningTargets(o *options) (targets []string) {
	for _, a := range running(o) {
		targets = append(targets, a.Name)
		for _, in := range a.Instances {
			targets = append(targets, in.ID)
		}
	}
	return targets
}

// running are the apps of the running cluster; none where no cluster answers.
func running(o *options) []proc.AppSnapshot {
	ctx, cancel := context.WithTimeout(context.Background(), completionWait)
	defer cancel()
	place, err := o.place()
	if err != nil {
		return nil
	}
	c, err := control.Dial(ctx, place)
	if err != nil {
		return nil
	}
	defer c.Close()
	s, err := c.Snapshot(ctx)
	if err != nil {
		return nil
	}
	return s.Apps
}
