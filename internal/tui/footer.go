package tui

import "strings"

// maxFooter is how many lines a long message may take.
const maxFooter = 3

// message is what the footer says instead of the keys, or "".
func (m *model) message() (string, style) {
	switch {
	case m.notice.text != "":
		return m.notice.text, m.notice.style
	case len(m.acting) > 0:
		return m.progress(), busy
	}
	return "", plain
}

// footerLines is how high the footer has to be.
func (m *model) footerLines() int {
	if m.prompt != nil {
		return 1
	}
	text, _ := m.message()
	return max(len(m.theme.words(text, m.w-2, maxFooter)), 1)
}

// renderFooter draws the last lines.
func (m *model) renderFooter(w, h int) []string {
	if m.prompt != nil {
		return []string{m.prompt.render(m.theme, w)}
	}
	text, s := m.message()
	if text == "" {
		return []string{m.hints(w)}
	}
	var lines []string
	for _, row := range m.theme.words(text, w-2, h) {
		lines = append(lines, " "+m.theme.paint(s, row))
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
	case m.ask != nil:
		all = []hint{{"y", strings.ToLower(m.ask.yes)}, {"n esc", "cancel"}, {"tab", "choose"}, {"enter", "take the choice"}}
		return m.hintLine(all, nil, w)
	case m.help.open:
		all = []hint{{"j k", "scroll"}, {"any key", "close"}}
		return m.hintLine(all, nil, w)
	case m.logs.selecting():
		all = []hint{{"j k", "extend"}, {"y", "copy"}, {"^s", "save"}, {"esc", "cancel"}}
	case m.focus == paneLogs:
		word := "pause"
		if m.logs.paused {
			word = "follow"
		}
		all = []hint{{"j k", "scroll"}, {"f", word}, {"/", "search"}, {"w", "wrap"},
			{"y", "copy"}, {"esc", "apps"}, {"z", "zoom"}, {"e", "streams"}, {"a", "whose"}, {"T", "time"}, {"m", "mark"}, {"^s", "save"}}
	case m.focus == paneDetail:
		all = []hint{{"j k", "scroll"}, {"u", "secrets"}, {"esc", "apps"}, {"r", "restart"}, {"R", "reload"}}
	default:
		all = []hint{{"enter", "details"}, {"r", "restart"}, {"R", "reload"}, {"x", "stop"},
			{"s", "start"}, {"/", "filter"}, {"2", "logs"}, {"o", "sort"}, {"+ -", "scale"}, {":", "commands"},
			{"z", "zoom"}, {"X", "kill"}}
	}
	if m.mouse {
		all = append([]hint{{"shift-drag", "selects"}}, all...)
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
