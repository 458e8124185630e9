package proc

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"clusterd/internal/config"
)

// Instances are replaced one after the other, and each successor is on the port
// before its predecessor is drained and told to stop.
func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := make(chan struct{})
		f, s := runStreet(t, func(n int, p *fakeProcess) error {
			if n == 3 {
				p.serves = begin
			}
			return nil
		}, worker("a", 2))
		f.after(time.Minute)
		*s.noted = nil
		old, other := f.os.last("a/0"), f.os.last("a/1")
		reloaded := f.begins(VerbReload)
		f.after(time.Minute + 3*time.Second)
		f.is("a/0", StateReady, "reload 1/2: successor starting, pid 9000003: it thinks")
		f.is("a/1", StateReady, "")
		if i := f.instance("a/0"); *i.PID != old.pid || i.Generation != 1 || *i.Uptime != 63 {
			t.Errorf("shown is not who serves: %+v", i)
		}
		close(begin)
		if err := <-reloaded; err != nil {
			t.Error(err)
		}
		for _, id := range []string{"a/0", "a/1"} {
			if i := f.instance(id); i.State != StateReady || i.Reason != "" || i.Generation != 2 || i.Restarts != 0 || *i.PID != f.os.last(id).pid {
				t.Errorf("%s: %+v", id, i)
			}
		}
		if diff := cmp.Diff([]string{
			"admit 0.2", "drain 0.1", "withdraw 0.1", "release 0.1",
			"admit 1.2", "drain 1.1", "withdraw 1.1", "release 1.1",
		}, *s.noted); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{
			"1m0s a/0 reload 1/2: successor started, pid 9000003",
			"1m0s a/0 reload 1/2: successor: it thinks",
			fmt.Sprintf("1m3s a/0 reload 1/2: successor ready after 3s; ending pid %d", old.pid),
			"1m3s a/0 reload 1/2: was killed by SIGTERM after 1m3s",
			"1m3s a/1 reload 2/2: successor started, pid 9000004",
			fmt.Sprintf("1m3s a/1 reload 2/2: successor ready after 0s; ending pid %d", other.pid),
			"1m3s a/1 reload 2/2: was killed by SIGTERM after 1m3s",
			"1m3s a reloaded 2 of 2 in 3s",
		}, f.events()[4:]); diff != "" {
			t.Error(diff)
		}
	})
}

// A successor that will not do leaves everything as it was, and the command
// says why.
func TestReloadThatFails(t *testing.T) {
	for _, x := range []struct {
		name   string
		behave func(p *fakeProcess) error
		took   time.Duration
		want   string
	}{
		{"it exits", func(p *fakeProcess) error {
			p.mute = true
			p.exitAfter(time.Second, 3)
			_, _ = p.spec.stderr.WriteString("\n\x1b[31mno database\x1b[0m\n")
			return nil
		}, time.Second, "a/0: its successor exited with code 3 after 1s; last output: no database"},
		{"it does not listen", func(p *fakeProcess) error {
			p.mute = true
			return nil
		}, readyTimeout, "a/0: its successor is not ready after 30s: it thinks"},
		{"it cannot be launched", func(*fakeProcess) error {
			return errors.New("no such thing")
		}, 0, "a/0: its successor cannot start: no such thing"},
	} {
		t.Run(x.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, _ := runStreet(t, func(n int, p *fakeProcess) error {
					if n == 4 {
						return x.behave(p)
					}
					return nil
				}, worker("a", 3))
				f.after(time.Minute)
				began := time.Now()
				err := <-f.begins(VerbReload, "a")
				want := x.want + "\na: reloaded 0 of 3 in " + round(x.took).String() + "; the rest is as it was"
				if err == nil || err.Error() != want {
					t.Errorf("%v, want %s", err, want)
				}
				if d := time.Since(began); d != x.took {
					t.Errorf("it took %s", d)
				}
				f.after(2 * time.Minute)
				if n := len(f.os.started()); n != 4 {
					t.Errorf("%d processes were started, want 4", n)
				}
				for _, id := range []string{"a/0", "a/1", "a/2"} {
					if i := f.instance(id); i.State != StateReady || i.Reason != "" || i.Generation != 1 || *i.Uptime != 120 {
						t.Errorf("%s: %+v", id, i)
					}
				}
				for _, p := range f.os.started()[:3] {
					if signals, kills := p.received(); len(signals)+kills != 0 {
						t.Errorf("pid %d got %v and %d kills", p.pid, signals, kills)
					}
				}
				// The next one may do.
				if err := f.do(VerbReload, "a"); err != nil {
					t.Error(err)
				}
				if i := f.instance("a/0"); i.Generation != 3 || i.Restarts != 0 {
					t.Errorf("after another reload: %+v", i)
				}
			})
		})
	}
}

// A successor that is ready for a moment only has replaced nothing, either.
func TestReloadToWhatEndsSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := runStreet(t, func(n int, p *fakeProcess) error {
			if n == 3 {
				p.exitAfter(time.Second, 1)
			}
			return nil
		}, worker("a", 2))
		s.busy = make(chan struct{})
		first := f.os.last("a/0").pid
		reloaded := f.begins(VerbReload)
		f.is("a/0", StateReady, fmt.Sprintf("reload 1/2: waiting for the end of pid %d", first))
		f.after(2 * time.Second)
		close(s.busy)
		err := <-reloaded
		if want := "a/0: its successor was ready, but exited with code 1 soon after that"; err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
		f.is("a/0", StateReady, "")
		if i := f.instance("a/1"); i.Generation != 1 {
			t.Errorf("the reload went on: %+v", i)
		}
	})
}

// Requests in flight have stop_timeout to be answered.
func TestReloadWaitsForRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := runStreet(t, nil, worker("a", 1))
		s.busy = make(chan struct{})
		reloaded := f.begins(VerbReload)
		f.after(10*time.Second - 1)
		old := f.os.started()[0]
		if signals, _ := old.received(); len(signals) != 0 {
			t.Errorf("it got %v while it had requests", signals)
		}
		if err := <-reloaded; err != nil {
			t.Error(err)
		}
		if d := time.Since(f.begun); d != 10*time.Second {
			t.Errorf("it took %s, want stop_timeout", d)
		}
	})
}

func TestReloadParallel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ready := make(chan struct{})
		a := worker("a", 5)
		a.ReloadParallel = 2
		f, _ := runStreet(t, func(n int, p *fakeProcess) error {
			if n > 5 {
				p.serves = ready
			}
			return nil
		}, a)
		reloaded := f.begins(VerbReload)
		f.after(time.Second)
		if n := len(f.os.started()); n != 7 {
			t.Errorf("%d successors at a time, want 2", n-5)
		}
		close(ready)
		if err := <-reloaded; err != nil {
			t.Error(err)
		}
		if n := len(f.os.started()); n != 10 {
			t.Errorf("%d successors, want 5", n-5)
		}
	})
}

// A predecessor that crashes while its successor is starting is not started
// again beside that; only if that fails, too.
func TestPredecessorCrashes(t *testing.T) {
	for _, good := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			ready := make(chan struct{})
			f, _ := runStreet(t, func(n int, p *fakeProcess) error {
				if n == 2 {
					p.serves = ready
				}
				return nil
			}, worker("a", 1))
			f.after(time.Minute)
			reloaded := f.begins(VerbReload)
			f.os.started()[0].exit(7)
			f.after(2*time.Minute - 50*time.Second)
			f.is("a/0", StateStarting, "reload 1/1: successor starting, pid 9000002: it thinks")
			if i := f.instance("a/0"); i.Generation != 2 || *i.PID != firstPID+1 || i.LastExit.Code != 7 {
				t.Errorf("%+v, last exit %+v", i, i.LastExit)
			}
			if good {
				close(ready)
			} else {
				f.os.last("a/0").exit(8)
			}
			err := <-reloaded
			synctest.Wait()
			i := f.instance("a/0")
			switch {
			case good && (err != nil || i.Restarts != 0 || i.Generation != 2):
				t.Errorf("%v: %+v", err, i)
			case !good && (err == nil || i.Restarts != 1 || i.Generation != 3):
				t.Errorf("%v: %+v", err, i)
			}
			f.is("a/0", StateReady, "")
		})
	}
}

// Where two must not be, or nothing serves, an instance is started anew.
func TestReloadByRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := runFake(t, false, nil, worker("a", 3))
		f.after(time.Minute)
		if err := f.do(VerbStop, "a/1"); err != nil {
			t.Error(err)
		}
		if err := f.do(VerbReload, "a"); err != nil {
			t.Error(err)
		}
		for _, id := range []string{"a/0", "a/1", "a/2"} {
			if i := f.instance(id); i.State != StateReady || i.Generation != 2 || i.Restarts != 0 {
				t.Errorf("%s: %+v", id, i)
			}
		}
	})
	synctest.Test(t, func(t *testing.T) {
		a := worker("a", 2)
		a.Restart = config.RestartNever
		f := runFake(t, false, func(n int, p *fakeProcess) error {
			switch {
			case n <= 2:
				p.deaf = true
			case n == 3:
				return errors.New("gone")
			}
			return nil
		}, a)
		reloaded := f.begins(VerbReload)
		f.after(time.Second)
		f.is("a/0", StateStopping, "reload 1/2: restarting")
		f.is("a/1", StateReady, "")
		err := <-reloaded
		if want := "a/0 is failed: cannot start: gone, restart = \"never\"\na: reloaded 0 of 2 in 10s; the rest is as it was"; err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
		if signals, _ := f.os.last("a/1").received(); !slices.Equal(signals, []syscall.Signal(nil)) {
			t.Errorf("the other one got %v", signals)
		}
	})
}
