package proc

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"clusterd/internal/config"
)

func TestRestartOfOneInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := runFake(t, false, nil, worker("a", 3), worker("b", 1))
		f.after(time.Minute)
		if err := f.do(VerbRestart, "a/1"); err != nil {
			t.Error(err)
		}
		for id, generation := range map[string]int{"a/0": 1, "a/1": 2, "a/2": 1, "b/0": 1} {
			i := f.instance(id)
			if i.State != StateReady || i.Generation != generation || i.Restarts != 0 || *i.PID != f.os.last(id).pid {
				t.Errorf("%s: %+v", id, i)
			}
		}
		for _, p := range f.os.started() {
			signals, kills := p.received()
			replaced := p.slot == "a/1" && p != f.os.last("a/1")
			if (len(signals) == 1) != replaced || kills != 0 {
				t.Errorf("pid %d of %s got %v and %d kills", p.pid, p.slot, signals, kills)
			}
		}
	})
}

// However many ask for it, there is one process per slot in the end, and the
// fake sees that there never are two.
func TestConcurrentRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := runFake(t, false, func(_ int, p *fakeProcess) error {
			p.deaf = true // takes until stop_timeout, so that all of them meet
			return nil
		}, worker("a", 3))
		var answers []<-chan error
		for range 20 {
			answers = append(answers, f.begins(VerbRestart, "a"))
		}
		for _, a := range answers {
			if err := <-a; err != nil {
				t.Error(err)
			}
		}
		if n := len(f.os.started()); n != 6 {
			t.Errorf("%d processes for 3 slots, want 2 for each", n)
		}
		for _, id := range []string{"a/0", "a/1", "a/2"} {
			if i := f.instance(id); i.State != StateReady || i.Generation != 2 || i.Restarts != 0 {
				t.Errorf("%s: %+v", id, i)
			}
		}
	})
}

// A restart of what fails ends with why.
func TestRestartThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, func(n int, p *fakeProcess) error {
			if n > 1 {
				p.exit(9)
			}
			return nil
		}, worker("a", 1))
		g := gate{admitted: make(chan struct{})}
		f.apps[0].way.way = g
		f.run(false)
		g.admitted <- struct{}{}
		synctest.Wait()
		err := f.do(VerbRestart)
		if want := "a/0 is backoff: exit 9"; err == nil || err.Error() != want {
			t.Errorf("restart says %v, want %s", err, want)
		}
	})
}

// Asking for a start or restart clears what failures there were.
func TestRestartOfWhatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := worker("a", 1)
		a.MaxRestarts = 1
		f := runFake(t, false, func(n int, p *fakeProcess) error {
			if n <= 2 {
				p.exit(1)
			}
			return nil
		}, a)
		f.after(time.Second)
		f.is("a/0", StateFailed, "exit 1, gave up after 2 failures in 75ms")
		if err := f.do(VerbRestart, "a/0"); err != nil {
			t.Error(err)
		}
		f.after(time.Minute)
		f.os.last("a/0").exit(1) // the first failure of a new count
		f.after(time.Minute)
		f.is("a/0", StateReady, "")
	})
}

func TestKillAction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := runFake(t, false, stubborn, worker("a", 1))
		f.after(time.Second)
		p := f.os.last("a/0")
		if err := f.do(VerbKill, "a/0"); err != nil {
			t.Error(err)
		}
		if signals, kills := p.received(); len(signals) != 0 || kills != 1 {
			t.Errorf("it got %v and %d kills, want one kill alone", signals, kills)
		}
		i := f.instance("a/0")
		if i.State != StateReady || i.Restarts != 1 || i.LastExit.Signal != "SIGKILL" || i.LastExit.Code != -1 {
			t.Errorf("after the kill: %+v, last exit %+v", i, i.LastExit)
		}
		// A kill hurries a stop.
		stopped := f.begins(VerbStop, "a")
		if err := f.do(VerbKill, "a"); err != nil {
			t.Error(err)
		}
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		if err := f.do(VerbKill, "a"); err == nil || err.Error() != "cannot kill a/0: it has no process, it is stopped" {
			t.Errorf("kill of a stopped one: %v", err)
		}
	})
}

func TestActionsThatCannotBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := runFake(t, false, nil, worker("web", 3), worker("job", 1), worker("none", 0))
		for _, x := range []struct {
			verb   Verb
			target string
			want   string
		}{
			{VerbStop, "wbe", `no app "wbe": the cluster has web, job, none`},
			{VerbStop, "web/3", `no instance "web/3": web has web/0 to web/2`},
			{VerbStart, "job/x", `no instance "job/x": job has only job/0`},
			{VerbRestart, "none/0", `no instance "none/0": none has none`},
			{"dance", "job", `unknown action "dance"`},
		} {
			if err := f.do(x.verb, x.target); err == nil || err.Error() != x.want {
				t.Errorf("%s %s: %v, want %s", x.verb, x.target, err, x.want)
			}
		}
		// One mistake among the targets, and nothing is done.
		err := f.do(VerbStop, "web", "wbe", "job/7")
		if err == nil || strings.Count(err.Error(), "\n") != 1 {
			t.Errorf("stop of two mistakes: %v", err)
		}
		f.is("web/0", StateReady, "")
		// What is so already is done.
		for _, verb := range []Verb{VerbStart, VerbStop, VerbStop, VerbStart} {
			if err := f.do(verb, "web", "none"); err != nil {
				t.Errorf("%s: %v", verb, err)
			}
		}
	})
}

// Do ends with its context; what it asked for goes on.
func TestDoEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := runFake(t, false, stubborn, worker("a", 1))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := f.Do(ctx, Action{Verb: VerbStop}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("stop says %v", err)
		}
		f.after(time.Second)
		f.is("a/0", StateStopping, "")
		f.after(time.Minute)
		f.is("a/0", StateStopped, "")
	})
}

func TestRunUntilDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good, bad := worker("good", 2), worker("bad", 2)
		good.Restart, bad.Restart = config.RestartNever, config.RestartNever
		f := runFake(t, true, func(_ int, p *fakeProcess) error {
			if strings.HasPrefix(p.slot, "good/") || p.slot == "bad/0" {
				p.exitAfter(time.Second, 0)
			} else {
				p.exitAfter(2*time.Second, 4)
			}
			return nil
		}, good, bad)
		err := <-f.result
		if want := `bad/1 failed: exit 4, restart = "never"`; err == nil || err.Error() != want {
			t.Errorf("Run says %v, want %s", err, want)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		a := worker("a", 3)
		a.Restart = config.RestartOnFailure
		f := runFake(t, true, func(_ int, p *fakeProcess) error { p.exitAfter(time.Second, 0); return nil }, a)
		if err := <-f.result; err != nil {
			t.Errorf("Run says %v", err)
		}
		if d := time.Since(f.begun); d != time.Second {
			t.Errorf("it took %s", d)
		}
	})
}

// What cannot have its port when the user starts it has failed, and a cluster
// that ends by itself waits for that.
func TestStartWithoutThePort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := worker("a", 1), worker("b", 1)
		a.Autostart, b.Restart = false, config.RestartNever
		f := newFake(t, nil, a, b)
		f.apps[0].way.way = closedDoor{tries: new(int)}
		f.run(true)
		f.is("a/0", StateStopped, "")
		f.after(time.Second)
		err := f.do(VerbStart, "a")
		if want := "a/0 is failed: cannot start: no entry"; err == nil || err.Error() != want {
			t.Errorf("start says %v, want %s", err, want)
		}
		f.os.last("b/0").exit(0)
		if err := <-f.result; err == nil || err.Error() != "a/0 failed: cannot start: no entry" {
			t.Errorf("Run says %v", err)
		}
	})
}

// One look at a taken port is enough for all instances of an app, and the next
// start looks again.
func TestTakenPortIsTriedOncePerStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := worker("a", 5), worker("b", 1)
		a.Autostart = false
		f := newFake(t, nil, a, b)
		tries := 0
		f.apps[0].way.way = closedDoor{tries: &tries}
		f.run(false)
		for n := range 2 {
			err := f.do(VerbStart, "a")
			if want := "a/4 is failed: cannot start: no entry"; err == nil || strings.Count(err.Error(), "\n") != 4 || !strings.HasSuffix(err.Error(), want) {
				t.Errorf("start says %v, want all up to %s", err, want)
			}
			if tries != n+1 {
				t.Errorf("%d tries for %d starts", tries, n+1)
			}
		}
	})
}

// closedDoor is a way that cannot be opened.
type closedDoor struct {
	noPort
	tries *int
}

func (d closedDoor) open() error {
	*d.tries++
	return errors.New("no entry")
}

// Whoever holds a snapshot may keep it.
func TestSnapshotsAreImmutable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := runFake(t, false, nil, worker("a", 2), worker("b", 1))
		f.after(5 * time.Second)
		f.os.last("a/0").exit(1)
		f.after(6 * time.Second)
		kept, err := f.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		before := marshal(t, kept)
		f.os.last("a/0").exit(2)
		_ = f.do(VerbRestart, "a/1")
		_ = f.do(VerbStop, "b")
		f.after(time.Minute)
		if diff := cmp.Diff(before, marshal(t, kept)); diff != "" {
			t.Errorf("the snapshot changed:\n%s", diff)
		}
		now, err := f.Snapshot(t.Context())
		if err != nil || marshal(t, now) == before {
			t.Errorf("nothing changed at all: %v", err)
		}
	})
}

func marshal(t *testing.T, v any) string {
	t.Helper()
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// What is not known is null, never 0.
func TestUnknownFiguresAreNull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := worker("a", 1)
		a.Autostart = false
		f := runFake(t, false, nil, a, worker("b", 1))
		f.after(5 * time.Second)
		if i := f.instance("b/0"); i.PID == nil || i.RSSBytes != nil || i.CPUPercent != nil {
			t.Errorf("a process that /proc does not know: %+v", i)
		}
		s, err := f.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var doc struct {
			Apps []map[string]any
		}
		if err := json.Unmarshal([]byte(marshal(t, s)), &doc); err != nil {
			t.Fatal(err)
		}
		app := doc.Apps[0]
		inst := app["instances"].([]any)[0].(map[string]any)
		for _, x := range []struct {
			of    map[string]any
			names []string
		}{
			{app, []string{"port", "requests_total", "requests_per_s", "requests_history"}},
			{inst, []string{"pid", "uptime_s", "cpu_percent", "rss_bytes", "queue", "connections_open", "connections_total",
				"requests_total", "requests_per_s", "status", "latency_ms", "bytes_in", "bytes_out", "last_exit"}},
		} {
			for _, name := range x.names {
				if v, ok := x.of[name]; !ok || v != nil {
					t.Errorf("%s is %v, want null", name, v)
				}
			}
		}
	})
}
