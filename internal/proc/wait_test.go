package proc

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		idle := worker("idle", 1)
		idle.Autostart = false
		f := newFake(t, func(n int, p *fakeProcess) error {
			if p.slot == "flaky/0" && n < 5 {
				p.exitAfter(time.Second, 1)
			}
			return nil
		}, worker("web", 1), slow(worker("flaky", 1)), idle)
		f.os.check = passesAfter(10 * time.Second)
		f.run(false)
		if err := f.do(VerbWait, "web"); err != nil {
			t.Error(err)
		}
		if err := f.do(VerbWait, "idle"); err == nil || err.Error() != "idle/0 is stopped; start it with: clusterd start idle/0" {
			t.Errorf("wait for what is stopped: %v", err)
		}
		all := f.begins(VerbWait)
		f.after(9 * time.Second)
		select {
		case err := <-all:
			t.Errorf("wait ends before its time: %v", err)
		default:
		}
		if err := <-all; err != nil {
			t.Errorf("crashes on the way: %v", err)
		}
	})
}

// The first that is not going to be ready ends it, however long the others take.
func TestWaitForWhatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, func(_ int, p *fakeProcess) error {
			if p.slot == "once/0" {
				p.exitAfter(time.Second, 1)
			}
			return nil
		}, slow(once("once")), slow(worker("slow", 1)))
		f.os.check = passesAfter(time.Hour)
		f.run(false)
		err := f.Do(context.Background(), Action{Verb: VerbWait})
		if err == nil || err.Error() != `once/0 is failed: exit 1, restart = "never"` || time.Since(f.begun) > 2*time.Second {
			t.Errorf("after %s: %v", time.Since(f.begun), err)
		}
	})
}

// Who waits no longer is not remembered.
func TestWaitIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, nil, slow(worker("a", 1)))
		f.os.check = passesAfter(time.Hour)
		f.run(false)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := f.Do(ctx, Action{Verb: VerbWait}); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		f.after(10 * time.Second)
		f.stop()
		<-f.result
		f.result <- nil
		if n := len(f.operations); n != 0 {
			t.Errorf("%d operations are remembered", n)
		}
	})
}
