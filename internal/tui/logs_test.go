package tui

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"clusterd/internal/proc"
)

// logDash shows the log of one instance, alone, on 10 rows of 80 cells.
func logDash(t *testing.T, l ...proc.Line) *dash {
	c := &fakeCluster{snap: cluster(app("web", 8080, ready("web", 0, 1))), pages: map[string]proc.LogPage{}}
	c.pages["web"] = proc.LogPage{Lines: l}
	d := newDash(t, c, 80, 13, utf8NoColor)
	d.press("tab", "z")
	d.screen()
	return d
}

// text is the part of the screen that has the log's lines, without the rest.
func (d *dash) text() []string {
	d.t.Helper()
	rows := strings.Split(d.screen(), "\n")
	return rows[2 : len(rows)-1]
}

func (d *dash) more(l ...proc.Line) {
	p := d.cluster.pages["web"]
	p.Lines = append(p.Lines, l...)
	d.cluster.pages["web"] = p
	d.poll()
}

func TestLogFollowsAndPauses(t *testing.T) {
	d := logDash(t, lines("web/0", 1, 30)...)
	d.shows("FOLLOW", "users/30", "users/21")
	d.hides("users/20 ")
	d.more(lines("web/0", 31, 1)...)
	d.shows("users/31")

	d.press("k")
	d.shows("PAUSED", "users/30", "users/21")
	d.hides("users/31", "PAUSED +")
	before := d.text()
	d.more(lines("web/0", 32, 2500)...)
	d.shows("PAUSED +2,500")
	if got := d.text(); strings.Join(got, "\n") != strings.Join(before, "\n") {
		t.Errorf("the text moved under the reader:\n%s\nwas\n%s", strings.Join(got, "\n"), strings.Join(before, "\n"))
	}
	d.press("f")
	d.shows("FOLLOW", "users/2531")
	d.press("f", "g")
	d.shows("PAUSED", "users/1 ")
	d.press("G")
	d.shows("FOLLOW")

	d.press("kk", "j")
	d.shows("PAUSED")
	d.press("j") // down to the end
	d.shows("FOLLOW")
	d.press("j")
	d.shows("FOLLOW")
}

func TestLogStaysWhenOldLinesGo(t *testing.T) {
	d := logDash(t, lines("web/0", 1, 100)...)
	d.press("k")
	before := strings.Join(d.text(), "\n")
	d.more(lines("web/0", 101, keptPaused-200)...)
	if got := strings.Join(d.text(), "\n"); got != before {
		t.Errorf("the text moved:\n%s\nwas\n%s", got, before)
	}
	d.more(lines("web/0", keptPaused-99, 1000)...) // more than there is room for
	d.shows("PAUSED +40,800", "the last 1,000 only after f")
	if got := strings.Join(d.text(), "\n"); got != before {
		t.Errorf("the text moved:\n%s\nwas\n%s", got, before)
	}
	d.press("f")
	d.shows("FOLLOW", "users/40900")
	d.hides("only after f")
	d.more(lines("web/0", keptPaused+901, keptFollowing)...)
	if n := len(d.logs.lines); n < keptFollowing || n > keptFollowing*3/2 {
		t.Errorf("%d lines are kept while following, want about %d", n, keptFollowing)
	}
}

func TestLogSaysWhatWasDropped(t *testing.T) {
	d := logDash(t, lines("web/0", 1, 3)...)
	d.hides("dropped")
	p := d.cluster.pages["web"]
	p.Lines, p.Dropped = append(p.Lines, lines("web/0", 5000, 1)...), 1204
	d.cluster.pages["web"] = p
	d.poll()
	d.shows("1,204 lines dropped")
}

func TestLogWrapsAndPans(t *testing.T) {
	long := strings.Repeat("0123456789", 20)
	d := logDash(t, proc.Line{Seq: 1, At: now, Instance: "web/0", Text: long}, proc.Line{Seq: 2, At: now, Instance: "web/0", Text: "short"})
	d.shows("678901…", "│ short")
	d.press("l")
	d.shows("from column 9", "│ 8901234567", "│ \n")
	d.press("hh")
	d.shows("│ 0123456789")
	d.press("w")
	d.shows("wrap", "│ short")
	joined := ""
	for _, row := range d.text()[:4] {
		joined += strings.TrimSpace(row[strings.LastIndex(row, " ")+1:])
	}
	if !strings.Contains(joined, long) {
		t.Errorf("the wrapped line is not whole:\n%s", d.screen())
	}
}

// TestLogScrollsThroughEveryRow goes up and down through lines of all lengths,
// wrapped, and sees each row once.
func TestLogScrollsThroughEveryRow(t *testing.T) {
	var l []proc.Line
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 60 {
		text := ""
		for n := range r.IntN(40) {
			text += fmt.Sprintf("%d.%d漢", i, n)
		}
		l = append(l, proc.Line{Seq: uint64(i + 1), At: now, Instance: "web/0", Text: text})
	}
	d := logDash(t, l...)
	d.press("w")
	d.screen()
	var up []string
	for d.logs.shown() != (spot{seq: 1}) {
		up = append([]string{d.text()[len(d.text())-1]}, up...)
		d.press("k")
		if len(up) > 1000 {
			t.Fatal("the top is never reached")
		}
	}
	up = append(d.text(), up...)
	var down []string
	for d.logs.paused {
		down = append(down, d.text()[0])
		d.press("j")
		if len(down) > 1000 {
			t.Fatal("the end is never reached")
		}
	}
	down = append(down, d.text()...)
	if strings.Join(up, "\n") != strings.Join(down, "\n") {
		t.Errorf("up:\n%s\ndown:\n%s", strings.Join(up, "\n"), strings.Join(down, "\n"))
	}
}

func TestLogKeepsItsPlaceWhenResized(t *testing.T) {
	d := logDash(t, lines("web/0", 1, 100)...)
	d.press("k", "ctrl+u")
	first := d.text()[0]
	for _, size := range [][2]int{{200, 60}, {61, 13}, {120, 40}, {80, 13}} {
		d.size(size[0], size[1])
		d.screen()
	}
	if got := d.text()[0]; got != first {
		t.Errorf("after resizing %q is at the top, before %q", got, first)
	}
}

// A mark belongs to the log that it was set in.
func TestMarksStayInTheirLog(t *testing.T) {
	d := newDash(t, withLogs(mixed()), 80, 24, utf8NoColor)
	d.press("m")
	d.shows("mark, 15:04:05")
	d.press("j")
	d.hides("mark, ")
	d.press("'")
	d.shows("the log has no marks; m makes one")
	d.press("k")
	d.shows("mark, 15:04:05")
	d.press("a", "a") // the log of everything
	d.hides("mark, ")
	d.press("a")
	d.shows("mark, 15:04:05")
	if n := len(d.logs.marked); n != 1 {
		t.Errorf("marks of %d logs are kept, want those of one", n)
	}
}

func TestStreamsAreToldApartInText(t *testing.T) {
	d := logDash(t,
		proc.Line{Seq: 1, At: now, Instance: "web/0", Stream: proc.StreamOut, Text: "fine"},
		proc.Line{Seq: 2, At: now, Instance: "web/0", Stream: proc.StreamErr, Text: "broken"},
		proc.Line{Seq: 3, At: now, Instance: "web/0", Stream: proc.StreamEvent, Text: "started, pid 7"})
	d.shows("web/0 │ fine", "web/0 ! broken", "web/0 » started, pid 7")
}

// TestLateAnswersAreForgotten: lines of what was selected before must not show
// up under what is selected now.
func TestLateAnswersAreForgotten(t *testing.T) {
	d := newDash(t, withLogs(mixed()), 80, 24, utf8NoColor)
	late := d.pollLogs() // for api, on its way
	d.press("G")         // mail/0
	d.run(late)
	if d.logs.target != "mail/0" || !d.logs.loaded {
		t.Fatalf("the log of %q, loaded %t", d.logs.target, d.logs.loaded)
	}
	d.hides("api/0 │")
	d.shows("mail/0 » exited")
}
