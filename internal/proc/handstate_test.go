package proc

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"clusterd/internal/config"
	"clusterd/internal/handover"
)

// repack sends a state through a bag.
func repack[T any](t *testing.T, st T) (got T) {
	t.Helper()
	b := handover.NewBag()
	if err := b.Pack("it", st); err != nil {
		t.Fatal(err)
	}
	if err := b.Unpack("it", &got); err != nil {
		t.Fatal(err)
	}
	return got
}

// A reader that is paused leaves nothing behind, wherever in a line that is.
func TestCaptureGoesOn(t *testing.T) {
	for n := range len("one\ntwo\n") + 1 {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		emit := func(more []string) { lines = append(lines, more...) }
		s := newStream(r)
		go func() {
			defer close(s.ended)
			s.rest = capture(s.file, nil, emit)
		}()
		text := "one\ntwo\n"
		fmt.Fprint(w, text[:n])
		s.pause()
		if s.rest == nil {
			t.Fatalf("after %d bytes it is at its end", n)
		}
		fmt.Fprint(w, text[n:])
		w.Close()
		_ = r.SetReadDeadline(time.Time{})
		if rest := capture(r, s.rest, emit); rest != nil {
			t.Errorf("after %d bytes: %q is left at the end", n, rest)
		}
		r.Close()
		if !slices.Equal(lines, []string{"one", "two"}) {
			t.Errorf("paused after %d bytes: %q", n, lines)
		}
	}
}

// A journal that is handed over has the same lines, under the same numbers, and
// knows what readers have missed.
func TestJournalGoesOn(t *testing.T) {
	j := newJournal()
	j.append("web/0", StreamOut, "one", "two")
	j.append("", StreamEvent, "something happens")
	read := j.page(LogQuery{Forward: true})
	for range ringLines {
		j.append("web/0", StreamErr, "more")
	}
	taken := takeJournal(repack(t, j.state()))
	for _, q := range []LogQuery{{Limit: ringLines}, {After: read.Next, Forward: true}, {Targets: []string{"web"}, After: 1, Forward: true}} {
		if diff := cmp.Diff(j.page(q), taken.page(q)); diff != "" {
			t.Errorf("%+v: %s", q, diff)
		}
	}
	taken.append("web/0", StreamOut, "last")
	if got := taken.newest(); got != j.newest()+1 {
		t.Errorf("the next line is number %d, after %d", got, j.newest())
	}
}

// A config is handed over as it is, not read again.
func TestConfigGoesOn(t *testing.T) {
	schedule, err := config.ParseSchedule("30 4 * * *")
	if err != nil {
		t.Fatal(err)
	}
	umask := 0o27
	a := worker("a", 2)
	a.Schedule, a.Umask = schedule, &umask
	a.Env = map[string]string{"A": "1"}
	cfg := config.Config{Name: "test", Path: "/test/cluster.toml", Apps: []config.App{a, worker("b", 1)}}
	got := repack(t, cfg)
	if d := config.Diff(&cfg, &got); len(d.Changed)+len(d.Added)+len(d.Removed)+len(d.Top) > 0 {
		t.Errorf("%+v", d)
	}
	if next := got.Apps[0].Schedule.Next(time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)); next.Hour() != 4 || got.Apps[1].Schedule.Set() {
		t.Errorf("the next run is at %v", next)
	}
	if *got.Apps[0].Umask != umask || got.Apps[0].StopSignal != a.StopSignal {
		t.Errorf("%+v", got.Apps[0])
	}
}
