package tui

import (
	"fmt"
	"strings"

	"clusterd/internal/figure"
	"clusterd/internal/proc"
)

// clocks are the ways to write the time of a line that t goes through.
var clocks = []struct{ name, layout string }{
	{"seconds", "15:04:05 "},
	{"milliseconds", "15:04:05.000 "},
	{"none", ""},
}

// renderLogs draws the log pane into w by h cells, heading included.
func (m *model) renderLogs(w, h int) []string {
	l := &m.logs
	lines := make([]string, 0, h)
	lines = append(lines, m.logHeading(w))
	prefix := l.prefixWidth()
	l.w, l.h = max(w-prefix, 2), h-1
	if len(l.view) == 0 {
		return append(lines, "  "+m.theme.paint(faint, m.theme.cut(m.emptyLog(), w-2)))[:min(h, 2)]
	}
	at := l.shown()
	skip := at.row
	for i := l.index(at); i < len(l.view) && len(lines) < h; i++ {
		line := &l.view[i]
		for n, text := range m.logRows(line, w) {
			if n >= skip && len(lines) < h {
				lines = append(lines, text)
			}
		}
		skip = 0
	}
	if m.lost != nil {
		for i := range lines {
			lines[i] = m.theme.fade(lines[i])
		}
	}
	return lines
}

// emptyLog says why there is nothing to read.
func (m *model) emptyLog() string {
	l := &m.logs
	switch {
	case l.target == "" && !l.all:
		return ""
	case !l.loaded:
		return "reading" + m.theme.dots
	case l.only:
		return "no line matches " + m.theme.line(l.search.text) + "; & shows all lines"
	case l.stream != 0 && len(l.lines) > 0:
		return fmt.Sprintf("nothing of the stream %s; e shows others", streams[l.stream])
	}
	return "nothing has been written yet"
}

// logHeading is a rule with the title in it.
func (m *model) logHeading(w int) string {
	return m.rule(m.logs.title(m.theme), m.focus == paneLogs, w)
}

// rule is the heading of a pane.
func (m *model) rule(title string, keys bool, w int) string {
	rule, s := m.theme.rule, heading
	if keys {
		rule, s = m.theme.ruleBold, focused
	}
	title = m.theme.cut(title, w-6)
	right := max(w-4-width(title), 0)
	return m.theme.paint(s, strings.Repeat(rule, 2)+" "+title+" "+strings.Repeat(rule, right))
}

// title says whose log it is, and where in it one is.
func (l *logPane) title(t *theme) string {
	if l.target == "" && !l.all {
		return "logs"
	}
	s := "logs " + t.line(l.target)
	if l.all {
		s = "logs of everything"
	}
	switch {
	case l.past:
		s += "  PAUSED, of the daemon before; f shows the new one's"
	case l.paused && l.since > 0:
		s += fmt.Sprintf("  PAUSED +%s", figure.Grouped(uint64(l.since)))
	case l.paused:
		s += "  PAUSED"
	default:
		s += "  FOLLOW"
	}
	if l.chosen != nil {
		s += "  " + figure.Plural(len(l.picked()), "line") + " selected"
	}
	if l.stream != 0 {
		s += "  " + string(streams[l.stream]) + " only"
	}
	if l.search != nil {
		s += "  " + t.line(l.hitTitle())
	}
	if l.wrap {
		s += "  wrap"
	} else if l.pan > 0 {
		s += fmt.Sprintf("  from column %d", l.pan+1)
	}
	if l.dropped > 0 {
		s += fmt.Sprintf("  %s lines dropped", figure.Grouped(l.dropped))
	}
	if l.missed > 0 {
		s += fmt.Sprintf("  the last %s only after f", figure.Grouped(uint64(l.missed)))
	}
	return s
}

// prefixWidth is how many cells stand before the text of every line: the time,
// whose line it is, and a mark for its stream.
func (l *logPane) prefixWidth() int { return len(clocks[l.clock].layout) + l.names + len(" | ") }

// logPrefix is what stands before the first row of a line.
func (m *model) logPrefix(p *pen, line *proc.Line, hit bool) {
	mark, markStyle := m.theme.outMark, plain
	switch {
	case line.Stream == proc.StreamErr:
		mark, markStyle = m.theme.errMark, errMark
	case line.Stream == proc.StreamEvent:
		mark, markStyle = m.theme.eventMark, event
	}
	p.put(faint, line.At.Local().Format(clocks[m.logs.clock].layout))
	p.put(label(line.Instance), m.theme.fit(line.Instance, m.logs.names))
	if hit {
		p.put(found, m.theme.hitMark)
	} else {
		p.gap(1)
	}
	p.put(markStyle, mark)
	p.gap(1)
}

// logRows are the rows of a line, and of the mark after it.
func (m *model) logRows(line *proc.Line, w int) []string {
	l := &m.logs
	selected := l.chosen.has(line.Seq)
	text := m.theme.clean(line.Text)
	hit := false
	if s := l.search; s != nil && !selected {
		if hit = s.finds(line); hit {
			st := match
			if s.at == line.Seq {
				st = found
			}
			text = m.theme.highlight(text, s.re, st)
		}
	}
	var rows []string
	if l.wrap {
		rows = wrap(text, l.w)
	} else {
		rows = []string{m.theme.window(text, l.pan, l.w)}
	}
	for i := range rows {
		p := &pen{t: m.theme, flat: selected}
		switch {
		case i > 0:
			p.gap(l.prefixWidth())
		default:
			m.logPrefix(p, line, hit || selected)
		}
		switch {
		case selected:
			p.put(plain, plainText(rows[i]))
		case line.Stream == proc.StreamEvent && !hit:
			p.put(event, rows[i])
		default:
			p.b.WriteString(rows[i])
		}
		rows[i] = p.b.String()
		if selected {
			rows[i] = m.theme.paint(chosen, m.theme.fit(rows[i], w))
		}
	}
	if at, ok := l.marks[line.Seq]; ok {
		title := " mark, " + at.Local().Format("15:04:05") + " "
		side := strings.Repeat(m.theme.rule, max((w-len(title))/2, 1))
		rows = append(rows, m.theme.paint(marked, side+title+side))
	}
	return rows
}
