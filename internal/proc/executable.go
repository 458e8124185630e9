package proc

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"clusterd/internal/cgroup"
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
		if err := cmp.Or(startable(a.config, os.Environ()), Limitable(a.config)); err != nil {
			errs = append(errs, fmt.Errorf("start %s: %w", a.config.Name, err))
		}
	}
	return errors.Join(errs...)
}

// Limitable says why the processes of an app cannot be limited here as its config has
// it.
func Limitable(a config.App) error {
	if a.Limits.CPU == 0 {
		return nil
	}
	if err := cgroup.Find().CPU(); err != nil {
		return fmt.Errorf("limits.cpu = %g: %w; it takes %s", a.Limits.CPU, err, cgroup.Takes)
	}
	return nil
}

// startable tells why the program of an app cannot be executed. Of a command
// for the shell it is the shell that is looked at; what the command itself
// comes to, only the shell can tell. inherited is the environment to which the
// app adds its own.
func startable(a config.App, inherited []string) error {
	env := inherited
	for _, vars := range []map[string]string{a.FileEnv, a.Env} {
		if path, ok := vars["PATH"]; ok {
			env = append(slices.Clip(env), "PATH="+path)
		}
	}
	_, err := executable(a.Command.Args()[0], a.Cwd, env)
	return err
}

// executable finds the file to execute for a process that will start in dir,
// and says why there is none or dir is no place to start in, as far as that can
// be seen without doing it. It blocks for as long as the file systems of both
// do.
func executable(name, dir string, env []string) (string, error) {
	if err := dirError(dir); err != nil {
		return "", err
	}
	file, err := lookPath(name, dir, env)
	if err != nil {
		return "", err
	}
	err = unix.Access(file, unix.X_OK)
	if st, statErr := os.Stat(file); statErr == nil && st.IsDir() {
		err = unix.EISDIR // which may be entered, but not executed
	}
	if err != nil {
		return "", execError(file, dir, err)
	}
	return file, nil
}

// lookPath finds the file to execute as execvp(3) would with the PATH of env,
// for a process that will start in dir.
func lookPath(name, dir string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		return name, nil // execve says best what is wrong with it
	}
	path := "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, "PATH="); ok {
			path = v
		}
	}
	for d := range strings.SplitSeq(path, ":") {
		if !filepath.IsAbs(d) {
			d = filepath.Join(dir, d)
		}
		file := filepath.Join(d, name)
		if st, err := os.Stat(file); err == nil && st.Mode().IsRegular() && unix.Access(file, unix.X_OK) == nil {
			return file, nil
		}
	}
	return "", &CommandError{Command: name, Problem: "not found in PATH (" + path + ")"}
}

// CommandError says why a command cannot be executed: a mistake in the command,
// or in what it names.
type CommandError struct{ Command, Problem string }

func (e *CommandError) Error() string { return fmt.Sprintf("command %q: %s", e.Command, e.Problem) }

// execError says which of the things that execve(2) reports by one errno it
// was. What is no fault of the command, like a lack of memory or a file that is
// being written, is no *CommandError.
func execError(path, dir string, err error) error {
	if err := dirError(dir); err != nil {
		return err
	}
	st, statErr := os.Stat(path)
	var problem string
	switch {
	case errors.Is(err, unix.ENOENT) && errors.Is(statErr, fs.ErrNotExist):
		problem = "no such file"
	case errors.Is(err, unix.ENOENT):
		problem = "its interpreter or loader does not exist (see the first line of a script)"
	case errors.Is(err, unix.EISDIR), errors.Is(err, unix.EACCES) && statErr == nil && st.IsDir():
		problem = "is a directory"
	case errors.Is(err, unix.EACCES):
		problem = "not executable, or in a folder that may not be entered (chmod +x?)"
	case errors.Is(err, unix.ENOEXEC):
		problem = "neither a program for this machine nor a script with a #! line"
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENAMETOOLONG):
		problem = err.Error()
	default:
		return fmt.Errorf("execute %s: %w", path, err)
	}
	return &CommandError{Command: path, Problem: problem}
}

// dirError says why no process can start in dir; nil when one can.
func dirError(dir string) error {
	st, err := os.Stat(dir)
	switch {
	case err != nil:
		return fmt.Errorf("working directory: %w", err)
	case !st.IsDir():
		return fmt.Errorf("working directory: %s is not a directory", dir)
	case unix.Access(dir, unix.X_OK) != nil:
		return fmt.Errorf("working directory: %s may not be entered (chmod +x?)", dir)
	}
	return nil
}
