package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// Under load, clusterd is replaced again and again: no client notices, nothing is
// restarted, and every request is counted.
func TestUpgradeUnderLoad(t *testing.T) {
	eachUser(t, func(t *testing.T, w *workspace) {
		near, far := w.port(), w.port()
		w.configure(web(near, 2, `listen = "adopt"`), app("behind", "http", fmt.Sprintf("port = %d\ninstances = 2\nlisten = \"relay\"", far)),
			app("job", "sleep", "instances = 2"))
		d := w.start()
		d.awaitReady(6)
		pid := d.pid()
		_, before := w.processes()
		loads := []*load{startLoad(near, false), startLoad(far, false)}
		slow := begin(far, "/slow")
		d.awaitLine("slow request begun")
		for range 3 {
			for _, l := range loads {
				l.goesOn(d)
			}
			if out := w.must("upgrade"); !strings.HasSuffix(out, fmt.Sprintf(", as pid %d\n", pid)) {
				t.Errorf("upgrade says %q", out)
			}
		}
		all, after := w.processes()
		if !slices.Equal(before, after) {
			t.Errorf("the instances were %v, and are %v", before, after)
		}
		for _, in := range all {
			if in.Restarts != 0 || in.Generation != 1 {
				t.Errorf("%+v", in)
			}
		}
		w.must("reload", "behind")
		if a := receive(t, slow); a.err != nil || a.body != "slow but sure" {
			t.Errorf("a request under way was answered with %q, %v", a.body, a.err)
		}
		served := loads[1].end(t)
		direct := loads[0].end(t)
		d.awaitStatus("every request behind the relay to be counted", func(s status) bool {
			return *s.app("behind").RequestsTotal == uint64(served+1)
		})
		if w.status().app("web").Count == "ebpf" {
			d.awaitStatus("every request to be counted in the kernel", func(s status) bool {
				return *s.app("web").RequestsTotal == uint64(direct)
			})
		}
		d.stop()
	})
}

// processes are those of all instances.
func (w *workspace) processes() (all []instanceStatus, pids []int) {
	w.t.Helper()
	for _, a := range w.status().Apps {
		for _, in := range a.Instances {
			all = append(all, in)
			if in.PID != nil {
				pids = append(pids, *in.PID)
			}
		}
	}
	return all, pids
}

// What ends while clusterd is being replaced is noticed, and so is what happens
// later: output, restarts, and the end of clusterd.
func TestUpgradeGoesOn(t *testing.T) {
	eachUser(t, func(t *testing.T, w *workspace) {
		port := w.port()
		w.configure(web(port, 2, `listen = "adopt"`), app("job", "sleep"), app("flaky", "crash", `backoff_min = "100ms"`, "max_restarts = 0"),
			app("late", "sleep", `ready = { exec = ["test", "-e", "late"], interval = "50ms", timeout = "5m" }`))
		d := w.start()
		d.awaitReady(3)
		waited := make(chan result, 1)
		go func() { waited <- w.run("wait", "late") }()
		for n := 1; n <= 5; n++ {
			victim := *w.status().instance("job/0").PID
			ended := make(chan error, 1)
			go func() { ended <- syscall.Kill(victim, syscall.SIGKILL) }()
			w.must("upgrade")
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
			s := d.awaitStatus("the job to be started again", func(s status) bool {
				in := s.instance("job/0")
				return in.State == "ready" && *in.PID != victim
			})
			if in := s.instance("job/0"); in.Restarts != n || in.LastExit == nil || in.LastExit.Signal != "SIGKILL" {
				t.Errorf("after %d: %+v", n, in)
			}
		}
		w.write("late", "")
		if r := <-waited; r.code != 0 {
			t.Errorf("who waits is told %q", r.stderr)
		}
		if s := w.status(); s.instance("flaky/0").Restarts == 0 {
			t.Error("what crashes is not started again")
		}
		mustGet(t, port, "/")
		w.must("reload", "web")
		mustGet(t, port, "/")
		if out := w.must("logs", "-n", "1000"); strings.Count(out, "sleeping, pid") < 5 {
			t.Errorf("output is missing: %s", out)
		}
		d.stop()
	})
}

// What an instance accepts is counted for it, if it was not ready yet at an upgrade.
func TestUpgradeWhileStarting(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	port := w.port()
	w.configure(web(port, 1, `count = "kernel"`, `ready = { exec = ["test", "-e", "late"], interval = "50ms", timeout = "5m" }`))
	d := w.start()
	d.awaitEvent(`^\S+ web/0 started, pid`) // the cluster answers by then
	d.awaitStatus("it to listen", func(s status) bool { return s.instance("web/0").Queue != nil })
	w.must("upgrade")
	w.write("late", "")
	d.awaitReady(1)
	clients := w.dialMany(fmt.Sprintf("127.0.0.1:%d", port), 5)
	d.awaitStatus("what it has accepted to be counted", func(s status) bool {
		n := s.instance("web/0").ConnectionsTotal
		return n != nil && *n == uint64(len(clients))
	})
	d.stop()
}

// Whoever fails a check and serves all the same, as nobody else could, goes on to.
func TestUpgradeWhileAiling(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	port := w.port()
	w.configure(web(port, 1, `listen = "relay"`, `health = { http = "/health", interval = "100ms", failures = 1000 }`))
	d := w.start()
	d.awaitReady(1)
	w.write("sick-0", "")
	d.awaitEvent(`^\S+ web/0 unready: .*; no other instance could take its connections$`)
	mustGet(t, port, "/")
	w.must("upgrade")
	if in := w.status().instance("web/0"); in.State != "unready" {
		t.Errorf("after the upgrade: %+v", in)
	}
	mustGet(t, port, "/")
	d.stop()
}

// A program that cannot take over changes nothing.
func TestUpgradeToWhatCannotTakeOver(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	program := filepath.Join(w.dir, "clusterd")
	if err := copyFile(program, clusterdBinary); err != nil {
		t.Fatal(err)
	}
	port := w.port()
	w.configure(web(port, 1))
	d := w.prepare()
	d.cmd.Path = program
	d.begin()
	d.awaitReady(1)
	for _, c := range []struct{ script, says string }{
		{"#!/bin/sh\necho 0 v0\n", `version v0, at \S+/clusterd, takes over format "0", and the running version \S+ has format \d+; replace it by: clusterd down, clusterd; nothing has been changed`},
		{"#!/bin/sh\nexit 1\n", `the program \S+/clusterd does not say whether it can take over: exit status 1; nothing has been changed`},
		{"", `the program \S+/clusterd does not say whether it can take over: .*no such file or directory; nothing has been changed`},
	} {
		if err := os.Remove(program); err != nil {
			t.Fatal(err)
		}
		if c.script != "" {
			if err := os.Chmod(w.write("clusterd", c.script), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if r := w.run("upgrade"); r.code != 1 || !regexp.MustCompile(c.says).MatchString(r.stderr) {
			t.Errorf("exit code %d, and it says %q, want %s", r.code, r.stderr, c.says)
		}
	}
	mustGet(t, port, "/")
	d.stop()
}
