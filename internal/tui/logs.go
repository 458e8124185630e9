package tui

import (
	"fmt"
	"slices"

	"clusterd/internal/figure"
	"clusterd/internal/proc"
)

// How many lines of log the pane keeps. While nobody follows it keeps more, so
// that what is being read stays.
const (
	keptFollowing = 10_000
	keptPaused    = 4 * keptFollowing
)

// firstLines is how many lines are fetched when something else is selected.
const firstLines = 2_000

// logPane shows the log of what the tree has selected.
type logPane struct {
	target  string // "web" or "web/2"; "": nothing
	epoch   int    // counts resets; an answer from before one is forgotten
	lines   []proc.Line
	next    uint64 // LogQuery.After for what comes next
	loaded  bool   // there has been an answer for the target
	dropped uint64 // lines that came too fast to be fetched
	evicted bool   // the line at the top was dropped from under the reader

	paused bool
	top    spot // what is at the top, while paused
	since  int  // lines that came while paused
	wrap   bool // long lines go on in the next row
	pan    int  // cells scrolled to the right, without wrap
	w, h   int  // of the text, when last rendered
	names  int  // cells of the widest instance name
	asking bool // lines are on their way

}

// spot is a row of the log: a row of the line with a sequence number. It stays
// where it is whatever comes after and whatever is dropped before.
type spot struct {
	seq uint64
	row int // of the wrapped line
}

func newLogPane() logPane { return logPane{} }

// show selects whose log is shown.
func (l *logPane) show(target string) {
	if target == l.target {
		return
	}
	l.target = target
	l.reset()
}

// reset forgets every line, and follows.
func (l *logPane) reset() {
	l.epoch++
	l.lines, l.next, l.loaded, l.dropped, l.names = nil, 0, false, 0, 0
	l.pan = 0
	l.follow()
}

// query is what to ask for now.
func (l *logPane) query() proc.LogQuery {
	q := proc.LogQuery{Targets: []string{l.target}, After: l.next}
	if !l.loaded {
		q.Limit = firstLines
	}
	return q
}

// add takes over an answer, and tells whether it brought anything.
func (l *logPane) add(p proc.LogPage) bool {
	news := len(p.Lines) > 0 || !l.loaded
	if l.loaded {
		l.dropped += p.Dropped
	}
	l.loaded = true
	l.next = p.Next
	for i := range p.Lines {
		l.names = max(l.names, width(p.Lines[i].Instance))
	}
	l.lines = append(l.lines, p.Lines...)
	keep := keptFollowing
	if l.paused {
		l.since += len(p.Lines)
		keep = keptPaused
	}
	if over := len(l.lines) - keep; over > 0 {
		clear(l.lines[:over])
		l.lines = l.lines[over:]
		if l.paused && l.lines[0].Seq > l.top.seq {
			l.evicted = true
			l.top = spot{seq: l.lines[0].Seq}
		}
	}
	return news
}

// follow shows the newest lines from now on.
func (l *logPane) follow() {
	l.paused, l.since, l.evicted = false, 0, false
}

// pause stops the text where it is.
func (l *logPane) pause() {
	if l.paused || len(l.lines) == 0 {
		return
	}
	l.top = l.lastTop()
	l.paused = true
}

// toggleFollow is follow or pause, whichever is not on.
func (l *logPane) toggleFollow() {
	if l.paused {
		l.follow()
	} else {
		l.pause()
	}
}

// scroll moves the text by rows: up, and the pane pauses; down to the end, and
// it follows again.
func (l *logPane) scroll(rows int) {
	if len(l.lines) == 0 || rows > 0 && !l.paused {
		return
	}
	l.pause()
	l.top = l.move(l.shown(), rows)
	if rows > 0 && !before(l.top, l.lastTop()) {
		l.follow()
	}
}

// toFirst shows the oldest line that is kept.
func (l *logPane) toFirst() {
	if len(l.lines) == 0 {
		return
	}
	l.pause()
	l.top = spot{seq: l.lines[0].Seq}
}

// panBy scrolls sideways.
func (l *logPane) panBy(cells int) {
	l.pan = max(l.pan+cells, 0)
}

// toggleWrap breaks long lines, or shows them on one row each.
func (l *logPane) toggleWrap() {
	l.wrap = !l.wrap
	l.top.row = 0
}

func before(a, b spot) bool {
	return a.seq < b.seq || a.seq == b.seq && a.row < b.row
}

// index finds the line of a spot, or the one that is now in its place.
func (l *logPane) index(s spot) int {
	i, _ := slices.BinarySearchFunc(l.lines, s.seq, func(line proc.Line, seq uint64) int {
		switch {
		case line.Seq < seq:
			return -1
		case line.Seq > seq:
			return 1
		}
		return 0
	})
	return min(i, len(l.lines)-1)
}

// rows is how many rows a line takes.
func (l *logPane) rows(i int) int {
	if !l.wrap {
		return 1
	}
	if w := max(l.w, 2); isPlain(l.lines[i].Text) {
		return max(1, (len(l.lines[i].Text)+w-1)/w)
	}
	return len(wrap(l.lines[i].Text, l.w))
}

// move goes rows down from s, or up, as far as there are lines.
func (l *logPane) move(s spot, rows int) spot {
	i := l.index(s)
	s.row += rows
	for s.row < 0 && i > 0 {
		i--
		s.row += l.rows(i)
	}
	for s.row >= l.rows(i) && i < len(l.lines)-1 {
		s.row -= l.rows(i)
		i++
	}
	s.seq = l.lines[i].Seq
	s.row = min(max(s.row, 0), l.rows(i)-1)
	return s
}

// shown is what is at the top: what the reader chose, or what follows from the
// newest line, and never so far down that there is room below the last one.
func (l *logPane) shown() spot {
	last := l.lastTop()
	if l.paused && before(l.top, last) {
		return l.top
	}
	return last
}

// lastTop is what is at the top when the last line is at the bottom.
func (l *logPane) lastTop() spot {
	last := len(l.lines) - 1
	return l.move(spot{seq: l.lines[last].Seq, row: l.rows(last) - 1}, 1-max(l.h, 1))
}

// title says whose log it is, and where in it one is.
func (l *logPane) title(t *theme) string {
	if l.target == "" {
		return "logs"
	}
	s := "logs " + t.line(l.target)
	switch {
	case l.paused && l.since > 0:
		s += fmt.Sprintf("  PAUSED +%s", figure.Grouped(uint64(l.since)))
	case l.paused:
		s += "  PAUSED"
	default:
		s += "  FOLLOW"
	}
	if l.wrap {
		s += "  wrap"
	} else if l.pan > 0 {
		s += fmt.Sprintf("  from column %d", l.pan+1)
	}
	if l.evicted {
		s += "  older lines are gone"
	}
	if l.dropped > 0 {
		s += fmt.Sprintf("  %s lines dropped", figure.Grouped(l.dropped))
	}
	return s
}
