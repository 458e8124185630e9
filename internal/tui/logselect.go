package tui

import (
	"fmt"
	"strings"

	"clusterd/internal/proc"
)

// span is a selection of lines: from where it began to where it is, in either
// direction.
type span struct{ from, to uint64 }

func (s *span) has(seq uint64) bool {
	return s != nil && min(s.from, s.to) <= seq && seq <= max(s.from, s.to)
}

func (l *logPane) selecting() bool { return l.chosen != nil }

// beginSelection selects the line at the bottom of the pane, or where the search
// is.
func (l *logPane) beginSelection() {
	l.pause()
	seen := l.seen()
	seq := seen[len(seen)-1].Seq
	if l.search != nil && l.search.at != 0 {
		for i := range seen {
			if seen[i].Seq == l.search.at {
				seq = l.search.at
			}
		}
	}
	l.top = l.shown()
	l.chosen = &span{seq, seq}
}

func (l *logPane) endSelection() { l.chosen = nil }

// extend moves the end of the selection by lines.
func (l *logPane) extend(lines int) {
	i := l.index(spot{seq: l.chosen.to}) + lines
	l.chosen.to = l.view[min(max(i, 0), len(l.view)-1)].Seq
	top, s := l.shown(), spot{seq: l.chosen.to}
	switch end := l.move(top, l.h-1); {
	case before(s, top):
		l.top = s
	case before(end, s):
		l.top = l.move(s, 1-l.h)
	default:
		l.top = top
	}
}

// picked are the lines that are selected, or else those on the screen.
func (l *logPane) picked() []proc.Line {
	if l.chosen == nil {
		return l.seen()
	}
	first, last := min(l.chosen.from, l.chosen.to), max(l.chosen.from, l.chosen.to)
	return l.view[l.index(spot{seq: first}) : l.index(spot{seq: last})+1]
}

// maxCopy is how many bytes terminals take for their clipboard: xterm stops at
// 100,000 of base64, which is three quarters of that.
const maxCopy = 74_000

// clipText is the text of lines, as it was written and without colours; of too
// many it is the last ones.
func clipText(lines []proc.Line) (text string, n int) {
	size := 0
	for n < len(lines) {
		t := len(plainText(lines[len(lines)-1-n].Text)) + 1
		if size+t > maxCopy && n > 0 {
			break
		}
		size += t
		n++
	}
	var b strings.Builder
	for i := range lines[len(lines)-n:] {
		b.WriteString(plainText(lines[len(lines)-n+i].Text))
		b.WriteByte('\n')
	}
	return b.String(), n
}

// fileText is lines as they are saved: with the time, the instance and the
// stream.
func fileText(lines []proc.Line) string {
	var b strings.Builder
	for i := range lines {
		l := &lines[i]
		fmt.Fprintf(&b, "%s %s %s %s\n", l.At.Local().Format("2006-01-02T15:04:05.000Z07:00"), l.Instance, l.Stream, plainText(l.Text))
	}
	return b.String()
}
