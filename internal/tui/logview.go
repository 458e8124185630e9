package tui

import (
	"strings"

	"clusterd/internal/proc"
)

// renderLogs draws the log pane into w by h cells, heading included.
func (m *model) renderLogs(w, h int) []string {
	l := &m.logs
	lines := make([]string, 0, h)
	lines = append(lines, m.logHeading(w))
	prefix := l.prefixWidth()
	l.w, l.h = max(w-prefix, 2), h-1
	if len(l.lines) == 0 {
		return append(lines, "  "+m.theme.paint(faint, m.theme.cut(m.emptyLog(), w-2)))[:min(h, 2)]
	}
	at := l.shown()
	skip := at.row
	for i := l.index(at); i < len(l.lines) && len(lines) < h; i++ {
		for n, text := range m.logRows(&l.lines[i]) {
			if n < skip {
				continue
			}
			if len(lines) == h {
				break
			}
			lines = append(lines, m.logPrefix(&l.lines[i], n > 0)+text)
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
	switch {
	case m.logs.target == "":
		return ""
	case !m.logs.loaded:
		return "reading" + m.theme.dots
	}
	return "nothing has been written yet"
}

// logHeading is a rule with the title in it.
func (m *model) logHeading(w int) string {
	rule, s := m.theme.rule, heading
	if m.focus == paneLogs {
		rule, s = m.theme.ruleBold, focused
	}
	title := m.theme.cut(m.logs.title(m.theme), w-6)
	right := max(w-4-width(title), 0)
	return m.theme.paint(s, strings.Repeat(rule, 2)+" "+title+" "+strings.Repeat(rule, right))
}

// prefixWidth is how many cells stand before the text of every line: the time,
// whose line it is, and a mark for its stream.
func (l *logPane) prefixWidth() int { return len("15:04:05 ") + l.names + len(" | ") }

// logPrefix is what stands before a row of a line; rest: a wrapped line's rows
// after its first.
func (m *model) logPrefix(line *proc.Line, rest bool) string {
	if rest {
		return spaces(m.logs.prefixWidth())
	}
	s, mark, markStyle := label(line.Instance), m.theme.outMark, plain
	switch line.Stream {
	case proc.StreamErr:
		mark, markStyle = m.theme.errMark, errMark
	case proc.StreamEvent:
		mark, markStyle = m.theme.eventMark, event
	}
	return m.theme.paint(faint, line.At.Local().Format("15:04:05")) + " " +
		m.theme.paint(s, m.theme.fit(line.Instance, m.logs.names)) + " " +
		m.theme.paint(markStyle, mark) + " "
}

// logRows are the rows of a line's text.
func (m *model) logRows(line *proc.Line) []string {
	text := m.theme.clean(line.Text)
	rows := []string{}
	if m.logs.wrap {
		rows = wrap(text, m.logs.w)
	} else {
		rows = append(rows, m.theme.window(text, m.logs.pan, m.logs.w))
	}
	if line.Stream == proc.StreamEvent {
		for i := range rows {
			rows[i] = m.theme.paint(event, rows[i])
		}
	}
	return rows
}
