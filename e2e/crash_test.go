package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

func TestKilledInstanceIsReplaced(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	port := w.port()
	w.configure(web(port, 2))
	d := w.start()
	d.awaitReady(2)
	for range 10 {
		mustGet(t, port, "/")
	}
	before := d.awaitStatus("10 requests to be counted", func(s status) bool { return s.app("web").requests() == 10 })
	kill(t, *before.instance("web/1").PID)
	d.awaitEvent(`^\S+ web/1 was killed by SIGKILL after \S+; restarting at once$`)
	d.awaitReady(3)

	after := w.status()
	in, was := after.instance("web/1"), before.instance("web/1")
	if in.State != "ready" || *in.PID == *was.PID || in.Restarts != 1 || in.Generation != 2 {
		t.Errorf("after the kill: %+v", in)
	}
	if in.LastExit == nil || in.LastExit.Signal != "SIGKILL" || in.LastExit.Code != -1 {
		t.Errorf("its last exit: %+v, want by SIGKILL", in.LastExit)
	}
	if *in.RequestsTotal != *was.RequestsTotal {
		t.Errorf("web/1 had served %d requests, and %d after its restart", *was.RequestsTotal, *in.RequestsTotal)
	}
	if in := after.instance("web/0"); *in.PID != *before.instance("web/0").PID || in.Restarts != 0 {
		t.Errorf("web/0, which nobody killed: %+v", in)
	}
	d.stop()
}

func kill(t testing.TB, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatalf("kill %d: %v", pid, err)
	}
}

// Clients notice nothing of five deaths, whether they keep their connections or
// not: what an instance took to its grave unanswered is asked of another one.
func TestNoRequestIsLostWhenInstancesAreKilled(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	port := w.port()
	w.configure(web(port, 3, `listen = "relay"`, "max_restarts = 0", `backoff_min = "10ms"`, `backoff_max = "20ms"`))
	d := w.start()
	d.awaitReady(3)

	var answered atomic.Uint64
	over := make(chan struct{})
	var clients sync.WaitGroup
	for i := range 4 {
		client := eachNew
		if i%2 == 1 {
			client = &http.Client{Transport: &http.Transport{}, Timeout: deadline}
			defer client.CloseIdleConnections()
		}
		clients.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				if _, err := getBy(client, port, "/"); err != nil {
					t.Errorf("request %d: %v", answered.Load(), err)
					return
				}
				answered.Add(1)
			}
		})
	}
	for i := range 5 {
		served := answered.Load()
		d.await("the clients to get on", func() bool { return t.Failed() || answered.Load() > served+20 })
		id := fmt.Sprintf("web/%d", i%3)
		kill(t, *w.status().instance(id).PID)
		d.awaitReady(4 + i)
	}
	close(over)
	clients.Wait()
	n := answered.Load()
	s := d.awaitStatus("every request to be counted", func(s status) bool { return s.app("web").requests() >= n })
	if got := s.app("web").requests(); got != n {
		t.Errorf("%d requests counted, %d were answered", got, n)
	}
	d.stop()
}

func TestCrashLoopEndsAsFailed(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	w.configure(
		app("bad", "crash", fmt.Sprintf("port = %d", w.port()), `env.E2E_CODE = "1"`, "max_restarts = 3", `backoff_min = "1ms"`, `backoff_max = "2ms"`),
		app("good", "sleep"))
	d := w.start()
	d.awaitEvent(`^\S+ bad/0 exited with code 1 after \S+; restarting in \S+ \(2nd failure\)$`)
	d.awaitEvent(`^\S+ bad/0 exited with code 1 after \S+; giving up: 4 failures in \S+$`)
	s := w.status()
	if in := s.instance("bad/0"); in.State != "failed" || in.Restarts != 3 || in.Generation != 4 || in.PID != nil ||
		!strings.HasPrefix(in.Reason, "exit 1, gave up after 4 failures in ") {
		t.Errorf("after the crash loop: %+v", in)
	}
	if s.app("bad").State != "failed" || s.instance("good/0").State != "ready" {
		t.Errorf("bad is %s, good/0 %s; want failed and ready", s.app("bad").State, s.instance("good/0").State)
	}
	if out := w.must("logs", "bad"); strings.Count(out, "bad/0 ! last words\n") != 4 {
		t.Errorf("its last words are not kept: %q", out)
	}
	r := w.run("start", "bad") // another try; the command says what came of it
	if r.code != 1 || !strings.Contains(r.stderr, "bad/0 is ") || !strings.Contains(r.stderr, "exit 1") {
		t.Errorf("start of what crashes: exit code %d, %s", r.code, r.stderr)
	}
	d.stop()
}

func TestNothingIsLeftThatCouldRun(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, mode, restart, exit string
		code                      int
		event, says               string
	}{
		{"crash loop", "crash", "always", "1", 1,
			`giving up: 4 failures in \S+$`, "clusterd: job/0 failed: exit 1, gave up after 4 failures in "},
		{"never, failing", "crash", "never", "3", 1,
			`exited with code 3 after \S+; not restarting \(restart = "never"\)$`, `clusterd: job/0 failed: exit 3, restart = "never"`},
		{"never, done", "crash", "never", "0", 0, `exited with code 0 after \S+; done$`, ""},
		{"on-failure, done", "crash", "on-failure", "0", 0, `exited with code 0 after \S+; done$`, ""},
		{"on-failure, another success", "crash", "on-failure", "5", 0, `exited with code 5 after \S+; done$`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorkspace(t)
			w.configure(app("job", c.mode, fmt.Sprintf("env.E2E_CODE = %q", c.exit), fmt.Sprintf("restart = %q", c.restart),
				"instances = 2", "success_codes = [0, 5]", "max_restarts = 3", `backoff_min = "1ms"`, `backoff_max = "2ms"`))
			d := w.start()
			if code := d.wait(); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			for _, id := range []string{"job/0", "job/1"} {
				d.awaitEvent(`^\S+ ` + id + " .*" + c.event)
			}
			if !strings.Contains(d.stderr.String(), c.says) || c.says == "" && strings.Contains(d.stderr.String(), "clusterd: ") {
				t.Errorf("on stderr: %q, want %q", d.stderr, c.says)
			}
		})
	}
}
