package proc

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"clusterd/internal/config"
)

// after makes an app depend on others: "db ready".
func after(a config.App, on ...string) config.App {
	for _, o := range on {
		name, until, _ := strings.Cut(o, " ")
		a.DependsOn = append(a.DependsOn, config.Dependency{App: name, Until: config.Until(until)})
	}
	return a
}

// once is an app that runs to its end.
func once(name string) config.App {
	a := worker(name, 1)
	a.Restart = config.RestartNever
	return a
}

// slow are checks that a process passes after so long.
func slow(a config.App) config.App {
	a.Ready = byExec(a.Ready)
	return a
}

// shopFrom is a cluster whose apps are declared last first: web needs api and
// migrate, which need db.
func shopFrom(t *testing.T, behave func(p *fakeProcess)) *fakeCluster {
	f := newFake(t, func(_ int, p *fakeProcess) error { behave(p); return nil },
		after(worker("web", 2), "api ready", "migrate done"), after(worker("api", 1), "db ready"),
		after(once("migrate"), "db ready"), slow(worker("db", 1)))
	f.os.check = passesAfter(3 * time.Second)
	f.run(false)
	return f
}

func TestStartInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := shopFrom(t, func(p *fakeProcess) {
			if p.slot == "migrate/0" {
				p.exitAfter(5*time.Second, 0)
			}
		})
		f.is("web/0", StateWaiting, "for api to be ready")
		f.is("migrate/0", StateWaiting, "for db to be ready")
		f.after(4 * time.Second)
		f.is("api/0", StateReady, "")
		f.is("web/1", StateWaiting, "for migrate to be done")
		f.after(9 * time.Second)
		f.is("migrate/0", StateDone, "exit 0")
		f.is("web/0", StateReady, "")
		var order []string
		for _, p := range f.os.started() {
			order = append(order, p.slot)
		}
		if slices.Sort(order[1:3]); order[0] != "db/0" || !strings.HasPrefix(order[3], "web/") || len(order) != 5 {
			t.Errorf("started %q", order)
		}
	})
}

func TestStopInReverse(t *testing.T) {
	for name, stop := range map[string]func(f *fakeCluster){
		"cluster": func(f *fakeCluster) { f.stop() },
		"action":  func(f *fakeCluster) { f.begins(VerbStop) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := shopFrom(t, func(p *fakeProcess) {
					if p.slot == "migrate/0" {
						p.exit(0)
					}
					p.deaf = true
				})
				f.after(10 * time.Second)
				stop(f)
				f.after(11 * time.Second)
				f.is("web/0", StateStopping, "")
				f.is("api/0", StateReady, "to be stopped after web/0")
				f.is("migrate/0", StateDone, "exit 0")
				if signals, _ := f.os.last("db/0").received(); len(signals) != 0 {
					t.Errorf("db got %v before its turn", signals)
				}
				f.os.last("db/0").exit(1) // which does not bring it back
				f.os.last("web/0").exit(0)
				f.os.last("web/1").exit(0)
				synctest.Wait()
				f.is("api/0", StateStopping, "")
				f.is("db/0", StateStopped, "")
				f.os.last("api/0").exit(0)
				f.after(time.Minute)
				if n := len(f.os.started()); n != 5 {
					t.Errorf("%d processes, want 5", n)
				}
			})
		})
	}
}

// What depends on an app that fails says so, and Run does not wait for it.
func TestDependencyFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, func(_ int, p *fakeProcess) error { p.exitAfter(time.Second, 3); return nil },
			slow(once("db")), after(worker("api", 1), "db ready"), after(worker("web", 1), "api started"))
		f.os.check = passesAfter(time.Hour)
		f.run(true)
		asked := f.begins(VerbStart, "web")
		f.after(2 * time.Second)
		const why = `db/0 is failed: exit 3, restart = "never"`
		want := []string{
			"db/0 failed: exit 3, restart = \"never\"",
			"api/0 waits for db to be ready, and " + why,
			"web/0 waits for api to be started, and that waits for db to be ready, and " + why,
		}
		if err := <-f.result; err == nil || err.Error() != strings.Join(want, "\n") {
			t.Errorf("Run says %v", err)
		}
		f.result <- nil
		if err := <-asked; err == nil || !strings.HasPrefix(err.Error(), want[2]) {
			t.Errorf("start says %v", err)
		}
		if events := f.events(); !slices.Contains(events, "1s "+want[1]) || !slices.Contains(events, "1s "+want[2]) {
			t.Errorf("events %q", events)
		}
	})
}

// Whatever waits is stopped at once, and starts when it is asked to and its time has
// come.
func TestStopWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := shopFrom(t, func(p *fakeProcess) {
			if p.slot == "migrate/0" {
				p.exit(0)
			}
		})
		if err := f.do(VerbStop, "web"); err != nil {
			t.Error(err)
		}
		f.is("web/0", StateStopped, "")
		f.after(5 * time.Second)
		f.is("web/0", StateStopped, "")
		if err := f.do(VerbStart, "web"); err != nil {
			t.Error(err)
		}
		f.is("web/0", StateReady, "")
	})
}

// To start an app starts what it depends on, too; a restart or a crash waits for
// nobody.
func TestDependenciesAreStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := worker("db", 1)
		db.Autostart = false
		web := after(worker("web", 1), "db ready")
		web.Autostart = false
		f := runFake(t, false, nil, web, db)
		f.after(time.Second)
		f.is("db/0", StateStopped, "")
		if err := f.do(VerbStart, "web"); err != nil {
			t.Error(err)
		}
		f.is("db/0", StateReady, "")
		if err := f.do(VerbStop, "db"); err != nil {
			t.Error(err)
		}
		f.after(2 * time.Second)
		f.os.last("web/0").exit(1)
		synctest.Wait()
		f.is("web/0", StateReady, "")
		f.is("db/0", StateStopped, "")
		if n := f.instance("web/0").Generation; n != 2 {
			t.Errorf("generation %d", n)
		}
	})
}

// To start what is about to stop, since others still need it, keeps it.
func TestStartBeforeItsStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := runFake(t, false, func(_ int, p *fakeProcess) error { p.deaf = p.slot == "web/0"; return nil },
			worker("db", 1), after(worker("web", 1), "db started"))
		stopped := f.begins(VerbStop)
		f.after(time.Second)
		if err := f.do(VerbStart, "db"); err != nil {
			t.Error(err)
		}
		f.os.last("web/0").exit(0)
		f.after(time.Minute)
		f.is("db/0", StateReady, "")
		f.is("web/0", StateStopped, "")
		if err := <-stopped; err == nil || err.Error() != "db/0 is ready: it was started meanwhile" {
			t.Errorf("stop says %v", err)
		}
	})
}

// Apps that a new config does not have any more end in the order in which a cluster
// does.
func TestApplyRemovesInReverse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := runFake(t, false, func(_ int, p *fakeProcess) error { p.deaf = true; return nil },
			worker("db", 1), after(worker("api", 1), "db started"), after(worker("web", 2), "api started", "db started"), worker("other", 1))
		_, applied := f.applies(worker("other", 1))
		f.is("web/0", StateStopping, "")
		f.is("api/0", StateReady, "to be stopped after web/0")
		f.is("db/0", StateReady, "to be stopped after api/0")
		f.os.last("web/1").exit(0)
		f.after(time.Second)
		f.is("api/0", StateReady, "to be stopped after web/0")
		for _, slot := range []string{"web/0", "api/0", "db/0"} {
			if signals, _ := f.os.last(slot).received(); len(signals) != 1 {
				t.Errorf("%s got %v when its turn had come", slot, signals)
			}
			f.os.last(slot).exit(0)
			synctest.Wait()
		}
		if err := <-applied; err != nil {
			t.Error(err)
		}
		f.is("other/0", StateReady, "")
	})
}

// An app that is removed and added anew, and on which one depends from then on that
// it depended on before: they do not wait for each other.
func TestApplyTurnsADependencyRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := runFake(t, false, func(_ int, p *fakeProcess) error { p.deaf = true; return nil },
			worker("db", 1), after(worker("web", 1), "db started"), after(worker("front", 1), "web started"))
		scheduled := nightly(t)
		scheduled.Name = "web"
		f.applies(after(worker("db", 1), "web started"), scheduled)
		f.is("web/0", StateReady, "to be stopped after front/0")
		f.stop()
		for _, slot := range []string{"front/0", "web/0", "db/0"} {
			synctest.Wait()
			if signals, _ := f.os.last(slot).received(); len(signals) != 1 {
				t.Errorf("%s got %v when its turn had come", slot, signals)
			}
			f.os.last(slot).exit(0)
		}
		if err := <-f.result; err != nil {
			t.Error(err)
		}
	})
}
