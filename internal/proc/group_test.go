package proc

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"clusterd/internal/cgroup"
)

// groupOf makes the control group of a run, as that of an app with limits.cpu, but
// without the limit.
func groupOf(t *testing.T, run string) (group cgroup.Group, dir *os.File) {
	t.Helper()
	o := cgroup.Find()
	if o.Err != nil {
		t.Skipf("SKIPPED, NOT TESTED: no control groups can be made here: %v", o.Err)
	}
	path := filepath.Join(o.Dir, "clusterd-run-"+run)
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	dir, err := os.OpenFile(path, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		dir.Close()
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s is left behind", path)
		}
	})
	return o.Group(run), dir
}

// stranger is a process in a group of which nothing else tells whose it is.
func stranger(t *testing.T, dir *os.File) (pid int) {
	t.Helper()
	cmd := exec.Command("sleep", "600")
	cmd.Env = []string{}
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd()), Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = cmd.Wait() }() // or the launcher reaps it
	return cmd.Process.Pid
}

// Of an instance that has a control group, everything in that ends, and then the group.
func TestGroupEndsWithItsRun(t *testing.T) {
	l := realLauncher(t)
	run := runName()
	group, dir := groupOf(t, run)
	p, err := l.fork(launch{path: "/bin/sleep", args: []string{"sleep", "600"}, env: []string{runVariable + run}, dir: "/", run: run, group: dir,
		files: []uintptr{discard(t).Fd(), discard(t).Fd(), discard(t).Fd()}})
	if err != nil {
		t.Fatal(err)
	}
	lost := stranger(t, dir)
	ended := make(chan struct{})
	ctx, hurry := context.WithCancel(t.Context())
	go func() {
		defer close(ended)
		p.End(ctx)
	}()
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	p.Exited()
	if unix.Kill(lost, 0) != nil || !group.Populated() {
		t.Error("the stranger is gone before it is killed")
	}
	hurry()
	<-ended
	eventually(t, "the stranger to be gone", func() any { return lost }, func() bool { return unix.Kill(lost, 0) == unix.ESRCH })
}

// The guardian ends all groups of the clusterd that it has outlived, and no others.
func TestGuardianEndsGroups(t *testing.T) {
	l := realLauncher(t)
	other, otherDir := groupOf(t, "another.1")
	group, dir := groupOf(t, "killed.1")
	lives, lost := stranger(t, otherDir), stranger(t, dir)
	newWard("killed", 0).end()
	eventually(t, "the stranger to be gone", func() any { return lost }, func() bool { return unix.Kill(lost, 0) == unix.ESRCH })
	if group.Populated() || !other.Populated() || l.isLeader(lives) {
		t.Error("the wrong group was ended")
	}
	newWard("another", 0).end()
}
