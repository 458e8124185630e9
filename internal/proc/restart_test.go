package proc

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"clusterd/internal/config"
)

func TestFirstCrashIsAnsweredAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := runFake(t, false, nil, worker("a", 1))
		f.after(20 * time.Second)
		f.os.last("a/0").exit(1)
		f.after(20 * time.Second)
		f.is("a/0", StateReady, "")
		if i := f.instance("a/0"); i.Restarts != 1 || i.Generation != 2 || i.LastExit.Code != 1 || i.LastExit.After != 20 {
			t.Errorf("after the crash: %+v, last exit %+v", i, i.LastExit)
		}
		want := []string{
			"0s a/0 started, pid 9000001",
			"20s a/0 exited with code 1 after 20s; restarting at once",
			"20s a/0 started, pid 9000002",
		}
		if diff := cmp.Diff(want, f.events()); diff != "" {
			t.Error(diff)
		}
	})
}

// Delays grow twofold up to backoff_max; after backoff_reset of being ready
// they begin anew. With a jitter of one half they are three quarters of the
// nominal ones.
func TestBackoffGrowsAndResets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := worker("a", 1)
		a.BackoffMax, a.MaxRestarts = time.Second, 0
		f := runFake(t, false, func(n int, p *fakeProcess) error {
			if n == 8 {
				p.exitAfter(10*time.Second, 1)
			} else {
				p.exitAfter(time.Millisecond, 1)
			}
			return nil
		}, a)
		f.after(20 * time.Second)

		var delays []time.Duration
		for i, p := range f.os.started()[:11] {
			if i > 0 {
				delays = append(delays, p.at.Sub(f.os.started()[i-1].at)-time.Millisecond)
			}
		}
		ms := time.Millisecond
		want := []time.Duration{
			0, 150 * ms, 300 * ms, 600 * ms, 750 * ms, 750 * ms, 750 * ms, // the cap
			10*time.Second - ms, 150 * ms, 300 * ms, // the 8th ran for 10s, and was followed at once
		}
		if diff := cmp.Diff(want, delays); diff != "" {
			t.Error(diff)
		}
	})
}

// What never was ready for a moment waits from the first failure on.
func TestBackoffOfWhatNeverWasReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, func(_ int, p *fakeProcess) error { p.exitAfter(2*time.Second, 3); return nil }, worker("a", 1))
		f.apps[0].way.way = gate{admitted: make(chan struct{})}
		f.run(false)
		f.is("a/0", StateStarting, "")
		f.after(2 * time.Second)
		f.is("a/0", StateBackoff, "exit 3, retry in 0.1s")
		if i := f.instance("a/0"); i.PID != nil || i.Uptime != nil || i.Restarts != 0 {
			t.Errorf("in backoff: %+v", i)
		}
		f.after(2*time.Second + 74*time.Millisecond)
		f.is("a/0", StateBackoff, "exit 3, retry in 0.0s")
		f.after(2*time.Second + 75*time.Millisecond)
		f.is("a/0", StateStarting, "")
	})
}

// How an app ends that keeps failing, or is not to be started again.
func TestRestartPolicies(t *testing.T) {
	for _, x := range []struct {
		name      string
		app       func(a *config.App)
		codes     []int // of the processes, the last one of all that follow
		processes int
		state     State
		reason    string
		event     string // the last one, without its time
		err       string // of Run
	}{
		{
			name:  "crash loop",
			app:   func(a *config.App) { a.MaxRestarts = 3 },
			codes: []int{1}, processes: 4, state: StateFailed,
			reason: `exit 1, gave up after 4 failures in 453ms; last output: cannot find module 4`,
			event:  "exited with code 1 after 1ms; giving up: 4 failures in 453ms",
			err:    `a/0 failed: exit 1, gave up after 4 failures in 453ms; last output: cannot find module 4`,
		},
		{
			name:  "restart never, failure",
			app:   func(a *config.App) { a.Restart = config.RestartNever },
			codes: []int{2}, processes: 1, state: StateFailed,
			reason: `exit 2, restart = "never"; last output: cannot find module 1`,
			event:  `exited with code 2 after 1ms; not restarting (restart = "never")`,
			err:    `a/0 failed: exit 2, restart = "never"; last output: cannot find module 1`,
		},
		{
			name:  "restart never, success",
			app:   func(a *config.App) { a.Restart = config.RestartNever },
			codes: []int{0}, processes: 1, state: StateDone,
			reason: "exit 0", event: "exited with code 0 after 1ms; done",
		},
		{
			name:  "restart on failure, until it succeeds",
			app:   func(a *config.App) { a.Restart = config.RestartOnFailure },
			codes: []int{1, 1, 0}, processes: 3, state: StateDone,
			reason: "exit 0", event: "exited with code 0 after 1ms; done",
		},
		{
			name: "success_codes",
			app: func(a *config.App) {
				a.Restart = config.RestartOnFailure
				a.SuccessCodes = []int{3, 75}
			},
			codes: []int{0, 75}, processes: 2, state: StateDone,
			reason: "exit 75", event: "exited with code 75 after 1ms; done",
		},
	} {
		t.Run(x.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := worker("a", 1)
				x.app(&a)
				// A second app keeps the cluster, for a look at the first.
				other := worker("b", 1)
				other.Restart = config.RestartOnFailure
				f := runFake(t, true, func(n int, p *fakeProcess) error {
					if p.slot == "b/0" {
						p.exitAfter(time.Hour, 0)
						return nil
					}
					var nth int
					for _, q := range p.os.started() {
						if q.slot == p.slot {
							nth++
						}
					}
					fmt.Fprintf(p.spec.stderr, "cannot find module %d\n", nth)
					p.exitAfter(time.Millisecond, x.codes[min(nth, len(x.codes))-1])
					return nil
				}, a, other)
				f.after(time.Minute)
				f.is("a/0", x.state, x.reason)
				if n := len(f.os.started()) - 1; n != x.processes {
					t.Errorf("%d processes, want %d", n, x.processes)
				}
				events := f.events()
				if last := events[len(events)-1]; !strings.HasSuffix(last, " a/0 "+x.event) {
					t.Errorf("last event %q, want %q", last, x.event)
				}
				var got string
				if err := <-f.result; err != nil {
					got = err.Error()
				}
				if got != x.err {
					t.Errorf("Run says %q, want %q", got, x.err)
				}
				if d := time.Since(f.begun); d != time.Hour {
					t.Errorf("Run ended after %s, want when the last app was done", d)
				}
			})
		})
	}
}

func TestMaxRestartsZeroNeverGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := worker("a", 1)
		a.MaxRestarts = 0
		a.BackoffMax = 200 * time.Millisecond
		f := runFake(t, false, func(_ int, p *fakeProcess) error { p.exitAfter(time.Millisecond, 1); return nil }, a)
		f.after(2 * time.Minute)
		if i := f.instance("a/0"); i.Restarts < 700 || i.State == StateFailed {
			t.Errorf("after two minutes: %s after %d restarts", i.State, i.Restarts)
		}
	})
}

// Nor does an app that only ever succeeds, which is paced all the same.
func TestSuccessInALoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := runFake(t, false, func(_ int, p *fakeProcess) error { p.exitAfter(time.Millisecond, 0); return nil }, worker("a", 1))
		f.after(time.Hour)
		if i := f.instance("a/0"); i.State == StateFailed || i.Restarts < 120 || i.Restarts > 200 {
			t.Errorf("after an hour: %s after %d restarts, want one every 22.5s", i.State, i.Restarts)
		}
		if got, want := f.events()[3], "2ms a/0 exited with code 0 after 1ms; restarting in 150ms (2nd exit)"; got != want {
			t.Errorf("event %q, want %q", got, want)
		}
	})
}

// Failures that are far apart never add up to a crash loop.
func TestOldFailuresAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := worker("a", 1)
		a.MaxRestarts = 2
		f := runFake(t, false, func(_ int, p *fakeProcess) error { p.exitAfter(31*time.Second, 1); return nil }, a)
		f.after(time.Hour)
		if i := f.instance("a/0"); i.State != StateReady || i.Restarts != 116 {
			t.Errorf("%s after %d restarts, want ready after 116", i.State, i.Restarts)
		}
	})
}

// A process that is still not ready after readyTimeout is said to be late, once.
func TestLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gate{admitted: make(chan struct{})}
		f := newFake(t, nil, worker("a", 1))
		f.apps[0].way.way = g
		f.run(false)
		asked := f.begins(VerbStart)
		f.after(readyTimeout)
		select {
		case err := <-asked:
			if want := "a/0 is not ready after 30s: not listening on $PORT"; err == nil || err.Error() != want {
				t.Errorf("start says %v, want %s", err, want)
			}
		default:
			t.Error("start still waits")
		}
		f.after(time.Minute)
		close(g.admitted)
		f.after(time.Minute)
		f.is("a/0", StateReady, "")
		want := []string{"30s a/0 still not ready after 30s", "1m0s a/0 ready after 1m0s"}
		if got := f.events()[1:]; !slices.Equal(got, want) {
			t.Errorf("events %q, want %q", got, want)
		}
	})
}

// What was healthy for long and comes back broken, as after a bad deployment, is a
// crash loop like any other, and ends with what it wrote last.
func TestHealthyIsSwappedForCrashing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := worker("a", 1)
		a.MaxRestarts = 3
		f := runFake(t, true, func(n int, p *fakeProcess) error {
			if n > 1 {
				p.exitAfter(10*time.Millisecond, 7)
			}
			return nil
		}, a)
		f.after(time.Hour)
		f.os.last("a/0").exit(1)
		f.after(time.Hour + time.Second)
		if n := len(f.os.started()); n != 4 {
			t.Errorf("%d processes, want the healthy one and three others", n)
		}
		if err := <-f.result; err == nil || err.Error() != "a/0 failed: exit 7, gave up after 4 failures in 480ms" {
			t.Errorf("Run says %v", err)
		}
		f.result <- nil
	})
}
