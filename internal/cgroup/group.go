package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// prefix begins the name of the group of a run.
const prefix = "clusterd-run-"

// Group is the group of one run, which need not exist: then nothing is in it.
type Group struct{ dir string }

// Group is that of a run.
func (o Own) Group(run string) Group {
	if o.Dir == "" {
		return Group{}
	}
	return Group{filepath.Join(o.Dir, prefix+run)}
}

// GroupsOf lists those of all runs whose names begin like this.
func (o Own) GroupsOf(runs string) (out []Group) {
	entries, _ := os.ReadDir(o.Dir) // what cannot be read has none
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), prefix+runs) {
			out = append(out, Group{filepath.Join(o.Dir, e.Name())})
		}
	}
	return out
}

// Limited makes the group of a run, whose processes get at most so many CPUs. It is to
// be given to clone3(2) (CLONE_INTO_CGROUP, Linux 5.7), and closed by the caller; when
// nothing is left of the run, Remove it.
func (o Own) Limited(run string, cpus float64) (*os.File, error) {
	if err := o.divide(); err != nil {
		return nil, err
	}
	g := o.Group(run)
	f, err := g.make()
	if err == nil {
		if err = limit(g.dir, cpus); err != nil {
			f.Close()
			_ = g.Remove()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("make a control group: %w", err)
	}
	return f, nil
}

func (g Group) make() (*os.File, error) {
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		return nil, err
	}
	return os.OpenFile(g.dir, unix.O_PATH|unix.O_DIRECTORY, 0)
}

// Kill ends every process in the group and those below it with SIGKILL, also what is
// being forked (cgroup.kill, Linux 5.14; older kernels have an error for it).
func (g Group) Kill() error {
	if g.dir == "" {
		return nil
	}
	if err := write(g.dir, "cgroup.kill", "1"); err != nil && !g.gone() {
		return err
	}
	return nil
}

// Populated tells whether a process in the group or below it is alive.
func (g Group) Populated() bool { return g.dir != "" && hasLine(g.dir, "cgroup.events", "populated 1") }

func hasLine(dir, file, line string) bool {
	text, err := os.ReadFile(filepath.Join(dir, file))
	return err == nil && strings.Contains("\n"+string(text), "\n"+line+"\n")
}

// Remove removes the group and those below it, in which nothing may be alive.
func (g Group) Remove() error {
	if g.dir == "" || g.gone() {
		return nil
	}
	entries, err := os.ReadDir(g.dir)
	for _, e := range entries {
		if e.IsDir() {
			err = errors.Join(err, Group{filepath.Join(g.dir, e.Name())}.Remove())
		}
	}
	if err != nil {
		return err
	}
	if err := unix.Rmdir(g.dir); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove %s: %w", g.dir, err)
	}
	return nil
}

func (g Group) gone() bool {
	_, err := os.Stat(g.dir)
	return errors.Is(err, os.ErrNotExist)
}
