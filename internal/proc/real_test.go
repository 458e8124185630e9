package proc

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"clusterd/internal/config"
)

// patience is how long a test waits for what has to happen: much longer than
// it takes on the slowest machine.
const patience = 90 * time.Second

// theLauncher is shared: a process can have only one.
var theLauncher = sync.OnceValues(func() (*launcher, error) { return newLauncher() })

// realLauncher returns the launcher, and fails the test when it leaves a
// process or an open file behind.
func realLauncher(t *testing.T) *launcher {
	t.Helper()
	l, err := theLauncher()
	if err != nil {
		t.Fatal(err)
	}
	if r, w, err := os.Pipe(); err == nil { // the runtime's poller keeps files of its own
		r.Close()
		w.Close()
	}
	before := openFiles()
	t.Cleanup(func() {
		eventually(t, "all processes to be gone", func() any { return marked() }, func() bool { return len(marked()) == 0 })
		var left []int
		eventually(t, "all children to be reaped", func() any { return left }, func() bool {
			var err error
			left, err = children(os.Getpid())
			left = slices.DeleteFunc(left, l.guard.is)
			return err == nil && len(left) == 0
		})
		eventually(t, "all files to be closed", func() any { return openFiles() },
			func() bool { return len(openFiles()) <= len(before) })
	})
	return l
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, is func() any, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s: %v", what, is())
		}
	}
}

// openFiles are the descriptors of this process.
func openFiles() []string {
	var out []string
	fds, _ := filepath.Glob("/proc/self/fd/*")
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil {
			out = append(out, filepath.Base(fd)+" "+to)
		}
	}
	return out
}

// marked are the living processes of runs of this process, wherever they are.
func marked() []int {
	mark := fmt.Appendf(nil, "%s%s.", runVariable, token)
	var out []int
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		env, err := os.ReadFile(dir + "/environ")
		if err != nil {
			continue
		}
		for kv := range bytes.SplitSeq(env, []byte{0}) {
			if bytes.HasPrefix(kv, mark) {
				pid, _ := strconv.Atoi(filepath.Base(dir))
				out = append(out, pid)
			}
		}
	}
	return out
}

// job is an app whose instances are this test binary.
func job(name string, instances int, what string) config.App {
	a := worker(name, instances)
	a.Command = config.Command{Argv: []string{self()}}
	a.Env = map[string]string{childVariable: what}
	return a
}

// realCluster is a cluster of real processes under test.
type realCluster struct {
	*Cluster
	t      *testing.T
	stop   context.CancelFunc
	result chan error
}

func runReal(t *testing.T, untilDone bool, apps ...config.App) *realCluster {
	t.Helper()
	return runRealConfig(t, untilDone, &config.Config{Name: "test", Path: "/test/cluster.toml", Dir: "/", Apps: apps})
}

func runRealConfig(t *testing.T, untilDone bool, cfg *config.Config) *realCluster {
	t.Helper()
	l := realLauncher(t)
	c := newCluster(cfg, "v0", system{start: l.start, run: l.run, sweep: l.sweep, jitter: func() float64 { return 0.5 }, machine: ThisMachine, watch: watchUntil})
	ctx, stop := context.WithCancel(context.Background())
	r := &realCluster{Cluster: c, t: t, stop: stop, result: make(chan error, 1)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.result <- c.Run(ctx, untilDone)
	}()
	t.Cleanup(func() {
		stop()
		c.Kill()
		<-ended
	})
	return r
}

// ends waits for the end of Run, after which nothing may be alive.
func (r *realCluster) ends() error {
	r.t.Helper()
	select {
	case err := <-r.result:
		if left := marked(); len(left) > 0 {
			r.t.Errorf("processes %v outlive Run", left)
		}
		return err
	case <-time.After(patience):
		r.t.Fatal("Run does not end")
		return nil
	}
}

// says waits until an instance has written that many lines with a text, and
// returns them.
func (r *realCluster) says(id, text string, times int) []string {
	r.t.Helper()
	deadline := time.After(patience)
	for {
		page, _ := r.Logs(context.Background(), LogQuery{})
		var found []string
		for _, l := range page.Lines {
			if l.Instance == id && strings.Contains(l.Text, text) {
				found = append(found, l.Text)
			}
		}
		if len(found) >= times {
			return found
		}
		select {
		case <-r.LogsChanged(page.Next):
		case <-deadline:
			r.t.Fatalf("%s does not say %q: %v", id, text, page.Lines)
		}
	}
}

// becomes waits until a snapshot is as it should be.
func (r *realCluster) becomes(what string, ok func(*Snapshot) bool) *Snapshot {
	r.t.Helper()
	var s *Snapshot
	eventually(r.t, what, func() any { return s.Apps }, func() bool {
		var err error
		if s, err = r.Snapshot(context.Background()); err != nil {
			r.t.Fatal(err)
		}
		return ok(s)
	})
	return s
}

func (r *realCluster) act(verb Verb, targets ...string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.Do(ctx, Action{Verb: verb, Targets: targets}); err != nil {
		r.t.Fatalf("%s %v: %v", verb, targets, err)
	}
}

func pointer(p *int32) uintptr { return uintptr(unsafe.Pointer(p)) }

// Whatever way an instance ends, all of its processes end: those in its group,
// those in a session of their own, and daemons that are nobody's child.
func TestFamilyEndsTogether(t *testing.T) {
	for name, end := range map[string]func(r *realCluster, pid int){
		"stop":          func(r *realCluster, _ int) { r.act(VerbStop) },
		"kill action":   func(r *realCluster, _ int) { r.act(VerbKill) },
		"leader killed": func(_ *realCluster, pid int) { _ = syscall.Kill(pid, syscall.SIGKILL) },
		"graceful stop": func(r *realCluster, _ int) { r.stop() },
		"kill":          func(r *realCluster, _ int) { r.Kill() },
	} {
		t.Run(name, func(t *testing.T) {
			a := job("a", 1, "family")
			a.Restart, a.StopTimeout = config.RestartNever, 50*time.Millisecond
			r := runReal(t, false, a)
			r.says("a/0", "family complete", 1)
			r.says("a/0", "deaf", 3)
			s := r.becomes("a pid", func(s *Snapshot) bool { return s.Apps[0].Instances[0].PID != nil })
			leader := *s.Apps[0].Instances[0].PID
			if n := len(marked()); n != 4 {
				t.Fatalf("%d processes, want 4", n)
			}
			end(r, leader)
			if strings.HasPrefix(name, "graceful") || name == "kill" {
				if err := r.ends(); err != nil {
					t.Error(err)
				}
				return
			}
			r.becomes("the end", func(s *Snapshot) bool {
				state := s.Apps[0].Instances[0].State
				return state == StateFailed || state == StateStopped
			})
			if left := marked(); len(left) > 0 {
				t.Errorf("processes %v are left of an instance that has ended", left)
			}
		})
	}
}

// A child that keeps the output open does not keep the instance from ending.
func TestLeftoverWithTheOutput(t *testing.T) {
	a := job("a", 1, "leave")
	a.Restart = config.RestartNever
	r := runReal(t, true, a)
	err := r.ends()
	if err == nil || !strings.HasPrefix(err.Error(), `a/0 failed: exit 3, restart = "never"`) {
		t.Errorf("Run says %v", err)
	}
}

// Nor does a stranger that keeps it open, whom nobody may kill.
func TestStrangerWithTheOutput(t *testing.T) {
	r := runReal(t, false, job("a", 1, "wait"))
	r.says("a/0", "waiting", 1)
	s := r.becomes("a pid", func(s *Snapshot) bool { return s.Apps[0].Instances[0].PID != nil })
	out, err := os.OpenFile(fmt.Sprintf("/proc/%d/fd/1", *s.Apps[0].Instances[0].PID), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	r.stop()
	if err := r.ends(); err != nil {
		t.Error(err)
	}
}

// Who has left the group and has no parent any more gets the stop signal all the same,
// and need not be killed.
func TestOrphansAreToldToStop(t *testing.T) {
	a := job("a", 1, "polite-family")
	a.StopTimeout = time.Hour
	r := runReal(t, false, a)
	r.says("a/0", "polite", 2)
	r.act(VerbStop)
	if left := marked(); len(left) > 0 {
		t.Errorf("processes %v are left of an instance that is stopped", left)
	}
	if n := len(r.says("a/0", "polite bye", 2)); n != 2 {
		t.Errorf("%d processes have ended by themselves, want 2", n)
	}
}

func TestDeafProcessIsKilled(t *testing.T) {
	a := job("a", 1, "deaf")
	a.StopTimeout = 20 * time.Millisecond
	r := runReal(t, false, a)
	r.says("a/0", "deaf", 1)
	r.act(VerbStop)
	s := r.becomes("the end", func(s *Snapshot) bool { return s.Apps[0].State == StateStopped })
	if e := s.Apps[0].Instances[0].LastExit; e.Signal != "SIGKILL" || e.Code != -1 {
		t.Errorf("last exit %+v, want SIGKILL", e)
	}
	r.says("a/0", "did not stop within 20ms of SIGTERM; killing it", 1)
}

// What a process writes last is in the log before it is said that it ended.
func TestLastWordsComeBeforeTheEnd(t *testing.T) {
	a := worker("a", 20)
	a.Command = config.Command{Shell: "/bin/sh", Line: "echo first; echo last >&2; exit 4"}
	a.Restart = config.RestartNever
	r := runReal(t, true, a)
	err := r.ends()
	if err == nil || strings.Count(err.Error(), `exit 4, restart = "never"; last output: `) != 20 {
		t.Errorf("Run says %v", err)
	}
	page, _ := r.Logs(context.Background(), LogQuery{})
	for i := range 20 {
		var got []string
		for _, l := range page.Lines {
			if l.Instance == fmt.Sprintf("a/%d", i) && (l.Stream != StreamEvent || strings.HasPrefix(l.Text, "exited")) {
				got = append(got, strings.Fields(l.Text)[0])
			}
		}
		if len(got) != 3 || got[2] != "exited" {
			t.Errorf("a/%d: %q, want both lines before its exit", i, got)
		}
	}
}

// Instances that come and go all the time leave nothing behind; realLauncher
// counts.
func TestFlapping(t *testing.T) {
	a := worker("a", 4)
	a.Command = config.Command{Shell: "/bin/sh", Line: "exit 1"}
	a.MaxRestarts, a.BackoffMin, a.BackoffMax = 0, time.Millisecond, time.Millisecond
	r := runReal(t, false, a)
	r.becomes("25 restarts of each", func(s *Snapshot) bool {
		return !slices.ContainsFunc(s.Apps[0].Instances, func(i InstanceSnapshot) bool { return i.Restarts < 25 })
	})
	r.stop()
	if err := r.ends(); err != nil {
		t.Error(err)
	}
}

func TestManyInstances(t *testing.T) {
	const n = 200
	a := worker("a", n)
	a.Command = config.Command{Argv: []string{"sleep", "120"}}
	r := runReal(t, false, a)
	s := r.becomes("all to be ready", func(s *Snapshot) bool { return s.Apps[0].Ready == n })
	pids := map[int]bool{}
	for _, i := range s.Apps[0].Instances {
		pids[*i.PID] = true
	}
	if len(pids) != n || len(marked()) != n {
		t.Errorf("%d pids and %d processes, want %d", len(pids), len(marked()), n)
	}
	r.stop()
	if err := r.ends(); err != nil {
		t.Error(err)
	}
}

func itoa(n int) string { return strconv.Itoa(n) }

func mkfifo(path string) error { return syscall.Mkfifo(path, 0o600) }

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0); err != nil {
		t.Fatal(err)
	}
}
