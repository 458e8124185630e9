package proc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"clusterd/internal/config"
)

// applies begins to apply apps; what comes of it arrives in the channel.
func (f *fakeCluster) applies(apps ...config.App) (changes []string, outcome <-chan error) {
	f.t.Helper()
	cfg := &config.Config{Name: "test", Path: "/test/cluster.toml", Dir: "/test", Apps: apps}
	told, reply := make(chan []string, 1), make(chan error, 1)
	f.messages <- applyMsg{cfg, told, reply}
	synctest.Wait()
	select {
	case changes = <-told:
	default:
	}
	return changes, reply
}

// apply is applies where it is over without any time passing.
func (f *fakeCluster) apply(apps ...config.App) ([]string, error) {
	f.t.Helper()
	changes, outcome := f.applies(apps...)
	select {
	case err := <-outcome:
		return changes, err
	default:
		f.t.Errorf("apply takes its time: %v", f.operations)
		return changes, nil
	}
}

// generations are those of all instances: "a/0 1".
func (f *fakeCluster) generations() map[string]int {
	f.t.Helper()
	s, err := f.Snapshot(context.Background())
	if err != nil {
		f.t.Fatal(err)
	}
	out := map[string]int{}
	for _, a := range s.Apps {
		for _, i := range a.Instances {
			out[i.ID] = i.Generation
		}
	}
	return out
}

// edited is an app with changes.
func edited(a config.App, edits ...func(*config.App)) config.App {
	for _, e := range edits {
		e(&a)
	}
	return a
}

func setEnv(a *config.App)         { a.Env = map[string]string{"NEW": "1"} }
func setPatience(a *config.App)    { a.StopTimeout = time.Minute }
func many(n int) func(*config.App) { return func(a *config.App) { a.Instances = n } }

// Only what differs is touched.
func TestApplyTouchesOnlyWhatDiffers(t *testing.T) {
	a, b := worker("a", 2), worker("b", 1)
	for _, tt := range []struct {
		name    string
		apps    []config.App
		changes []string
		want    map[string]int
	}{
		{"nothing", []config.App{a, b}, nil, map[string]int{"a/0": 1, "a/1": 1, "b/0": 1}},
		{"an instance more", []config.App{edited(a, many(3)), b},
			[]string{"a: instances changed; going from 2 to 3"}, map[string]int{"a/0": 1, "a/1": 1, "a/2": 1, "b/0": 1}},
		{"an instance less", []config.App{edited(a, many(1)), b},
			[]string{"a: instances changed; going from 2 to 1"}, map[string]int{"a/0": 1, "b/0": 1}},
		{"the environment", []config.App{a, edited(b, setEnv)},
			[]string{"b: env changed; replacing 1 instance"}, map[string]int{"a/0": 1, "a/1": 1, "b/0": 2}},
		{"the environment, and more instances", []config.App{edited(a, setEnv, many(3)), b},
			[]string{"a: instances, env changed; replacing 2 instances"}, map[string]int{"a/0": 2, "a/1": 2, "a/2": 1, "b/0": 1}},
		{"the environment, and fewer instances", []config.App{edited(a, setEnv, many(1)), b},
			[]string{"a: instances, env changed; replacing 1 instance"}, map[string]int{"a/0": 2, "b/0": 1}},
		{"how long it may take to stop", []config.App{edited(a, setPatience), b},
			[]string{"a: stop_timeout changed; no process is touched"}, map[string]int{"a/0": 1, "a/1": 1, "b/0": 1}},
		{"an app more", []config.App{a, worker("c", 2), b},
			[]string{"c: added, 2 instances"}, map[string]int{"a/0": 1, "a/1": 1, "b/0": 1, "c/0": 1, "c/1": 1}},
		{"an app less", []config.App{b}, []string{"a: removed"}, map[string]int{"b/0": 1}},
		{"all at once", []config.App{worker("c", 1), edited(b, setEnv)},
			[]string{"a: removed", "b: env changed; replacing 1 instance", "c: added, 1 instance"}, map[string]int{"b/0": 2, "c/0": 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := runFake(t, false, nil, a, b)
				changes, err := f.apply(tt.apps...)
				if err != nil {
					t.Error(err)
				}
				if diff := cmp.Diff(tt.changes, changes); diff != "" {
					t.Error(diff)
				}
				if diff := cmp.Diff(tt.want, f.generations()); diff != "" {
					t.Error(diff)
				}
				// The same again is nothing.
				if changes, err := f.apply(tt.apps...); err != nil || len(changes) > 0 {
					t.Errorf("again: %v, %v", changes, err)
				}
				var names, want []string
				for _, a := range f.apps {
					names = append(names, a.config.Name)
				}
				for _, a := range tt.apps {
					want = append(want, a.Name)
				}
				if !slices.Equal(names, want) {
					t.Errorf("the apps are %v, want %v", names, want)
				}
			})
		})
	}
}

// New processes have the new config; a number of instances that the user has given
// by hand stays.
func TestApplyReloadsWithTheNewConfig(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _ := runStreet(t, nil, worker("a", 1))
		if err := f.scale(2); err != nil {
			t.Fatal(err)
		}
		if _, err := f.apply(edited(worker("a", 1), setEnv)); err != nil {
			t.Error(err)
		}
		for _, slot := range []string{"a/0", "a/1"} {
			if got := variable(f.os.last(slot).spec.env, "NEW"); got != "1" {
				t.Errorf("NEW of %s is %q", slot, got)
			}
		}
	})
}

// What is no good changes nothing that serves: the old config holds again, also
// for what is started later, and the next apply tries anew.
func TestApplyOfWhatDoesNotRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _ := runStreet(t, func(n int, p *fakeProcess) error {
			if n == 3 {
				p.exit(1)
				p.mute = true
			}
			return nil
		}, worker("a", 2))
		_, err := f.apply(edited(worker("a", 2), setEnv))
		if err == nil || !strings.HasPrefix(err.Error(), "a/0: its successor exited with code 1") {
			t.Errorf("%v", err)
		}
		if diff := cmp.Diff(map[string]int{"a/0": 1, "a/1": 1}, f.generations()); diff != "" {
			t.Error(diff)
		}
		if events := f.events(); !strings.HasSuffix(events[len(events)-1], " a goes on as it was") {
			t.Error(events)
		}
		f.os.last("a/1").exit(1)
		f.after(time.Minute)
		if got := variable(f.os.last("a/1").spec.env, "NEW"); got != "" {
			t.Error("what is started again has the config that is no good")
		}
		if changes, err := f.apply(edited(worker("a", 2), setEnv)); err != nil || len(changes) != 1 {
			t.Errorf("again: %v, %v", changes, err)
		}
	})
}

// While something else is under way, nothing is changed; what is stopped stays so.
func TestApplyIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _ := runStreet(t, func(n int, p *fakeProcess) error {
			p.mute = n == 3
			return nil
		}, worker("a", 2))
		reloaded := f.begins(VerbReload)
		_, err := f.apply(edited(worker("a", 2), setEnv))
		if _, busy := errors.AsType[*BusyError](err); !busy || err.Error() != "cannot apply: a is being reloaded (0 of 2 done); nothing has been changed" {
			t.Errorf("%v", err)
		}
		if _, err := f.apply(edited(worker("a", 2), setPatience)); err != nil {
			t.Errorf("what touches no process: %v", err)
		}
		f.after(time.Minute)
		if err := <-reloaded; err == nil {
			t.Error("the reload worked")
		}
		if err := f.do(VerbStop, "a/0"); err != nil {
			t.Error(err)
		}
		if _, err := f.apply(edited(worker("a", 2), setEnv)); err != nil {
			t.Errorf("afterwards: %v", err)
		}
		f.is("a/0", StateStopped, "")
		if got := variable(f.os.last("a/1").spec.env, "NEW"); got != "1" {
			t.Errorf("NEW is %q", got)
		}
	})
}

// A worker that gets a schedule is another one from then on.
func TestApplySchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := runFake(t, false, nil, worker("a", 1))
		scheduled := nightly(t)
		if changes, err := f.apply(scheduled); err != nil || changes[0] != "a: restart, schedule changed; removed, and added anew" {
			t.Errorf("%v, %v", changes, err)
		}
		if i := f.instance("a/0"); i.State != StateDone || i.PID != nil {
			t.Errorf("%+v", i)
		}
		if _, err := f.apply(worker("a", 1)); err != nil {
			t.Error(err)
		}
		f.is("a/0", StateReady, "")
	})
}

// A file on disk: what is wrong in it changes nothing and is told with its place,
// and what is saved is applied where the file says so.
func TestConfigFileIsApplied(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cluster.toml")
	save := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const app = "watch_config = true\n[apps.a]\ncommand = [\"sleep\", \"100\"]\n"
	save(app)
	cfg, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	r := runRealConfig(t, false, cfg)
	r.becomes("a process", func(s *Snapshot) bool { return s.Apps[0].Ready == 1 })
	n := 0
	r.becomes("an app more", func(s *Snapshot) bool {
		if n++; n < 100 { // the first saves may come before the watch
			save(app + strings.Repeat("\n", n) + "[apps.b]\ncommand = [\"sleep\", \"100\"]\n")
		}
		return len(s.Apps) == 2 && s.Apps[1].Ready == 1
	})
	save(app + "instnaces = 2\n")
	r.says("", `:4:1: unknown key "instnaces" in [apps.a]; did you mean "instances"?`, 1)
	if _, err := r.Apply(t.Context()); err == nil {
		t.Error("a broken file is applied")
	}
	if s, err := r.Snapshot(t.Context()); err != nil || len(s.Apps) != 2 {
		t.Errorf("%v, %v", s, err)
	}
	r.stop()
	if err := r.ends(); err != nil {
		t.Error(err)
	}
}

// twoFreeOneTaken returns three ports, of which somebody has the last one.
func twoFreeOneTaken(t *testing.T) (ports [3]int) {
	t.Helper()
	var held [3]net.Listener
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		held[i], ports[i] = l, l.Addr().(*net.TCPAddr).Port
	}
	held[0].Close()
	held[1].Close()
	t.Cleanup(func() { held[2].Close() })
	return ports
}

// An app moves to another port, also to one that another app gives up; but not to
// one that a stranger has.
func TestApplyMovesPorts(t *testing.T) {
	ports := twoFreeOneTaken(t)
	serving := func(name string, port int) config.App {
		a := job(name, 2, "listen")
		a.Port, a.Listen, a.Count, a.StopTimeout = port, config.ListenAuto, config.CountAuto, time.Second
		return a
	}
	apply := func(r *realCluster, apps ...config.App) ([]string, error) {
		told, reply := make(chan []string, 1), make(chan error, 1)
		err, failed := ask(t.Context(), r.Cluster, applyMsg{&config.Config{Name: "test", Path: "/test/cluster.toml", Dir: "/", Apps: apps}, told, reply}, reply)
		if failed != nil {
			t.Fatal(failed)
		}
		select {
		case changes := <-told:
			return changes, err
		default:
			return nil, err
		}
	}
	r := runReal(t, false, serving("a", ports[0]), serving("b", ports[1]))
	ready := func(s *Snapshot) bool { return s.Apps[0].Ready == 2 && s.Apps[1].Ready == 2 }
	r.becomes("all ready", ready)
	if _, err := apply(r, serving("a", ports[1]), serving("b", ports[0])); err != nil {
		t.Fatal(err)
	}
	s := r.becomes("all ready", ready)
	if *s.Apps[0].Port != ports[1] || *s.Apps[1].Port != ports[0] {
		t.Errorf("the ports are %d and %d", *s.Apps[0].Port, *s.Apps[1].Port)
	}
	for _, p := range ports[:2] {
		conn, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", p))
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
	changes, err := apply(r, serving("a", ports[2]), serving("b", ports[0]))
	if err == nil || !strings.HasPrefix(err.Error(), fmt.Sprintf("cannot apply: a: port %d is already in use: held by pid %d", ports[2], os.Getpid())) || changes != nil {
		t.Errorf("%v, %v", changes, err)
	}
	if s := r.becomes("all ready", ready); *s.Apps[0].Port != ports[1] {
		t.Errorf("the port is %d", *s.Apps[0].Port)
	}
	r.stop()
	if err := r.ends(); err != nil {
		t.Error(err)
	}
}
