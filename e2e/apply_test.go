package e2e

import (
	"fmt"
	"net"
	"strings"
	"testing"
)

// applies runs clusterd apply, which is to print these changes.
func (w *workspace) applies(changes ...string) {
	w.t.Helper()
	want := strings.Join(changes, "\n") + "\n"
	if got := w.must("apply"); got != want {
		w.t.Errorf("apply printed %q, want %q", got, want)
	}
}

// pids are those of an app's instances, by index.
func (w *workspace) pids(name string) (pids []int) {
	w.t.Helper()
	for _, in := range w.status().app(name).Instances {
		if in.State != "ready" || in.PID == nil {
			w.t.Fatalf("%s is %s: %s", in.ID, in.State, in.Reason)
		}
		pids = append(pids, *in.PID)
	}
	return pids
}

// An edited file changes what it is about, for clients that never stop to come: an
// instance more touches no other one, a variable rolls its app, a port moves.
func TestApply(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	port, moved, scraped := w.port(), w.port(), w.port()
	at := func(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
	job := app("job", "sleep")
	w.configure(web(port, 2), job)
	d := w.start()
	d.awaitReady(3)
	worker, first := w.pids("job"), w.pids("web")
	w.applies("nothing differs from what runs")

	l := startLoad(port, false)
	l.goesOn(d)
	w.withMetrics(at(moved), web(port, 3), job)
	w.applies("metrics changed; they are at "+at(moved)+"/metrics", "web: instances changed; going from 2 to 3")
	second := w.pids("web")
	if len(second) != 3 || fmt.Sprint(second[:2]) != fmt.Sprint(first) {
		t.Errorf("with an instance more, the pids are %v; they were %v", second, first)
	}
	mustGet(t, moved, "/metrics")
	if got, want := w.must("__complete", "scale", "job=2", ""), "web=\tnow 3\n:6\n"; got != want {
		t.Errorf("after scale job=2, a shell is offered %q, want %q", got, want)
	}

	w.withMetrics(at(moved), web(port, 3, `env.NEW = "1"`), job)
	w.applies("web: env changed; replacing 3 instances")
	third := w.pids("web")
	for i, pid := range third {
		if pid == second[i] {
			t.Errorf("web/%d has its old environment, pid %d", i, pid)
		}
	}
	l.goesOn(d)
	l.end(t)

	// To where the metrics were, which move as well.
	w.withMetrics(at(scraped), web(moved, 3, `env.NEW = "1"`), job)
	w.applies("metrics changed; they are at "+at(scraped)+"/metrics", "web: port changed; restarting 3 instances")
	if served := servedBy(t, moved, 60); len(served) != 3 {
		t.Errorf("at the new port answer %v", served)
	}
	mustGet(t, scraped, "/metrics")
	if !free(port) {
		t.Errorf("port %d is still held", port)
	}

	// What is wrong or cannot be had changes nothing, also of what could be done.
	fourth := w.pids("web")
	w.withMetrics(at(scraped), web(moved, 1, `instnaces = 2`), "[apps.more]\ncommand = \"sleep 600\"")
	if r := w.run("apply"); r.code != 2 || !strings.Contains(r.stderr, `unknown key "instnaces" in [apps.web]; did you mean "instances"?`) {
		t.Errorf("a broken file: exit code %d, %s", r.code, r.stderr)
	}
	taken, err := net.Listen("tcp", at(port))
	if err != nil {
		t.Fatal(err)
	}
	w.withMetrics(at(port), web(moved, 1), "[apps.more]\ncommand = \"sleep 600\"")
	if r := w.run("apply"); r.code != 1 || !strings.Contains(r.stderr, fmt.Sprintf("cannot apply: metrics = %q: port %d is already in use: held by pid ", at(port), port)) {
		t.Errorf("an address that is taken: exit code %d, %s", r.code, r.stderr)
	}
	taken.Close()
	mustGet(t, scraped, "/metrics")
	if now := w.pids("web"); fmt.Sprint(now) != fmt.Sprint(fourth) || len(w.status().Apps) != 2 {
		t.Errorf("the pids are %v; they were %v", now, fourth)
	}
	if now := w.pids("job"); fmt.Sprint(now) != fmt.Sprint(worker) {
		t.Errorf("the job has pid %v, and had %v", now, worker)
	}
	d.stop()
}
