package tui

import (
	"fmt"
	"strings"
)

// pen writes one line of styled text.
type pen struct {
	t    *theme
	b    strings.Builder
	flat bool // styles are left out; the whole line gets one afterwards
}

func (p *pen) put(s style, text string) {
	if p.flat {
		s = plain
	}
	p.b.WriteString(p.t.paint(s, text))
}

func (p *pen) gap(n int) { p.b.WriteString(spaces(n)) }

// renderTree draws the tree into w by h cells, heading included.
func (m *model) renderTree(w, h int) []string {
	t := &m.tree
	g := columnsFor(w, t.names, t.process)
	lines := make([]string, 0, h)
	body := h - 1
	t.scroll(body)
	lines = append(lines, m.treeHeading(g, w, body))
	if len(t.rows) == 0 {
		lines = append(lines, "", "  "+m.theme.paint(faint, m.theme.cut(m.emptyTree(), w-2)))
		return lines[:min(len(lines), h)]
	}
	for i := t.top; i < min(t.top+body, len(t.rows)); i++ {
		lines = append(lines, m.renderRow(g, w, t.rows[i], i == t.index))
	}
	return lines
}

// emptyTree says why there are no rows.
func (m *model) emptyTree() string {
	switch {
	case m.snap == nil && m.lost != nil:
		return "no answer yet: " + m.theme.line(m.lost.Error())
	case m.snap == nil:
		return "waiting for the cluster" + m.theme.dots
	case len(m.snap.Apps) == 0:
		return "no apps; add [apps.NAME] with a command to " + m.theme.line(m.snap.Config)
	}
	return fmt.Sprintf("nothing is called %q; esc shows everything", m.tree.filter)
}

// treeHeading is the line of column titles.
func (m *model) treeHeading(g grid, w, h int) string {
	var b strings.Builder
	b.WriteString("   ")
	b.WriteString(m.theme.fit("NAME", g.name))
	for c, cw := range g.widths {
		if cw == 0 {
			continue
		}
		title := columnTitles[c]
		if column(c) == colPort && !g.pid {
			title = "PORT"
		}
		b.WriteString(spaces(g.gap))
		if leftAligned(column(c)) {
			b.WriteString(m.theme.fit(title, cw))
		} else {
			b.WriteString(m.theme.fitRight(title, cw))
		}
	}
	title := b.String()
	if right := strings.TrimSpace(m.filterTitle() + m.orderTitle() + "  " + m.moreTitle(h)); right != "" {
		title = m.theme.fit(title, w-width(right)-2) + "  " + right
	}
	s := heading
	if m.focus == paneTree {
		s = focused
	}
	return m.theme.paint(s, m.theme.cut(title, w))
}

// filterTitle names the filter while one is set.
func (m *model) filterTitle() string {
	if m.tree.filter == "" {
		return ""
	}
	return "/" + m.tree.filter
}

// orderTitle names the order of the rows, where it is not the file's.
func (m *model) orderTitle() string {
	if m.tree.order == 0 {
		return ""
	}
	return "  by " + orders[m.tree.order].name
}

// moreTitle says how many of the rows are above and below the h on the screen.
func (m *model) moreTitle(h int) string {
	t, s := &m.tree, ""
	if t.top > 0 {
		s = fmt.Sprintf("%s%d", m.theme.up, t.top)
	}
	if below := len(t.rows) - t.top - h; below > 0 {
		s += fmt.Sprintf(" %s%d", m.theme.down, below)
	}
	return strings.TrimSpace(s)
}

func leftAligned(c column) bool { return c == colState || c == colCount }

// renderRow draws one line of the tree.
func (m *model) renderRow(g grid, w int, r row, selected bool) string {
	app := &m.snap.Apps[r.app]
	p := &pen{t: m.theme, flat: m.lost != nil || (selected && m.focus == paneTree)}
	if selected {
		p.put(strong, ">")
	} else {
		p.gap(1)
	}
	if r.instance < 0 {
		m.appCells(p, g, app)
	} else {
		m.instanceCells(p, g, app, &app.Instances[r.instance])
	}
	line := m.theme.cut(p.b.String(), w)
	switch {
	case !p.flat:
		return line
	case selected && m.focus == paneTree && m.lost != nil:
		return m.theme.paint(chosenPast, m.theme.fit(line, w))
	case selected && m.focus == paneTree:
		return m.theme.paint(chosen, m.theme.fit(line, w))
	}
	return m.theme.paint(faint, line)
}

// cells writes the columns before end that are shown, by their values.
func (p *pen) cells(g grid, end column, values [columns]string, styles [columns]style) {
	for c, cw := range g.widths[:end] {
		if cw == 0 {
			continue
		}
		p.gap(g.gap)
		text := p.t.fitRight(values[c], cw)
		if leftAligned(column(c)) {
			text = p.t.fit(values[c], cw)
		}
		p.put(styles[c], text)
	}
}
