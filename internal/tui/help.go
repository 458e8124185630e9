package tui

// helpView is the list of keys, over everything else.
type helpView struct {
	open bool
	top  int // first row on the screen
}

// helpKeyWidth is how many cells the names of keys take.
const helpKeyWidth = 9

// renderHelp draws the keys into w by h cells: two columns, and as many rows as
// it takes, of which the screen shows some.
func (m *model) renderHelp(w, h int) []string {
	col := (w - 3) / 2
	columns := m.helpColumns(col)
	total := max(len(columns[0]), len(columns[1]))
	m.help.top = max(min(m.help.top, total-h), 0)
	lines := make([]string, 0, h)
	for i := m.help.top; i < min(m.help.top+h, total); i++ {
		left := cell(columns[0], i)
		lines = append(lines, " "+left+spaces(col-width(left))+" "+cell(columns[1], i))
	}
	return lines
}

// helpColumns are the groups of keys in two columns of about the same height.
func (m *model) helpColumns(w int) (columns [2][]string) {
	for i, g := range m.keys.groups {
		if g.title == "" {
			continue
		}
		c := &columns[min(i/2, 1)]
		if len(*c) > 0 {
			*c = append(*c, "")
		}
		*c = append(*c, m.theme.paint(strong, g.title))
		for _, k := range g.commands {
			if help := k.bind.Help(); help.Key != "" {
				*c = append(*c, m.theme.paint(hintKey, m.theme.fit(help.Key, helpKeyWidth))+
					" "+m.theme.cut(help.Desc, w-helpKeyWidth-1))
			}
		}
	}
	return columns
}

func cell(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return ""
}

func (m *model) openHelp() cmd {
	m.help.open = true
	return nil
}

// onHelpKey scrolls the help; any other key closes it.
func (m *model) onHelpKey(key string) cmd {
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
