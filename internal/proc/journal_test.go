package proc

import (
	"fmt"
	"strings"
	"testing"
)

func texts(p LogPage) string {
	var out []string
	for _, l := range p.Lines {
		out = append(out, l.Text)
	}
	return strings.Join(out, " ")
}

func TestJournalKeepsOneOrder(t *testing.T) {
	j := newJournal()
	j.append("web/0", StreamOut, "a", "b")
	j.append("web/1", StreamErr, "c")
	j.append("", StreamEvent, "d")
	j.append("web/0", StreamOut, "e")
	j.append("webby/0", StreamOut, "f")

	for _, x := range []struct {
		q    LogQuery
		want string
	}{
		{LogQuery{}, "a b c d e f"},
		{LogQuery{Targets: []string{"web"}}, "a b c e"},
		{LogQuery{Targets: []string{"web/1", "webby/0"}}, "c f"},
		{LogQuery{Targets: []string{"we"}}, ""},
		{LogQuery{After: 2}, "c d e f"},
		{LogQuery{After: 6}, ""},
		{LogQuery{Limit: 2}, "e f"},
		{LogQuery{Targets: []string{"web"}, Limit: 2}, "c e"},
	} {
		p := j.page(x.q)
		if got := texts(p); got != x.want || p.Next != 6 {
			t.Errorf("%+v: %q, next %d; want %q", x.q, got, p.Next, x.want)
		}
	}
}

// A reader that comes back learns exactly how many lines it has missed.
func TestJournalCountsWhatWasMissed(t *testing.T) {
	j := newJournal()
	j.append("a/0", StreamOut, "first")
	p := j.page(LogQuery{Targets: []string{"a"}})
	if p.Dropped != 0 {
		t.Fatalf("%d dropped of one", p.Dropped)
	}
	for i := range 2*ringLines + 5 {
		j.append("a/0", StreamOut, fmt.Sprint(i))
		j.append("b/0", StreamOut, "noise")
	}
	p = j.page(LogQuery{Targets: []string{"a"}, After: p.Next, Limit: 100})
	if want := uint64(2*ringLines + 5 - 100); len(p.Lines) != 100 || p.Dropped != want {
		t.Errorf("%d lines, %d dropped; want 100 and %d", len(p.Lines), p.Dropped, want)
	}
	p = j.page(LogQuery{Targets: []string{"a"}, After: p.Next})
	if len(p.Lines) != 0 || p.Dropped != 0 {
		t.Errorf("%d lines, %d dropped, though nothing is new", len(p.Lines), p.Dropped)
	}
}

// What was silent while a reader read on is counted as well once it is not.
func TestJournalCountsWhatASilentLogWrites(t *testing.T) {
	j := newJournal()
	j.append("a/0", StreamOut, "first")
	j.append("b/0", StreamOut, "first")
	p := LogPage{}
	for range 3 * keptMarks {
		j.append("b/0", StreamOut, "more")
		p = j.page(LogQuery{After: p.Next})
	}
	for range ringLines + 5 {
		j.append("a/0", StreamOut, "more")
	}
	if p = j.page(LogQuery{After: p.Next, Limit: ringLines}); len(p.Lines) != ringLines || p.Dropped != 5 {
		t.Errorf("%d lines, %d dropped; want %d and 5", len(p.Lines), p.Dropped, ringLines)
	}
	if p = j.page(LogQuery{After: p.Next}); len(p.Lines) != 0 || p.Dropped != 0 {
		t.Errorf("then %d lines, %d dropped", len(p.Lines), p.Dropped)
	}
}

func TestJournalWait(t *testing.T) {
	j := newJournal()
	first, second := j.wait(0), j.wait(0)
	select {
	case <-first:
		t.Fatal("nothing has been appended")
	default:
	}
	j.append("", StreamEvent, "x")
	<-first
	<-second
	<-j.wait(0)
}

// A reader that goes forward gets every line that is kept, in order, however
// few at a time, and learns of those that were not kept.
func TestJournalForward(t *testing.T) {
	j := newJournal()
	for i := range 1000 {
		j.append(fmt.Sprintf("a/%d", i%7), StreamOut, fmt.Sprint(i))
		j.append("b/0", StreamOut, "noise")
	}
	q := LogQuery{Targets: []string{"a"}, Limit: 13, Forward: true}
	read := func() (got []string) {
		for {
			p := j.page(q)
			if p.Dropped > 0 {
				t.Errorf("%d dropped after %d", p.Dropped, q.After)
			}
			if len(p.Lines) == 0 {
				return got
			}
			if len(p.Lines) > q.Limit {
				t.Fatalf("%d lines", len(p.Lines))
			}
			for _, l := range p.Lines {
				got = append(got, l.Text)
			}
			q.After = p.Next
		}
	}
	got := read()
	for i, text := range got {
		if text != fmt.Sprint(i) {
			t.Fatalf("line %d is %q", i, text)
		}
	}
	if len(got) != 1000 {
		t.Errorf("%d lines of 1000", len(got))
	}

	for range ringLines + 100 {
		j.append("a/0", StreamOut, "flood")
	}
	p := j.page(q)
	if p.Dropped != 100 || len(p.Lines) != 13 {
		t.Errorf("%d dropped and %d lines, want 100 and 13", p.Dropped, len(p.Lines))
	}
	q.After = p.Next
	if p = j.page(q); p.Dropped != 0 || len(p.Lines) != 13 {
		t.Errorf("then %d dropped and %d lines, want 0 and 13", p.Dropped, len(p.Lines))
	}
}

func TestJournalLimitIsBounded(t *testing.T) {
	j := newJournal()
	for i := range 3 {
		for range ringLines {
			j.append(fmt.Sprintf("a/%d", i), StreamOut, "x")
		}
	}
	if p := j.page(LogQuery{Limit: 1 << 30}); len(p.Lines) != ringLines || p.Dropped != 2*ringLines {
		t.Errorf("%d lines, %d dropped", len(p.Lines), p.Dropped)
	}
}

// BenchmarkPage is a dashboard's question about a thousand instances.
func BenchmarkPage(b *testing.B) {
	j := newJournal()
	for i := range 1000 {
		for range 500 {
			j.append(fmt.Sprintf("a/%d", i), StreamOut, "a line of some length, as logs have them")
		}
	}
	for b.Loop() {
		j.page(LogQuery{Limit: 2000})
	}
}
