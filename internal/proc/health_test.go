package proc

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"clusterd/internal/config"
)

// byExec is a check whose command the test plays.
func byExec(p config.Probe) config.Probe {
	p.By, p.Exec = config.ByExec, config.Command{Argv: []string{"check"}}
	return p
}

// checked runs a cluster of one app whose checks are answered by answer, which is
// told when, since the start, and for which process it is asked, from 1.
func checked(t *testing.T, a config.App, answer func(at time.Duration, process int) int) *fakeCluster {
	f := newFake(t, func(_ int, p *fakeProcess) error { p.deaf = a.Env["DEAF"] != ""; return nil }, a)
	begun := time.Now()
	f.os.check = func(ctx context.Context, _ spec) (exitStatus, error) {
		code := answer(time.Since(begun), len(f.os.started()))
		if code < 0 { // no answer
			<-ctx.Done()
			return exitStatus{}, ctx.Err()
		}
		return exitStatus{code: code}, nil
	}
	f.run(false)
	return f
}

func (f *fakeCluster) says(want ...string) {
	f.t.Helper()
	if got := f.events(); !slices.Equal(got, want) {
		f.t.Errorf("events\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestReadyByCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := worker("a", 1)
		a.Ready = byExec(a.Ready)
		f := checked(t, a, func(at time.Duration, _ int) int {
			if at < 2400*time.Millisecond {
				return 7
			}
			return 0
		})
		f.is("a/0", StateStarting, "")
		f.after(2 * time.Second)
		f.is("a/0", StateStarting, "check: exit 7")
		f.after(3 * time.Second)
		f.is("a/0", StateReady, "")
		f.says("0s a/0 started, pid 9000001", "2s a/0 check: exit 7", "2.5s a/0 ready after 2.5s")
	})
}

// Not to pass the check in time is a failure like any other.
func TestReadyCheckFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := worker("a", 1)
		a.Ready = byExec(a.Ready)
		a.Ready.Timeout, a.MaxRestarts = time.Second, 1
		f := checked(t, a, func(time.Duration, int) int { return -1 })
		f.after(900 * time.Millisecond)
		asked := f.begins(VerbStart)
		f.after(time.Minute)
		if err := <-asked; err == nil || err.Error() != "a/0 is backoff: not ready within 1s: not listening on $PORT" {
			t.Errorf("start says %v", err)
		}
		if i := f.instance("a/0"); i.State != StateFailed || !strings.Contains(i.Reason, "gave up after 2 failures") {
			t.Errorf("%s: %s", i.State, i.Reason)
		}
	})
}

func TestHealthCheckFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := worker("a", 1)
		a.Health = byExec(a.Health)
		f := checked(t, a, func(at time.Duration, process int) int {
			if process == 1 && at > 20*time.Second {
				return 3
			}
			return 0
		})
		f.after(28 * time.Second) // asked at 7.5s, 17.5s, 27.5s, ...
		f.is("a/0", StateUnready, "check: exit 3 (failure 1 of 3)")
		f.after(38 * time.Second)
		f.is("a/0", StateUnready, "check: exit 3 (failure 2 of 3)")
		f.after(time.Minute)
		f.is("a/0", StateReady, "")
		f.says("0s a/0 started, pid 9000001",
			"27.5s a/0 unready: check: exit 3 (failure 1 of 3); no other instance could take its connections",
			"47.5s a/0 failed its health check: check: exit 3, 3 times in a row; ending it",
			"47.5s a/0 failed its health check: check: exit 3, 3 times in a row; was killed by SIGTERM after 47.5s; restarting at once",
			"47.5s a/0 started, pid 9000002")
	})
}

// One failure in between is forgotten; a check without an answer has failed.
func TestHealthRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := worker("a", 1)
		a.Health = byExec(a.Health)
		n := 0
		f := checked(t, a, func(time.Duration, int) int {
			n++
			return []int{0, -1}[n%2]
		})
		f.after(7500*time.Millisecond + 2*time.Second)
		f.is("a/0", StateUnready, "check: not finished in time (failure 1 of 3)")
		f.after(time.Hour)
		if n := len(f.os.started()); n != 1 {
			t.Errorf("%d processes, want the first", n)
		}
		f.after(time.Hour + time.Minute)
		if events := f.events(); !slices.Contains(events, "19.5s a/0 ready again: passed its health check") {
			t.Errorf("events %q", events)
		}
	})
}

// The restart policy holds for what fails its check, whatever code it exits with.
func TestHealthCheckAndPolicy(t *testing.T) {
	for _, x := range []struct {
		restart config.Restart
		state   State
		reason  string
	}{
		{config.RestartNever, StateFailed, `failed its health check: check: exit 3, restart = "never"`},
		{config.RestartOnFailure, StateReady, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			a := worker("a", 1)
			a.Restart, a.Health, a.Env = x.restart, byExec(a.Health), map[string]string{"DEAF": "1"}
			a.Health.Failures = 1
			f := checked(t, a, func(_ time.Duration, process int) int { return []int{3, 0}[process-1] })
			time.AfterFunc(8*time.Second, func() { f.os.last("a/0").exit(0) })
			f.after(7500 * time.Millisecond)
			f.is("a/0", StateStopping, "failed its health check: check: exit 3")
			f.after(9 * time.Second)
			f.is("a/0", x.state, x.reason)
		})
	}
}

// The user's stop is a stop, even when the check had the same idea before.
func TestStopOfWhatFailsItsCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := worker("a", 1)
		a.Health, a.Env = byExec(a.Health), map[string]string{"DEAF": "1"}
		a.Health.Failures = 1
		f := checked(t, a, func(time.Duration, int) int { return 3 })
		f.after(8 * time.Second)
		stopped := f.begins(VerbStop)
		f.os.last("a/0").exit(0)
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		f.after(time.Minute)
		f.is("a/0", StateStopped, "")
	})
}

// What fails its check gets no connections, as long as others can.
func TestUnhealthyIsSteeredAround(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := worker("a", 2)
		a.Health = byExec(a.Health)
		asked := 0
		f := newFake(t, nil, a)
		f.os.check = func(_ context.Context, s spec) (exitStatus, error) {
			if variable(s.env, "CLUSTERD_INSTANCE") == "1" {
				asked++
				return exitStatus{code: asked % 2}, nil
			}
			return exitStatus{}, nil
		}
		s := &street{noted: new([]string)}
		f.apps[0].way.way = s
		f.run(false)
		f.after(18 * time.Second)
		want := []string{"admit 0.1", "admit 1.1", "drain 1.1", "admit 1.1"}
		slices.Sort((*s.noted)[:2])
		if !slices.Equal(*s.noted, want) {
			t.Errorf("%q, want %q", *s.noted, want)
		}
		f.is("a/1", StateReady, "")
	})
}

// During a reload of the instance its successor is waited for.
func TestUnhealthyDuringItsReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := worker("a", 1)
		a.Health = byExec(a.Health)
		a.Health.Failures = 1
		ready := make(chan struct{})
		f := newFake(t, func(n int, p *fakeProcess) error {
			if n == 2 {
				p.serves = ready
			}
			return nil
		}, a)
		f.os.check = func(context.Context, spec) (exitStatus, error) { return exitStatus{code: 1}, nil }
		f.apps[0].way.way, f.os.overlaps = &street{noted: new([]string)}, true
		f.run(false)
		reloaded := f.begins(VerbReload)
		f.after(8 * time.Second)
		if i := f.instance("a/0"); i.State != StateUnready || i.Generation != 1 {
			t.Errorf("%+v", i)
		}
		close(ready)
		if err := <-reloaded; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if i := f.instance("a/0"); i.State != StateReady || i.Generation != 2 {
			t.Errorf("%+v", i)
		}
	})
}

// passesAfter answers checks well from then on.
func passesAfter(d time.Duration) func(context.Context, spec) (exitStatus, error) {
	begun := time.Now()
	return func(context.Context, spec) (exitStatus, error) {
		if time.Since(begun) < d {
			return exitStatus{code: 1}, nil
		}
		return exitStatus{}, nil
	}
}
