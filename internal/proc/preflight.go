package proc

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"clusterd/internal/config"
)

// preflight looks for what would keep apps from ever being started, before
// anything is started and any port taken: all of it at once, as with the
// mistakes of a config.
func (c *Cluster) preflight() error {
	var errs []error
	for _, a := range c.apps {
		if !a.config.Autostart || len(a.instances) == 0 {
			continue
		}
		if err := startable(a.config, os.Environ()); err != nil {
			errs = append(errs, fmt.Errorf("start %s: %w", a.config.Name, err))
		}
	}
	return errors.Join(errs...)
}

// startable tells why the program of an app cannot be executed, as far as that
// can be seen without doing it: the working directory and the program have to
// be there. Of a command for the shell it is the shell that is looked at; what
// the command itself comes to, only the shell can tell. inherited is the
// environment to which the app adds its own.
func startable(a config.App, inherited []string) error {
	if err := dirError(a.Cwd); err != nil {
		return err
	}
	env := inherited
	if path, ok := a.Env["PATH"]; ok {
		env = append(slices.Clip(env), "PATH="+path)
	}
	file, err := lookPath(a.Command.Args()[0], a.Cwd, env)
	if err != nil {
		return err
	}
	err = unix.Access(file, unix.X_OK)
	if st, statErr := os.Stat(file); statErr == nil && st.IsDir() {
		err = unix.EISDIR // which may be entered, but not executed
	}
	if err != nil {
		return execError(file, a.Cwd, err)
	}
	return nil
}
