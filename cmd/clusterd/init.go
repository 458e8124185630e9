package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"clusterd/internal/config"
	"clusterd/internal/starter"
)

func initCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "init",
		Short: "Write a first config file, from what other managers know of the project",
		Long: `Writes a commented cluster.toml for the project in the same folder. What runs there
is taken from the first of these that there is: process-compose.yaml,
ecosystem.config.json (pm2), Procfile, package.json. A file that exists already is
never changed.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := os.Lstat(o.config); err == nil {
				return failed(fmt.Errorf("%s exists already, and is left as it is", o.config))
			}
			plan, err := starter.Look(filepath.Dir(o.config))
			if err != nil {
				return failed(err)
			}
			if err := writeNew(o.config, plan.Text()); err != nil {
				return failed(err)
			}
			out := cmd.OutOrStdout()
			from := "; there was nothing to take it from, so write into it what to run"
			if plan.Source != "" {
				from = " from " + plan.Source
			}
			fmt.Fprintf(out, "wrote %s%s\n", o.config, from)
			for _, n := range plan.Notes {
				fmt.Fprintf(out, "not translated: %s\n", n)
			}
			if _, err := config.Load(o.config); err != nil {
				fmt.Fprintln(out, "what has to be corrected in it:")
				return &exitError{exitUsage, err}
			}
			_, err = fmt.Fprintf(out, "see what it would run: clusterd check -c %s\n", o.config)
			return failed(err)
		},
	}
}

// writeNew makes a file, and never overwrites one.
func writeNew(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists already, and is left as it is", path)
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
