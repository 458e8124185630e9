package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"clusterd/internal/control"
	"clusterd/internal/proc"
)

func scaleCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "scale APP=N…",
		Short: "Change how many instances an app has",
		Long: `Starts instances, and returns when they are ready, or stops those with the
highest indexes once they have answered what they were asked, and returns when
they are gone. No connection is lost. The config file is not changed.`,
		Example: "  clusterd scale web=6 api=2",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			sizes, err := parseSizes(args)
			if err != nil {
				return err
			}
			return o.talk(func(ctx context.Context, c *control.Client) error {
				err := c.Do(ctx, proc.Action{Verb: proc.VerbScale, Sizes: sizes})
				if ctx.Err() != nil {
					return errors.New("interrupted; clusterd goes on to scale what it was asked to")
				}
				return err
			})
		},
	}
	completeSizes(o, cmd)
	return cmd
}

// parseSizes reads arguments like "web=6". Whether there can be so many is
// clusterd's to say.
func parseSizes(args []string) (map[string]int, error) {
	sizes := map[string]int{}
	for _, arg := range args {
		name, number, ok := strings.Cut(arg, "=")
		n, err := strconv.Atoi(number)
		if !ok || name == "" || err != nil || n < 0 {
			return nil, fmt.Errorf("%q is not APP=N, such as web=6", arg)
		}
		if _, twice := sizes[name]; twice {
			return nil, fmt.Errorf("%s is given two numbers of instances", name)
		}
		sizes[name] = n
	}
	return sizes, nil
}
