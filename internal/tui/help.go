package tui

import (
	"strings"

	tea "github.com/charmbracelet/bubbletea"
)

// helpView is the list of keys, over everything else.
type helpView struct {
	open bool
	top  int // first row on the screen
}

// helpKeyWidth is how many cells the names of keys take.
const helpKeyWidth = 12

// renderHelp draws the keys into w by h cells: two columns, and as many rows as
// it takes, of which the screen shows some.
func (m *model) renderHelp(w, h int) []string {
	col := (w - 3) / 2
	var columns [2][]string
	for i, g := range m.keys.groups() {
		c := 0
		if i >= 2 {
			c = 1
		}
		if len(columns[c]) > 0 {
			columns[c] = append(columns[c], "")
		}
		columns[c] = append(columns[c], m.theme.paint(strong, g.title))
		for _, k := range g.keys {
			columns[c] = append(columns[c], m.theme.paint(hintKey, m.theme.fit(k.Help().Key, helpKeyWidth))+
				" "+m.theme.cut(k.Help().Desc, col-helpKeyWidth-1))
		}
	}
	total := max(len(columns[0]), len(columns[1]))
	m.help.top = max(min(m.help.top, total-h), 0)
	lines := make([]string, 0, h)
	for i := m.help.top; i < min(m.help.top+h, total); i++ {
		var b strings.Builder
		b.WriteString(" ")
		left := cell(columns[0], i)
		b.WriteString(left + spaces(col-width(left)))
		b.WriteString(" " + cell(columns[1], i))
		lines = append(lines, b.String())
	}
	return lines
}

func cell(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return ""
}

// onHelpKey scrolls the help; any other key closes it.
func (m *model) onHelpKey(key string) tea.Cmd {
	m.changed()
	switch key {
	case "j", "down":
		m.help.top++
	case "k", "up":
		m.help.top = max(m.help.top-1, 0)
	case "pgdown", "ctrl+d":
		m.help.top += m.h / 2
	case "pgup", "ctrl+u":
		m.help.top = max(m.help.top-m.h/2, 0)
	default:
		m.help.open = false
	}
	return nil
}
