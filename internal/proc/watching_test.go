package proc

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"clusterd/internal/config"
)

// watcher is a worker that watches files.
func watcher(instances int, action config.WatchAction) config.App {
	a := worker("a", instances)
	a.Watch = config.Watch{Paths: []string{"**"}, Debounce: time.Millisecond, Action: action}
	return a
}

func (f *fakeCluster) change(files ...string) {
	f.messages <- filesChangedMsg{f.apps[0], files}
	synctest.Wait()
}

var pids = regexp.MustCompile(`pid \d+`)

// since are the events from the nth on, without the numbers of processes: which
// of two that are started at once is the first, nobody knows.
func (f *fakeCluster) since(n int) []string {
	var out []string
	for _, e := range f.events()[n:] {
		out = append(out, pids.ReplaceAllString(e, "pid N"))
	}
	return out
}

func TestChangedFilesReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _ := runStreet(t, nil, watcher(2, config.WatchReload))
		before := len(f.events())
		f.change("src/a.ts", "src/b.ts")
		want := []string{
			"0s a src/a.ts and 1 more changed; reloading",
			"0s a/0 reload 1/2: successor started, pid N",
			"0s a/0 reload 1/2: successor ready after 0s; ending pid N",
			"0s a/0 reload 1/2: was killed by SIGTERM after 0s",
			"0s a/1 reload 2/2: successor started, pid N",
			"0s a/1 reload 2/2: successor ready after 0s; ending pid N",
			"0s a/1 reload 2/2: was killed by SIGTERM after 0s",
			"0s a reloaded 2 of 2 in 0s",
		}
		if diff := cmp.Diff(want, f.since(before)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestChangedFilesRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := runFake(t, false, nil, watcher(2, config.WatchRestart))
		before := len(f.events())
		f.change("a.ts")
		if got := f.since(before)[0]; got != "0s a a.ts changed; restarting" {
			t.Error(got)
		}
		for _, id := range []string{"a/0", "a/1"} {
			if i := f.instance(id); i.Generation != 2 || i.State != StateReady {
				t.Errorf("%+v", i)
			}
		}
	})
}

// A successor that does not come to be ready, and is out of date, is not waited
// for.
func TestChangeDuringReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _ := runStreet(t, func(n int, p *fakeProcess) error {
			p.mute = n == 3
			return nil
		}, watcher(2, config.WatchReload))
		f.change("a.ts")
		f.after(time.Second)
		f.change("a.ts") // the mistake is corrected
		for _, id := range []string{"a/0", "a/1"} {
			if i := f.instance(id); i.State != StateReady || i.Generation < 2 {
				t.Errorf("%+v", i)
			}
		}
		events := strings.Join(f.events(), "\n")
		if !strings.Contains(events, "1s a/0 reload 1/2: successor is out of date: a.ts changed") || !strings.HasSuffix(events, "1s a reloaded 2 of 2 in 0s") {
			t.Error(events)
		}
	})
}

// The first process of a new config is waited for, or the config would be given up since
// its files are newer still.
func TestChangeDuringApply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		serves := make(chan struct{})
		f, _ := runStreet(t, func(n int, p *fakeProcess) error {
			if n == 2 {
				p.serves = serves
			}
			return nil
		}, watcher(1, config.WatchReload))
		_, applied := f.applies(edited(watcher(1, config.WatchReload), setEnv))
		f.change("a.ts")
		close(serves)
		synctest.Wait()
		if err := <-applied; err != nil {
			t.Error(err)
		}
		f.after(time.Second)
		if i := f.instance("a/0"); i.State != StateReady || i.Generation != 3 {
			t.Errorf("%+v", i)
		}
		if got := variable(f.os.last("a/0").spec.env, "NEW"); got != "1" {
			t.Error("the old config holds again")
		}
	})
}

// What has failed is tried again, what has been stopped is not started.
func TestChangeOfWhatDoesNotRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := watcher(2, config.WatchReload)
		a.Restart = config.RestartNever
		f := runFake(t, false, nil, a)
		f.os.last("a/0").exit(1)
		if err := f.do(VerbStop, "a/1"); err != nil {
			t.Error(err)
		}
		f.is("a/0", StateFailed, `exit 1, restart = "never"`)
		f.change("a.ts")
		f.is("a/0", StateReady, "")
		f.is("a/1", StateStopped, "")
		if err := f.do(VerbStop); err != nil {
			t.Error(err)
		}
		before := len(f.events())
		f.change("a.ts")
		if got := f.since(before); len(got) > 0 {
			t.Error(got)
		}
	})
}

// From the file to the process, for real.
func TestSaveReloads(t *testing.T) {
	dir := t.TempDir()
	a := job("a", 1, "wait")
	a.Watch = config.Watch{Paths: []string{"*.conf"}, Debounce: 10 * time.Millisecond, Action: config.WatchReload}
	a.Cwd = dir
	r := runReal(t, false, a)
	n := 0
	r.becomes("another process", func(s *Snapshot) bool {
		n++ // the first saves may come before the watch
		if err := os.WriteFile(filepath.Join(dir, "x.conf"), []byte{byte(n)}, 0o600); err != nil {
			t.Fatal(err)
		}
		return s.Apps[0].Instances[0].Generation > 1 && s.Apps[0].State == StateReady
	})
	r.stop()
	if err := r.ends(); err != nil {
		t.Error(err)
	}
}
