package tui

import "strings"

// maxFooter is how many lines a long message may take.
const maxFooter = 3

// message is what the footer says instead of the keys, or "".
func (m *model) message() (string, style) {
	switch {
	case m.tree.typing:
		return "/" + m.theme.line(m.tree.filter) + "_", strong
	case m.notice.text != "":
		return m.notice.text, m.notice.style
	case len(m.acting) > 0:
		return m.progress(), busy
	}
	return "", plain
}

// footerLines is how high the footer has to be.
func (m *model) footerLines() int {
	text, _ := m.message()
	return max(len(m.theme.words(text, m.w-2, maxFooter)), 1)
}

// renderFooter draws the last lines.
func (m *model) renderFooter(w, h int) []string {
	text, s := m.message()
	if text == "" {
		return []string{m.hints(w)}
	}
	var lines []string
	for _, row := range m.theme.words(text, w-2, h) {
		lines = append(lines, " "+m.theme.paint(s, row))
	}
	if m.tree.typing {
		hint := "enter keep  esc show all"
		if free := w - 2 - width(text); free > len(hint)+2 {
			lines[0] += spaces(free-len(hint)) + m.theme.paint(faint, hint)
		}
	}
	return lines
}

// hint is a key and the one word for it that the footer has room for.
type hint struct{ name, word string }

// hints are the keys that matter most here; the last ones give way first,
// except for help and quit.
func (m *model) hints(w int) string {
	var all []hint
	switch {
	case m.help.open:
		all = []hint{{"j k", "scroll"}, {"any key", "close"}}
		return m.hintLine(all, nil, w)
	case m.focus == paneLogs:
		word := "pause"
		if m.logs.paused {
			word = "follow"
		}
		all = []hint{{"j k", "scroll"}, {"f", word}, {"w", "wrap"},
			{"h l", "sideways"}, {"tab", "apps"}, {"z", "zoom"},
			{"r", "restart"}, {"x", "stop"}}
	default:
		all = []hint{{"j k", "move"}, {"r", "restart"}, {"x", "stop"},
			{"s", "start"}, {"tab", "logs"}, {"/", "filter"},
			{"z", "zoom"}, {"X", "kill"}}
	}
	quit := "quit"
	if m.attached {
		quit = "leave"
	}
	return m.hintLine(all, []hint{{"?", "help"}, {"q", quit}}, w)
}

func (m *model) hintLine(all, always []hint, w int) string {
	const gap = 2
	size := func(h hint) int { return width(h.name) + 1 + width(h.word) + gap }
	room := w - 1
	for _, h := range always {
		room -= size(h)
	}
	var b strings.Builder
	b.WriteString(" ")
	put := func(h hint) {
		b.WriteString(m.theme.paint(hintKey, h.name) + " " + m.theme.paint(faint, h.word) + spaces(gap))
	}
	for _, h := range all {
		if room -= size(h); room < 0 {
			break
		}
		put(h)
	}
	for _, h := range always {
		put(h)
	}
	return strings.TrimRight(b.String(), " ")
}
