package proc

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"clusterd/internal/config"
)

// nightly is a worker that runs every two minutes. (A bubble begins at midnight.)
func nightly(t *testing.T) config.App {
	t.Helper()
	a := worker("a", 1)
	a.Restart = config.RestartNever
	a.Schedule = schedule(t, "*/2 * * * *")
	return a
}

func TestScheduledRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := runFake(t, true, func(n int, p *fakeProcess) error {
			switch n {
			case 1:
				p.exitAfter(10*time.Second, 0)
			case 2:
				p.exitAfter(150*time.Second, 3) // beyond the next time
			}
			return nil
		}, nightly(t))
		at := func(d time.Duration) string { return "next run at " + f.begun.Add(d).Format("15:04:05") }
		f.is("a/0", StateDone, at(2*time.Minute))
		f.after(2*time.Minute + 5*time.Second)
		f.is("a/0", StateReady, "")
		f.after(3 * time.Minute)
		f.is("a/0", StateDone, "exit 0, "+at(4*time.Minute))
		f.after(7 * time.Minute)
		f.is("a/0", StateFailed, `exit 3, restart = "never", `+at(8*time.Minute))
		f.after(9 * time.Minute)
		f.is("a/0", StateReady, "")
		want := []string{
			"2m0s a/0 started, pid 9000001",
			"2m10s a/0 exited with code 0 after 10s; done",
			"4m0s a/0 started, pid 9000002",
			"6m0s a/0 the run of " + f.begun.Add(6*time.Minute).Format("15:04:05") + " is skipped: the last one still goes on",
			`6m30s a/0 exited with code 3 after 2m30s; not restarting (restart = "never")`,
			"8m0s a/0 started, pid 9000003",
		}
		if diff := cmp.Diff(want, f.events()); diff != "" {
			t.Error(diff)
		}
	})
}

// Who stops a scheduled app has it stopped, until it is started: then it runs at
// once, and by its schedule from there on.
func TestStopScheduled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := runFake(t, true, func(n int, p *fakeProcess) error {
			p.exitAfter(time.Second, 0)
			return nil
		}, nightly(t))
		if err := f.do(VerbStop); err != nil {
			t.Error(err)
		}
		f.after(5 * time.Minute)
		f.is("a/0", StateStopped, "")
		if err := f.do(VerbStart); err != nil {
			t.Error(err)
		}
		f.after(7 * time.Minute)
		if n := f.instance("a/0").Generation; n != 2 {
			t.Errorf("it has run %d times", n)
		}
	})
}

// What is done with the whole cluster is no reason to run either; who names an app means it.
func TestScheduledRunsByName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := runFake(t, false, func(n int, p *fakeProcess) error {
			if p.slot == "a/0" {
				p.exitAfter(time.Second, 0)
			}
			return nil
		}, nightly(t), worker("b", 1))
		for _, verb := range []Verb{VerbReload, VerbRestart, VerbStart} {
			if err := f.do(verb); err != nil {
				t.Errorf("%s: %v", verb, err)
			}
		}
		if diff := cmp.Diff(map[string]int{"a/0": 0, "b/0": 3}, f.generations()); diff != "" {
			t.Error(diff)
		}
		if err := f.do(VerbStart, "a"); err != nil {
			t.Error(err)
		}
		if n := f.instance("a/0").Generation; n != 1 {
			t.Errorf("it has run %d times", n)
		}
		f.after(10 * time.Second)
	})
}

// Neither a new config nor a new instance is a reason to run.
func TestScheduledRunsWaitForTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := runFake(t, true, func(n int, p *fakeProcess) error {
			p.exitAfter(time.Second, 1)
			return nil
		}, nightly(t))
		f.after(2*time.Minute + 10*time.Second)
		if i := f.instance("a/0"); i.State != StateFailed || i.Generation != 1 {
			t.Fatalf("%+v", i)
		}
		if _, err := f.apply(edited(nightly(t), setEnv)); err != nil {
			t.Error(err)
		}
		if err := f.scale(2); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(map[string]int{"a/0": 1, "a/1": 0}, f.generations()); diff != "" {
			t.Error(diff)
		}
		f.after(5 * time.Minute)
		if diff := cmp.Diff(map[string]int{"a/0": 2, "a/1": 1}, f.generations()); diff != "" {
			t.Error(diff)
		}
		if got := variable(f.os.last("a/0").spec.env, "NEW"); got != "1" {
			t.Error("it runs by the old config")
		}
	})
}

// A machine that slept through several times makes up for one.
func TestScheduleAfterSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, nil, nightly(t))
		a := f.apps[0]
		now := time.Now()
		f.awaitSchedule(a, now)
		f.runScheduled(a, now.Add(time.Hour))
		if a.instances[0].generation != 1 || !a.nextRun.Equal(now.Add(time.Hour+2*time.Minute).Truncate(2*time.Minute)) {
			t.Errorf("%d runs, the next one at %s", a.instances[0].generation, a.nextRun)
		}
		synctest.Wait()
		f.os.last("a/0").exit(0)
		synctest.Wait()
	})
}

func schedule(t *testing.T, text string) config.Schedule {
	t.Helper()
	s, err := config.ParseSchedule(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
