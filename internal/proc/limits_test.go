package proc

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"clusterd/internal/config"
)

// grow makes a process use so much memory.
func (p *fakeProcess) grow(bytes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pages = uint64(bytes / os.Getpagesize())
}

// Too much memory is answered like a crash: with the reason, as the restart
// policy has it.
func TestMemoryLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := worker("a", 1)
		a.Limits.Memory = 64 << 20
		f := runFake(t, false, func(n int, p *fakeProcess) error {
			p.pages = 1
			return nil
		}, a)
		f.os.last("a/0").grow(64 << 20)
		f.after(20 * time.Second)
		f.is("a/0", StateReady, "")
		f.os.last("a/0").grow(96 << 20)
		f.after(30 * time.Second)
		f.is("a/0", StateReady, "")
		if i := f.instance("a/0"); i.Generation != 2 || i.Restarts != 1 {
			t.Errorf("%+v", i)
		}
		want := []string{
			"21s a/0 used 96 MiB of memory, more than its limit of 64 MiB; ending it",
			"21s a/0 used 96 MiB of memory, more than its limit of 64 MiB; was killed by SIGTERM after 21s; restarting at once",
			"21s a/0 started, pid 9000002",
		}
		if diff := cmp.Diff(want, f.events()[1:]); diff != "" {
			t.Error(diff)
		}
	})
}

// A user who stops what is being ended for its memory has it stopped.
func TestStopDuringMemoryRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := worker("a", 1)
		a.Limits.Memory = 64 << 20
		f := runFake(t, false, func(n int, p *fakeProcess) error {
			p.pages, p.deaf = 1<<20, true
			return nil
		}, a)
		f.after(2 * time.Second)
		f.is("a/0", StateStopping, "used 4.0 GiB of memory, more than its limit of 64 MiB")
		stopped := f.begins(VerbStop)
		f.after(20 * time.Second)
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		f.is("a/0", StateStopped, "")
		if n := len(f.os.started()); n != 1 {
			t.Errorf("%d processes were started", n)
		}
	})
}

func TestMemoryLimitWithoutRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := worker("a", 1)
		a.Limits.Memory, a.Restart = 64<<20, config.RestartNever
		f := runFake(t, false, func(n int, p *fakeProcess) error {
			p.pages = 1 << 20
			return nil
		}, a)
		f.after(2 * time.Second)
		f.is("a/0", StateFailed, `used 4.0 GiB of memory, more than its limit of 64 MiB, restart = "never"`)
	})
}

// What a process is to be given it has before its command runs, and so from its
// first instruction on.
func TestProcessIsSetUp(t *testing.T) {
	dir := t.TempDir()
	a := worker("a", 1)
	a.Restart = config.RestartNever
	a.Command = config.Command{Line: `ulimit -Sn; umask; echo "$FILE $BOTH"; id -u; echo $HOME`, Shell: "/bin/sh"}
	a.Cwd = dir
	a.Umask = new(0o27)
	a.Limits.Nofile = 321
	a.FileEnv = map[string]string{"FILE": "file", "BOTH": "file"}
	a.Env = map[string]string{"BOTH": "env"}
	want := []string{"321", "0027", "file env", "0", os.Getenv("HOME")}
	if os.Geteuid() == 0 {
		a.RunAs = &config.Identity{User: "nobody", Home: "/nonexistent", UID: 65534, GID: 65534, Groups: []uint32{65534}}
		want[3], want[4] = "65534", "/nonexistent"
	} else {
		want[3] = ""
	}
	r := runReal(t, true, a)
	if err := r.ends(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range r.journal.page(LogQuery{}).Lines {
		if l.Stream != StreamEvent {
			got = append(got, l.Text)
		}
	}
	if len(got) > 3 && os.Geteuid() != 0 {
		got[3] = ""
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// What looks at an instance from beside it is no other user than it is.
func TestChecksAreSetUp(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	a := worker("a", 1)
	a.Command = config.Command{Argv: []string{"sleep", "1000"}}
	a.Umask = new(0o27)
	a.RunAs = &config.Identity{User: "nobody", UID: 65534, GID: 65534}
	a.Ready = byExec(a.Ready)
	a.Ready.Exec = config.Command{Line: `test "$(id -u) $(id -g) $(umask)" = "65534 65534 0027"`, Shell: "/bin/sh"}
	a.Ready.Interval = 10 * time.Millisecond
	r := runReal(t, false, a)
	r.becomes("ready", func(s *Snapshot) bool { return s.Apps[0].Ready == 1 })
}

// A program that another user may not execute is a failure that says so.
func TestSetUpProcessCannotExecute(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	script := filepath.Join(t.TempDir(), "run.sh")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	a := worker("a", 1)
	a.Restart = config.RestartNever
	a.Command = config.Command{Argv: []string{script}}
	a.RunAs = &config.Identity{User: "nobody", UID: 65534, GID: 65534}
	r := runReal(t, true, a)
	err := r.ends()
	if err == nil || !strings.HasSuffix(err.Error(), "; last output: clusterd: cannot start: execute "+script+": permission denied") {
		t.Error(err)
	}
}
