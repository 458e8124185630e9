package proc

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestReloadIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _ := runStreet(t, func(n int, p *fakeProcess) error {
			if n > 2 {
				p.mute = true
			}
			return nil
		}, worker("a", 2))
		first := f.begins(VerbReload)
		for _, x := range []struct {
			got  error
			want string
		}{
			{f.do(VerbReload, "a/1"), "cannot reload a: it is being reloaded already (0 of 2 done)"},
			{f.scale(5), "cannot scale a: it is being reloaded (0 of 2 done)"},
		} {
			if x.got == nil || x.got.Error() != x.want {
				t.Errorf("%v, want %s", x.got, x.want)
			}
		}
		f.stop()
		if err := <-first; err == nil || !strings.HasSuffix(err.Error(), "the reload of a ended after 0 of 2: the cluster is stopping") {
			t.Errorf("%v", err)
		}
	})
}

// Whatever else the user does with an instance ends its reload, and has its
// usual effect.
func TestReloadIsInterrupted(t *testing.T) {
	for _, x := range []struct {
		verb       Verb
		done       string
		state      State
		generation int
	}{
		{VerbStop, "stopped", StateStopped, 2},
		{VerbRestart, "restarted", StateReady, 3},
		{VerbKill, "killed", StateReady, 3},
	} {
		for _, ready := range []bool{false, true} {
			t.Run(string(x.verb), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f, s := runStreet(t, func(n int, p *fakeProcess) error {
						if n == 3 && !ready {
							p.mute = true
						}
						return nil
					}, worker("a", 2))
					s.busy = make(chan struct{}) // each drain takes its time
					f.after(time.Second)
					reloaded := f.begins(VerbReload)
					f.after(2 * time.Second)
					acted := f.begins(x.verb, "a/0")
					err := <-reloaded
					if want := "a/0 was " + x.done + " during its reload"; err == nil || err.Error() != want {
						t.Errorf("reload: %v, want %s", err, want)
					}
					if err := <-acted; err != nil {
						t.Errorf("%s: %v", x.verb, err)
					}
					f.after(time.Minute)
					if i := f.instance("a/0"); i.State != x.state || i.Generation != x.generation || (i.State == StateReady) != (i.PID != nil) {
						t.Errorf("a/0: %+v", i)
					}
					if i := f.instance("a/1"); i.State != StateReady || i.Generation != 2 {
						t.Errorf("the other one is not reloaded: %+v", i)
					}
					want := 2
					if x.state == StateStopped {
						want = 1
					}
					if n := len(f.os.living); n != want {
						t.Errorf("%d processes live, want %d", n, want)
					}
				})
			})
		}
	}
}

// What is stopped before its turn stays stopped.
func TestStopBeforeItsReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ready := make(chan struct{})
		f, _ := runStreet(t, func(n int, p *fakeProcess) error {
			if n == 3 {
				p.serves = ready
			}
			return nil
		}, worker("a", 2))
		reloaded := f.begins(VerbReload)
		if err := f.do(VerbStop, "a/1"); err != nil {
			t.Error(err)
		}
		close(ready)
		if err := <-reloaded; err == nil || err.Error() != "a/1 was stopped before the reload came to it" {
			t.Errorf("reload: %v", err)
		}
		f.is("a/1", StateStopped, "")
	})
}
