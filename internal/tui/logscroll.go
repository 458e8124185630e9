package tui

import (
	"slices"

	"clusterd/internal/proc"
)

// scroll moves the text by rows: up, and the pane pauses; down to the end, and
// it follows again.
func (l *logPane) scroll(rows int) {
	if len(l.view) == 0 || rows > 0 && !l.paused {
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
	if len(l.view) == 0 {
		return
	}
	l.pause()
	l.top = spot{seq: l.view[0].Seq}
}

// to shows the line with a sequence number, in the middle of the pane if it is
// not to be seen already.
func (l *logPane) to(seq uint64) {
	if len(l.view) == 0 {
		return
	}
	l.pause()
	s := spot{seq: l.view[l.index(spot{seq: seq})].Seq}
	top := l.shown()
	if end := l.move(top, l.h-1); before(s, top) || before(end, s) {
		l.top = l.move(s, -l.h/2)
	} else {
		l.top = top
	}
}

// panBy scrolls sideways.
func (l *logPane) panBy(cells int) {
	l.pan = max(l.pan+cells, 0)
}

func before(a, b spot) bool {
	return a.seq < b.seq || a.seq == b.seq && a.row < b.row
}

// at is where in lines the first one is that is not before seq.
func at(lines []proc.Line, seq uint64) int {
	i, _ := slices.BinarySearchFunc(lines, seq, func(line proc.Line, seq uint64) int {
		switch {
		case line.Seq < seq:
			return -1
		case line.Seq > seq:
			return 1
		}
		return 0
	})
	return i
}

// index finds the line of a spot, or the one that is now in its place.
func (l *logPane) index(s spot) int { return min(at(l.view, s.seq), len(l.view)-1) }

// rows is how many rows a line takes, with the mark after it.
func (l *logPane) rows(i int) int {
	n := 1
	if l.wrap {
		if w := max(l.w, 2); isPlain(l.view[i].Text) {
			n = max(1, (len(l.view[i].Text)+w-1)/w)
		} else {
			n = len(wrap(l.view[i].Text, l.w))
		}
	}
	if _, ok := l.marks[l.view[i].Seq]; ok {
		n++
	}
	return n
}

// move goes rows down from s, or up, as far as there are lines.
func (l *logPane) move(s spot, rows int) spot {
	i := l.index(s)
	s.row += rows
	for s.row < 0 && i > 0 {
		i--
		s.row += l.rows(i)
	}
	for s.row >= l.rows(i) && i < len(l.view)-1 {
		s.row -= l.rows(i)
		i++
	}
	s.seq = l.view[i].Seq
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
	last := len(l.view) - 1
	return l.move(spot{seq: l.view[last].Seq, row: l.rows(last) - 1}, 1-max(l.h, 1))
}

// seen are the lines of which something is on the screen.
func (l *logPane) seen() []proc.Line {
	if len(l.view) == 0 {
		return nil
	}
	first := l.shown()
	last := l.move(first, max(l.h, 1)-1)
	return l.view[l.index(first) : l.index(last)+1]
}
