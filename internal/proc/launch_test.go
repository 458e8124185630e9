package proc

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// noSuchThing is a command that cannot be executed.
var noSuchThing = &CommandError{Command: "thing", Problem: "no such file"}

// A command that never could be executed is not tried again.
func TestLaunchErrorFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := runFake(t, true, func(int, *fakeProcess) error { return noSuchThing }, worker("a", 2))
		err := <-f.result
		want := `a/0 failed: cannot start: command "thing": no such file` + "\n" +
			`a/1 failed: cannot start: command "thing": no such file`
		if err == nil || err.Error() != want {
			t.Errorf("Run says %v, want %s", err, want)
		}
		if n := len(f.os.started()); n != 2 {
			t.Errorf("%d tries, want 2", n)
		}
	})
}

// Any other launch that fails is a crash among others: it is tried again until
// there are too many.
func TestLaunchErrorsThatPass(t *testing.T) {
	for _, x := range []struct {
		name   string
		err    error
		from   int // the first and the last launch that fails
		to     int
		events []string
		reason string // in the end; "": it is ready
	}{
		{
			name: "a program that is being replaced", err: noSuchThing, from: 2, to: 3,
			events: []string{
				`1s a/0 exited with code 1 after 1s; restarting at once`,
				`1s a/0 cannot start: command "thing": no such file; restarting in 150ms (2nd failure)`,
				`1.15s a/0 cannot start: command "thing": no such file; restarting in 300ms (3rd failure)`,
				`1.45s a/0 started, pid 9000004`,
			},
		},
		{
			name: "no memory, from the beginning", err: unix.ENOMEM, from: 1, to: 1,
			events: []string{
				`0s a/0 cannot start: cannot allocate memory; restarting in 75ms (1st failure)`,
				`75ms a/0 started, pid 9000002`,
				`1.075s a/0 exited with code 1 after 1s; restarting in 150ms (2nd failure)`,
				`1.225s a/0 started, pid 9000003`,
			},
		},
		{
			name: "no descriptors, for good", err: unix.EMFILE, from: 2, to: 99,
			events: []string{
				`1s a/0 exited with code 1 after 1s; restarting at once`,
				`1s a/0 cannot start: too many open files; restarting in 150ms (2nd failure)`,
				`1.15s a/0 cannot start: too many open files; restarting in 300ms (3rd failure)`,
				`1.45s a/0 cannot start: too many open files; giving up: 4 failures in 450ms`,
			},
			reason: `cannot start: too many open files, gave up after 4 failures in 450ms`,
		},
	} {
		t.Run(x.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := worker("a", 1)
				a.MaxRestarts = 3
				crashed := false
				f := runFake(t, false, func(n int, p *fakeProcess) error {
					if n >= x.from && n <= x.to {
						return x.err
					}
					if !crashed {
						crashed = true
						fmt.Fprintln(p.spec.stdout, "last words of another")
						p.exitAfter(time.Second, 1)
					}
					return nil
				}, a)
				f.after(time.Minute)
				if x.reason == "" {
					f.is("a/0", StateReady, "")
				} else {
					f.is("a/0", StateFailed, x.reason)
				}
				events := f.events()
				if x.from > 1 {
					events = events[1:] // of the first start
				}
				if diff := cmp.Diff(x.events, events); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// fullHouse is a way that has no place for a generation, a few times.
type fullHouse struct {
	noPort
	left *int
}

func (w fullHouse) prepare(slot, generation int) (place, error) {
	if *w.left--; *w.left >= 0 {
		return place{}, unix.EMFILE
	}
	return place{}, nil
}

// Nor is an instance given up at once for which there is no place.
func TestNoPlaceForNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, nil, worker("a", 1))
		left := 2
		f.apps[0].way.way = fullHouse{left: &left}
		f.run(false)
		f.is("a/0", StateBackoff, "cannot start: too many open files, retry in 0.1s")
		f.after(time.Minute)
		f.is("a/0", StateReady, "")
		if i := f.instance("a/0"); i.Restarts != 2 || i.LastExit != nil {
			t.Errorf("%+v, last exit %+v", i, i.LastExit)
		}
	})
}
