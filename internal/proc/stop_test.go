package proc

import (
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"clusterd/internal/config"
)

// stubborn processes do nothing about signals.
func stubborn(_ int, p *fakeProcess) error {
	p.deaf = true
	return nil
}

func TestStopDuringBackoffWorksAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := worker("a", 1)
		a.BackoffMin = 10 * time.Second
		f := newFake(t, func(_ int, p *fakeProcess) error { p.exit(1); return nil }, a)
		f.run(false)
		f.is("a/0", StateBackoff, "exit 1, retry in 8s")
		if err := f.do(VerbStop, "a"); err != nil {
			t.Error(err)
		}
		f.is("a/0", StateStopped, "")
		f.after(time.Hour)
		if n := len(f.os.started()); n != 1 {
			t.Errorf("%d processes were started, want the first only", n)
		}
	})
}

// What is stopped while it is being launched is told so as soon as it runs.
func TestStopDuringLaunch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		launching := make(chan struct{})
		f := runFake(t, false, func(int, *fakeProcess) error { <-launching; return nil }, worker("a", 1))
		f.is("a/0", StateStarting, "")
		stopped := f.begins(VerbStop, "a")
		f.is("a/0", StateStopping, "")
		close(launching)
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		f.is("a/0", StateStopped, "")
		if signals, _ := f.os.last("a/0").received(); !slices.Equal(signals, []syscall.Signal{syscall.SIGTERM}) {
			t.Errorf("it got %v, want SIGTERM", signals)
		}
	})
}

// A launch that fails after it was asked to be stopped ends as the stop wants.
func TestLaunchErrorDuringStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		launching := make(chan struct{})
		f := runFake(t, false, func(int, *fakeProcess) error {
			<-launching
			return errors.New("no such thing")
		}, worker("a", 1))
		restarted := f.begins(VerbRestart, "a")
		f.stop()
		synctest.Wait()
		close(launching)
		if err := <-f.result; err != nil {
			t.Errorf("Run says %v", err)
		}
		if err := <-restarted; err == nil {
			t.Error("the restart was done, though the cluster went down")
		}
		if n := len(f.os.started()); n != 1 {
			t.Errorf("%d tries, want 1", n)
		}
	})
}

func TestStartDuringSlowStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := runFake(t, false, func(n int, p *fakeProcess) error { p.deaf = n == 1; return nil }, worker("a", 1))
		stopped := f.begins(VerbStop, "a")
		f.after(3 * time.Second)
		f.is("a/0", StateStopping, "")
		started := f.begins(VerbStart, "a")
		f.after(5 * time.Second)
		f.is("a/0", StateStopping, "")
		f.os.last("a/0").exit(0)
		if err := <-started; err != nil {
			t.Errorf("start: %v", err)
		}
		f.is("a/0", StateReady, "")
		if got, want := f.events()[1:3], []string{
			"5s a/0 exited with code 0 after 5s; restarting, as asked",
			"5s a/0 started, pid 9000002",
		}; !slices.Equal(got, want) {
			t.Errorf("events %q, want %q", got, want)
		}
		synctest.Wait()
		const meanwhile = "it was started meanwhile"
		select {
		case err := <-stopped:
			if err == nil || !strings.HasSuffix(err.Error(), meanwhile) {
				t.Errorf("stop: %v, want %s", err, meanwhile)
			}
		default:
			t.Error("stop waits for what will not come")
		}
	})
}

// A stop is stronger than the restart that it comes after.
func TestStopDuringRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := runFake(t, false, stubborn, worker("a", 1))
		restarted := f.begins(VerbRestart, "a")
		stopped := f.begins(VerbStop, "a")
		f.os.last("a/0").exit(0)
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		if err := <-restarted; err == nil || err.Error() != "a/0 is stopped: it was stopped meanwhile" {
			t.Errorf("restart: %v", err)
		}
		f.is("a/0", StateStopped, "")
	})
}

func TestStopTimeoutKillsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := worker("a", 1)
		a.StopSignal, a.StopTimeout = syscall.SIGINT, 7*time.Second
		f := runFake(t, false, stubborn, a)
		stopped := f.begins(VerbStop)
		f.after(7*time.Second - 1)
		p := f.os.last("a/0")
		if signals, kills := p.received(); kills != 0 || !slices.Equal(signals, []syscall.Signal{syscall.SIGINT}) {
			t.Errorf("before stop_timeout: %v and %d kills, want SIGINT alone", signals, kills)
		}
		f.after(7 * time.Second)
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		f.after(time.Hour)
		if signals, kills := p.received(); kills != 1 || len(signals) != 1 {
			t.Errorf("in the end: %v and %d kills, want one of each", signals, kills)
		}
		f.is("a/0", StateStopped, "")
		if got, want := f.events()[1:], []string{
			"7s a/0 did not stop within 7s of SIGINT; killing it",
			"7s a/0 was killed by SIGKILL after 7s; stopped",
		}; !slices.Equal(got, want) {
			t.Errorf("events %q, want %q", got, want)
		}
	})
}

// What a process leaves behind has the rest of stop_timeout, then it is killed.
func TestStopTimeoutOfWhatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := runFake(t, false, func(_ int, p *fakeProcess) error { p.lasts = true; return nil }, worker("a", 1))
		stopped := f.begins(VerbStop)
		f.is("a/0", StateStopping, "SIGTERM, ending what it left behind")
		f.after(10 * time.Second)
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		want := "10s a/0 left processes behind that did not stop within 10s of SIGTERM; killing it"
		if !slices.Contains(f.events(), want) {
			t.Errorf("%q lacks %q", f.events(), want)
		}
	})
}

// What a crashed process leaves behind is not waited for.
func TestCrashTakesAlongWhatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := runFake(t, false, func(_ int, p *fakeProcess) error { p.lasts = true; return nil }, worker("a", 1))
		f.after(time.Second)
		f.os.last("a/0").exit(1)
		f.after(time.Second)
		f.is("a/0", StateReady, "")
		if n := len(f.os.started()); n != 2 {
			t.Errorf("%d processes, want 2", n)
		}
	})
}

// A start of what has crashed, and is not quite gone, is a start.
func TestStartWhileACrashIsCleanedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := make(chan struct{})
		f := runFake(t, false, func(n int, p *fakeProcess) error {
			if n == 1 {
				p.leftover = gone
				p.exitAfter(time.Second, 1)
			}
			return nil
		}, worker("a", 1))
		f.after(time.Second)
		f.is("a/0", StateStopping, "exit 1, ending what it left behind")
		first, second := f.begins(VerbStart, "a"), f.begins(VerbStart, "a")
		close(gone)
		synctest.Wait()
		for _, started := range []<-chan error{first, second} {
			if err := <-started; err != nil {
				t.Errorf("start: %v", err)
			}
		}
		f.is("a/0", StateReady, "")
		if i := f.instance("a/0"); i.Restarts != 0 || i.Generation != 2 {
			t.Errorf("after the start: %+v", i)
		}
	})
}

func TestGracefulStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := worker("a", 3), worker("b", 1)
		b.BackoffMin = time.Minute
		done := worker("c", 1)
		done.Restart = config.RestartNever
		f := runFake(t, false, func(_ int, p *fakeProcess) error {
			switch p.slot {
			case "a/1":
				p.deaf = true
			case "b/0":
				p.exit(1)
			case "c/0":
				p.exit(0)
			}
			return nil
		}, a, b, done)
		f.after(time.Second)
		f.stop()
		synctest.Wait()
		f.is("a/0", StateStopped, "")
		f.is("a/1", StateStopping, "")
		f.is("b/0", StateStopped, "")
		f.is("c/0", StateDone, "exit 0")
		if s, err := f.Snapshot(t.Context()); err != nil || !s.Stopping {
			t.Errorf("the snapshot does not say that the cluster stops: %v", err)
		}
		if err := f.do(VerbStart, "a/0"); err == nil || err.Error() != "cannot start: the cluster is stopping" {
			t.Errorf("start: %v", err)
		}
		if err := <-f.result; err != nil {
			t.Errorf("Run says %v", err)
		}
		if d := time.Since(f.begun); d != 11*time.Second {
			t.Errorf("Run ended after %s, want 11s: stop_timeout of the stubborn one", d)
		}
		if _, err := f.Snapshot(t.Context()); !errors.Is(err, ErrDown) {
			t.Errorf("snapshot after Run: %v, want %v", err, ErrDown)
		}
		if err := f.Do(t.Context(), Action{Verb: VerbStart}); !errors.Is(err, ErrDown) {
			t.Errorf("start after Run: %v, want %v", err, ErrDown)
		}
	})
}

// Kill ends the cluster without any waiting, whatever its instances are at.
func TestKillAtEveryStage(t *testing.T) {
	for _, x := range []struct {
		name   string
		behave func(p *fakeProcess, launching <-chan struct{})
		before func(f *fakeCluster)
		ready  bool
		state  State
		kills  int
	}{
		{name: "launching", state: StateStarting, ready: true, kills: 1,
			behave: func(_ *fakeProcess, launching <-chan struct{}) { <-launching }},
		{name: "launching, asked to stop", state: StateStopping, ready: true, kills: 1,
			behave: func(_ *fakeProcess, launching <-chan struct{}) { <-launching },
			before: func(f *fakeCluster) { f.begins(VerbStop) }},
		{name: "starting", state: StateStarting, kills: 1},
		{name: "ready", state: StateReady, ready: true, kills: 1},
		{name: "backoff", state: StateBackoff, ready: true,
			behave: func(p *fakeProcess, _ <-chan struct{}) { p.exit(1) }},
		{name: "stopping", state: StateStopping, ready: true, kills: 1,
			before: func(f *fakeCluster) { f.begins(VerbStop) }},
		{name: "restarting", state: StateStopping, ready: true, kills: 1,
			before: func(f *fakeCluster) { f.begins(VerbRestart) }},
		{name: "ending what is left", state: StateStopping, ready: true,
			behave: func(p *fakeProcess, _ <-chan struct{}) { p.lasts, p.deaf = true, false },
			before: func(f *fakeCluster) { f.begins(VerbStop) }},
		{name: "a graceful stop", state: StateStopping, ready: true, kills: 1,
			before: func(f *fakeCluster) { f.stop(); synctest.Wait() }},
	} {
		t.Run(x.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				launching, ready := make(chan struct{}), make(chan struct{})
				if x.ready {
					close(ready)
				}
				f := newFake(t, func(_ int, p *fakeProcess) error {
					p.deaf = true
					if x.behave != nil {
						x.behave(p, launching)
					}
					return nil
				}, worker("a", 1))
				f.apps[0].way.way = gate{admitted: ready}
				f.run(false)
				if x.before != nil {
					x.before(f)
				}
				if s := f.instance("a/0").State; s != x.state {
					t.Fatalf("it is %s, want %s", s, x.state)
				}
				f.Kill()
				f.Kill() // a second one changes nothing
				synctest.Wait()
				close(launching)
				if err := <-f.result; err != nil {
					t.Errorf("Run says %v", err)
				}
				if d := time.Since(f.begun); d != 0 {
					t.Errorf("it took %s", d)
				}
				if _, kills := f.os.last("a/0").received(); kills != x.kills {
					t.Errorf("%d kills, want %d", kills, x.kills)
				}
			})
		})
	}
}
