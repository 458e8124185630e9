package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"clusterd/internal/cgroup"
)

// group is a control group of version 2 for what is measured apart from all else, as
// a service has one.
type group struct{ folder *os.File }

// newGroup makes a group below that of this process.
func newGroup(name string) (*group, error) {
	own := cgroup.Find()
	if own.Err != nil {
		return nil, fmt.Errorf("each server is to have a control group of its own: %w", own.Err)
	}
	dir := filepath.Join(own.Dir, fmt.Sprintf("clusterd-bench-%d-%s", os.Getpid(), name))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, fmt.Errorf("each server is to have a control group of its own: %w", err)
	}
	folder, err := os.Open(dir)
	if err != nil {
		return nil, errors.Join(err, os.Remove(dir))
	}
	return &group{folder}, nil
}

// take has a command start in the group (Linux 5.7 and newer); what it starts will be
// there as well.
func (g *group) take(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(g.folder.Fd())
}

// remove removes the group when its processes have ended, for which it waits: what
// clusterd started may end a little later than clusterd. It makes no groups of its own
// in there, since none of its apps has a limit of CPUs.
func (g *group) remove() error {
	defer g.folder.Close()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		err := unix.Rmdir(g.folder.Name())
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			return fmt.Errorf("remove %s: %w", g.folder.Name(), err)
		}
	}
}
