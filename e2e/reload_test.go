package e2e

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// load is clients that come one after the other, each with a connection of its
// own, for as long as a test changes what serves them.
type load struct {
	stop    chan struct{}
	done    sync.WaitGroup
	mu      sync.Mutex
	served  int
	failed  []error
	resets  int // connections that the kernel broke off before any answer
	pardons bool
}

// perSecond is how many clients a load has.
const perSecond = 300

// startLoad begins to request / of the server on a port. With pardons, a client
// whose connection is reset may try again.
func startLoad(port int, pardons bool) *load {
	l := &load{stop: make(chan struct{}), pardons: pardons}
	l.done.Go(func() {
		tick := time.NewTicker(time.Second / perSecond)
		defer tick.Stop()
		for {
			select {
			case <-l.stop:
				return
			case <-tick.C:
				l.done.Go(func() { l.request(port) })
			}
		}
	})
	return l
}

func (l *load) request(port int) {
	_, err := get(port, "/")
	resets := 0
	for errors.Is(err, syscall.ECONNRESET) && l.pardons && resets < 5 {
		resets++
		_, err = get(port, "/")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.resets += resets
	if err != nil {
		l.failed = append(l.failed, err)
		return
	}
	l.served++
}

// goesOn waits until more clients have been served.
func (l *load) goesOn(d *daemon) {
	d.w.t.Helper()
	count := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.served
	}
	want := count() + perSecond/10
	d.await("more clients to be served", func() bool { return count() >= want })
}

// finish sends no more clients and returns what has become of them.
func (l *load) finish() (served int, failed []error) {
	close(l.stop)
	l.done.Wait()
	return l.served, l.failed
}

// end fails the test for each client that was not served.
func (l *load) end(t testing.TB) (served int) {
	t.Helper()
	l.finish()
	for i, err := range l.failed {
		if t.Errorf("a client was not served: %v", err); i == 4 {
			break
		}
	}
	if len(l.failed) > 0 {
		t.Errorf("%d of %d clients were not served", len(l.failed), len(l.failed)+l.served)
	}
	t.Logf("%d clients, %d resets", l.served, l.resets)
	return l.served
}

// generations are those of an app's instances, and their pids.
func (a appStatus) generations() (out []string, pids map[int]bool) {
	pids = map[int]bool{}
	for _, in := range a.Instances {
		out = append(out, fmt.Sprintf("%s %s %d", in.ID, in.State, in.Generation))
		if in.PID != nil {
			pids[*in.PID] = true
		}
	}
	return out, pids
}

func TestReloadAndScaleLoseNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ mode, listen string }{{"http", "relay"}, {"reuseport", "self"}} {
		t.Run(c.listen, func(t *testing.T) {
			t.Parallel()
			w := newWorkspace(t)
			port := w.port()
			w.configure(app("web", c.mode, fmt.Sprintf("port = %d\ninstances = 3\nlisten = %q", port, c.listen)))
			d := w.start()
			d.awaitReady(3)
			// An instance that closes the socket on which it listens itself takes
			// along who waits there, unless the kernel moves them.
			migrate, _ := os.ReadFile("/proc/sys/net/ipv4/tcp_migrate_req")
			l := startLoad(port, c.listen == "self" && string(migrate) != "1\n")
			l.goesOn(d)

			_, before := w.status().app("web").generations()
			w.must("reload")
			now, after := w.status().app("web").generations()
			if got, want := fmt.Sprint(now), "[web/0 ready 2 web/1 ready 2 web/2 ready 2]"; got != want {
				t.Errorf("after the reload: %s, want %s", got, want)
			}
			for pid := range before {
				if after[pid] || syscall.Kill(pid, 0) != syscall.ESRCH {
					t.Errorf("pid %d is still there after the reload", pid)
				}
			}
			d.awaitEvent(`^\S+ web reloaded 3 of 3 in [\d.]+m?s$`)
			l.goesOn(d)

			w.must("scale", "web=5")
			a := w.status().app("web")
			if a.Ready != 5 || a.InstancesWanted != 5 {
				t.Errorf("scaled up to %d ready of %d wanted, want 5", a.Ready, a.InstancesWanted)
			}
			l.goesOn(d)
			w.must("scale", "web=2")
			now, _ = w.status().app("web").generations()
			if got, want := fmt.Sprint(now), "[web/0 ready 2 web/1 ready 2]"; got != want {
				t.Errorf("scaled down to %s, want %s", got, want)
			}
			l.goesOn(d)
			served := l.end(t)
			if c.listen == "relay" {
				d.awaitStatus("every request to be counted", func(s status) bool { return *s.app("web").RequestsTotal == uint64(served) })
			}
			d.stop()
		})
	}
}

// What will not do does not replace what does.
func TestReloadThatFails(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ does, says string }{
		{"crash", `^clusterd: web/0: its successor exited with code 3 after \S+; last output: no database\n` +
			`clusterd: web: reloaded 0 of 2 in \S+; the rest is as it was\n$`},
		{"hang", `^clusterd: web/0: its successor is not ready after 30s: not listening on \$PORT \(\d+\) yet\n`},
	} {
		t.Run(c.does, func(t *testing.T) {
			t.Parallel()
			w := newWorkspace(t)
			port := w.port()
			w.configure(app("web", "fickle", fmt.Sprintf("port = %d\ninstances = 2", port)))
			d := w.start()
			d.awaitReady(2)
			_, before := w.status().app("web").generations()
			w.write("fickle", c.does)
			r := w.run("reload", "web")
			if r.code != 1 || !regexp.MustCompile(c.says).MatchString(r.stderr) {
				t.Errorf("exit code %d, and it says %q, want %s", r.code, r.stderr, c.says)
			}
			now, after := w.status().app("web").generations()
			if got, want := fmt.Sprintf("%v %v", now, after), fmt.Sprintf("[web/0 ready 1 web/1 ready 1] %v", before); got != want {
				t.Errorf("after the reload: %s, want %s", got, want)
			}
			if served := servedBy(t, port, 20); served["web/0"] == 0 || served["web/1"] == 0 {
				t.Errorf("20 requests were served by %v", served)
			}
			w.write("fickle", "")
			w.must("reload")
			d.stop()
		})
	}
}

// While one reload waits for its first successor, another one is refused, and a
// stop ends both the old process and the new one.
func TestReloadIsInterrupted(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	w.configure(app("web", "fickle", fmt.Sprintf("port = %d", w.port())))
	d := w.start()
	d.awaitReady(1)
	w.write("fickle", "hang")
	reload := make(chan result, 1)
	go func() { reload <- w.run("reload") }()
	d.awaitEvent(`^\S+ web/0 reload 1/1: successor started, pid \d+$`)
	if in := w.status().instance("web/0"); in.State != "ready" || !regexp.MustCompile(`^reload 1/1: successor starting, pid \d+`).MatchString(in.Reason) {
		t.Errorf("during the reload: %+v", in)
	}
	instances := func() (n int) {
		for _, p := range w.marked() {
			if strings.Contains(p.command, childBinary) {
				n++
			}
		}
		return n
	}
	if n := instances(); n != 2 {
		t.Errorf("there are %d processes, want the old and the new one: %v", n, w.marked())
	}

	for _, args := range [][]string{{"reload", "web"}, {"scale", "web=3"}} {
		r := w.run(args...)
		if want := fmt.Sprintf("clusterd: cannot %s web: it is being reloaded", args[0]); r.code != 1 || !strings.HasPrefix(r.stderr, want) {
			t.Errorf("%v: exit code %d, and it says %q, want %s", args, r.code, r.stderr, want)
		}
	}
	w.must("stop", "web")
	if n := instances(); n != 0 {
		t.Errorf("after the stop there are %v", w.marked())
	}
	if r := <-reload; r.code != 1 || r.stderr != "clusterd: web/0 was stopped during its reload\n" {
		t.Errorf("the reload: exit code %d, and it says %q", r.code, r.stderr)
	}
	if in := w.status().instance("web/0"); in.State != "stopped" || in.PID != nil {
		t.Errorf("after the stop: %+v", in)
	}
	d.stop()
}

func TestScaleArguments(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	w.configure(app("job", "sleep"))
	d := w.start()
	d.awaitReady(1)
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"scale"}, 2, "requires at least 1 arg"},
		{[]string{"scale", "job"}, 2, `"job" is not APP=N, such as web=6`},
		{[]string{"scale", "job=x"}, 2, `"job=x" is not APP=N, such as web=6`},
		{[]string{"scale", "job=-1"}, 2, `"job=-1" is not APP=N, such as web=6`},
		{[]string{"scale", "job=1", "job=2"}, 2, "job is given two numbers of instances"},
		{[]string{"scale", "job=1001"}, 1, "cannot scale job to 1001: an app can have 0 to 1000 instances"},
		{[]string{"scale", "jbo=2"}, 1, `no app "jbo": the cluster has job`},
		{[]string{"scale", "job=0"}, 0, ""},
		{[]string{"scale", "job=2"}, 0, ""},
	} {
		r := w.run(c.args...)
		if r.code != c.code || !strings.Contains(r.stderr, c.says) {
			t.Errorf("%v: exit code %d, and it says %q, want %d and %s", c.args, r.code, r.stderr, c.code, c.says)
		}
	}
	if now, _ := w.status().app("job").generations(); fmt.Sprint(now) != "[job/0 ready 1 job/1 ready 1]" {
		t.Errorf("in the end: %v", now)
	}
	d.stop()
}
