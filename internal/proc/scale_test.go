package proc

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"clusterd/internal/traffic"
)

// scales is Do in the background: a is to have n instances.
func (f *fakeCluster) scales(n int) <-chan error {
	answer := make(chan error, 1)
	go func() { answer <- f.Do(context.Background(), Action{Verb: VerbScale, Sizes: map[string]int{"a": n}}) }()
	synctest.Wait()
	return answer
}

func (f *fakeCluster) scale(n int) error { return <-f.scales(n) }

func (f *fakeCluster) ids() []string {
	f.t.Helper()
	s, err := f.Snapshot(context.Background())
	if err != nil {
		f.t.Fatal(err)
	}
	var ids []string
	for _, i := range s.Apps[0].Instances {
		ids = append(ids, i.ID+" "+string(i.State))
	}
	if n := s.Apps[0].InstancesWanted; n != f.apps[0].wanted {
		f.t.Errorf("%d are wanted", n)
	}
	return ids
}

func TestScale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ready := make(chan struct{})
		f, s := runStreet(t, func(n int, p *fakeProcess) error {
			if n > 1 {
				p.serves = ready
			}
			return nil
		}, worker("a", 1))
		*s.noted = nil
		up := f.scales(3)
		if diff := cmp.Diff([]string{"a/0 ready", "a/1 starting", "a/2 starting"}, f.ids()); diff != "" {
			t.Error(diff)
		}
		close(ready)
		if err := <-up; err != nil {
			t.Error(err)
		}
		f.apps[0].counters[2].RequestDone(200, 0)
		s.busy = make(chan struct{})
		down := f.scales(1)
		if diff := cmp.Diff([]string{"a/0 ready", "a/1 stopping", "a/2 stopping"}, f.ids()); diff != "" {
			t.Error(diff)
		}
		for _, x := range []struct {
			got  error
			want string
		}{
			{f.scale(2), "cannot scale a to 2: it is still on its way down to 1"},
			{f.do(VerbReload, "a"), "cannot reload a: instances of it are being removed"},
			{f.do(VerbRestart, "a/2"), "cannot restart a/2: it is being removed"},
			{f.scale(-1), "cannot scale a to -1: an app can have 0 to 1000 instances"},
			{f.scale(1001), "cannot scale a to 1001: an app can have 0 to 1000 instances"},
		} {
			if x.got == nil || x.got.Error() != x.want {
				t.Errorf("%v, want %s", x.got, x.want)
			}
		}
		close(s.busy)
		if err := <-down; err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]string{"a/0 ready"}, f.ids()); diff != "" {
			t.Error(diff)
		}
		if err := f.scale(0); err != nil {
			t.Error(err)
		}
		if err := f.scale(0); err != nil {
			t.Error(err)
		}
		if n := len(f.os.living); n != 0 || f.ids() != nil {
			t.Errorf("%d processes and %v are left", n, f.ids())
		}
		if n := f.apps[0].requests(); n != 1 {
			t.Errorf("the total of the app is %d, want what a removed instance served", n)
		}
		if err := f.scale(1); err != nil {
			t.Error(err)
		}
		if i := f.instance("a/0"); i.State != StateReady || i.Generation != 1 {
			t.Errorf("after 0: %+v", i)
		}
	})
}

// The order in which a slot goes: nothing new, then nobody, then it.
func TestScaleDownInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := runStreet(t, nil, worker("a", 3))
		f.after(time.Second)
		*s.noted = nil
		if err := f.scale(1); err != nil {
			t.Error(err)
		}
		last := 0
		for i, what := range *s.noted {
			if what == "remove 2.0" {
				last = i
			}
		}
		if diff := cmp.Diff("remove 1.0", (*s.noted)[len(*s.noted)-1]); diff != "" {
			t.Error(diff)
		}
		for _, what := range []string{"drain 2.1", "withdraw 2.1", "release 2.1"} {
			found := false
			for _, noted := range (*s.noted)[:last] {
				found = found || noted == what
			}
			if !found {
				t.Errorf("no %s before its slot is removed: %v", what, *s.noted)
			}
		}
	})
}

func TestScaleThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := worker("a", 1)
		a.MaxRestarts = 1
		f, _ := runStreet(t, func(n int, p *fakeProcess) error {
			if n > 1 && p.slot == "a/1" {
				p.mute = true
				p.exit(4)
			}
			return nil
		}, a)
		if err := f.scale(3); err == nil || err.Error() != "a/1 is backoff: exit 4" {
			t.Errorf("scale: %v", err)
		}
		f.after(time.Minute)
		if diff := cmp.Diff([]string{"a/0 ready", "a/1 failed", "a/2 ready"}, f.ids()); diff != "" {
			t.Error(diff)
		}
		err := f.Do(t.Context(), Action{Verb: VerbScale, Sizes: map[string]int{"a": 1, "b": 1}})
		if err == nil || err.Error() != `no app "b": the cluster has a` || len(f.ids()) != 3 {
			t.Errorf("scale of a mistake: %v, %v", err, f.ids())
		}
	})
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, nil, worker("a", 1))
		f.apps[0].way.way = cramped{}
		f.run(false)
		err := f.scale(4)
		if want := "cannot scale a to 4: no room; it has 2"; err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
		if diff := cmp.Diff([]string{"a/0 ready", "a/1 ready"}, f.ids()); diff != "" {
			t.Error(diff)
		}
	})
}

// cramped is a way with room for two.
type cramped struct{ noPort }

func (cramped) addSlot(slot int, _ *traffic.Counters) error {
	if slot > 1 {
		return errors.New("no room")
	}
	return nil
}

// What depends on an app, and is scaled up together with it, does not bring back what
// that has too many of.
func TestScaleDownOfWhatIsNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := runFake(t, false, nil, worker("a", 3), after(worker("b", 1), "a ready"))
		done := make(chan error, 1)
		go func() {
			done <- f.Do(context.Background(), Action{Verb: VerbScale, Sizes: map[string]int{"a": 1, "b": 2}})
		}()
		f.after(time.Minute)
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		default:
			t.Error("it never ends")
		}
		if diff := cmp.Diff(map[string]int{"a/0": 1, "b/0": 1, "b/1": 1}, f.generations()); diff != "" {
			t.Error(diff)
		}
	})
}
