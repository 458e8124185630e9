package tui

import (
	"fmt"
	"strings"
	"time"

	"clusterd/internal/figure"
	"clusterd/internal/proc"
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
	g := columnsFor(w, t.names)
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
	if right := strings.TrimSpace(m.filterTitle() + "  " + m.moreTitle(h)); right != "" {
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
	cursor := " "
	if selected {
		cursor = ">"
	}
	p.put(strong, cursor)
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
		return m.theme.paint(chosenX, m.theme.fit(line, w))
	case selected && m.focus == paneTree:
		return m.theme.paint(chosen, m.theme.fit(line, w))
	}
	return m.theme.paint(faint, line)
}

// cells writes the columns that are shown, by their values.
func (p *pen) cells(g grid, values [columns]string, styles [columns]style) {
	for c, cw := range g.widths {
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

func (m *model) appCells(p *pen, g grid, a *proc.AppSnapshot) {
	sign := m.theme.open
	if m.tree.folded(a.Name) {
		sign = m.theme.closed
	}
	if len(a.Instances) == 0 {
		sign = " "
	}
	p.put(faint, sign)
	p.gap(1)
	p.put(strong, m.theme.fit(m.theme.line(a.Name), g.name))

	restarts, exact := 0, true
	cpu, memory := sums(a.Instances)
	for i := range a.Instances {
		restarts += a.Instances[i].Restarts
		exact = exact && a.Instances[i].RequestsExact
	}
	v := [columns]string{
		colState:    fmt.Sprintf("%s %d/%d", m.theme.state(a.State), a.Ready, a.InstancesWanted),
		colPort:     figure.Unknown,
		colRestarts: figure.Few(restarts),
		colCPU:      figure.Percent(cpu),
		colMemory:   figure.Size(memory),
		colRequests: m.theme.requests(a.RequestsTotal, exact),
		colRate:     figure.Rate(a.RequestsPerS),
		colCount:    m.theme.line(a.Count),
	}
	if a.Port != nil {
		v[colPort] = fmt.Sprintf(":%d", *a.Port)
	}
	if a.Count == "" {
		v[colCount] = figure.Unknown
	}
	p.cells(g, v, [columns]style{colState: stateStyles[a.State], colCount: faint})
	m.appNote(p, g, a)
}

// sums adds up what is known of the instances' CPU and memory.
func sums(instances []proc.InstanceSnapshot) (cpu *float64, memory *uint64) {
	for i := range instances {
		if v := instances[i].CPUPercent; v != nil {
			sum := *v
			if cpu != nil {
				sum += *cpu
			}
			cpu = &sum
		}
		if v := instances[i].RSSBytes; v != nil {
			sum := *v
			if memory != nil {
				sum += *memory
			}
			memory = &sum
		}
	}
	return cpu, memory
}

// appNote is the end of an app's line: its trend, and why it is not ready where
// no instance's line says so.
func (m *model) appNote(p *pen, g grid, a *proc.AppSnapshot) {
	reason := ""
	if a.State != proc.StateReady && (m.tree.folded(a.Name) || len(a.Instances) == 0) {
		reason = string(a.State)
		if a.Reason != "" {
			reason += ": " + m.theme.line(a.Reason)
		}
	}
	source := ""
	if g.widths[colCount] == 0 {
		source = m.theme.line(a.Count)
	}
	p.gap(g.gap)
	switch {
	case g.split():
		p.put(chart, m.theme.fit(m.theme.sparkline(a.RequestsHistory, g.trend), g.trend))
		p.gap(g.gap)
		switch top := peak(a.RequestsHistory); {
		case reason != "":
			p.put(reasonStyle(a.State), m.theme.cut(reason, g.text))
		case top > 0:
			p.put(faint, m.theme.cut("peak "+figure.Rate(&top)+"/s", g.text))
		}
	case reason != "":
		p.put(reasonStyle(a.State), m.theme.cut(reason, g.note))
	case source != "" && g.note >= len(source)+1:
		w := min(g.trend, g.note-len(source)-1)
		p.put(chart, m.theme.sparkline(a.RequestsHistory, w))
		if w > 0 {
			p.gap(1)
		}
		p.put(faint, source)
	default:
		p.put(chart, m.theme.sparkline(a.RequestsHistory, g.trend))
	}
}

func (m *model) instanceCells(p *pen, g grid, a *proc.AppSnapshot, in *proc.InstanceSnapshot) {
	p.gap(3)
	p.put(plain, m.theme.fit(m.theme.line(in.ID), g.name-1))
	share := -1
	if all := m.tree.shares[a.Name]; in.RequestsTotal != nil && a.RequestsTotal != nil {
		share = shareOf(a, all, in)
	}
	v := [columns]string{
		colState:    m.theme.state(in.State) + " " + string(in.State),
		colUp:       figure.SpanOf(in.Uptime),
		colRestarts: figure.Few(in.Restarts),
		colCPU:      figure.Percent(in.CPUPercent),
		colMemory:   figure.Size(in.RSSBytes),
		colRequests: m.theme.requests(in.RequestsTotal, in.RequestsExact),
		colRate:     figure.Rate(in.RequestsPerS),
		colShare:    figure.Unknown,
	}
	if share >= 0 {
		v[colShare] = fmt.Sprintf("%d%%", share)
	}
	if g.pid {
		v[colPort] = figure.Unknown
		if in.PID != nil {
			v[colPort] = fmt.Sprint(*in.PID)
		}
	}
	s := [columns]style{colState: stateStyles[in.State]}
	if in.Restarts > 0 {
		s[colRestarts] = warning
	}
	p.cells(g, v, s)
	m.instanceNote(p, g, a, in, share)
}

// shareOf finds an instance's share among those of its app.
func shareOf(a *proc.AppSnapshot, all []int, in *proc.InstanceSnapshot) int {
	for i := range a.Instances {
		if &a.Instances[i] == in && i < len(all) {
			return all[i]
		}
	}
	return -1
}

// instanceNote is the end of an instance's line: the bar of its share, and why
// it is not ready, or how it ended the last time.
func (m *model) instanceNote(p *pen, g grid, a *proc.AppSnapshot, in *proc.InstanceSnapshot, share int) {
	text, s := m.theme.line(in.Reason), reasonStyle(in.State)
	if text == "" && in.LastExit != nil && in.State == proc.StateReady {
		text, s = lastExit(in.LastExit, m.snapAt), faint
	}
	bar := ""
	if most := largest(m.tree.shares[a.Name]); share > 0 && most > 0 && g.bar > 0 {
		bar = m.theme.meter(float64(share)/float64(most), g.bar)
	}
	p.gap(g.gap)
	switch {
	case g.split():
		p.put(chart, m.theme.fit(bar, g.trend))
		p.gap(g.gap)
		p.put(s, m.theme.cut(text, g.text))
	case in.Reason != "" || bar == "":
		p.put(s, m.theme.cut(text, g.note))
	default:
		p.put(chart, bar)
	}
}

func largest(all []int) int {
	most := 0
	for _, n := range all {
		most = max(most, n)
	}
	return most
}

// reasonStyle is how the reason of a state looks.
func reasonStyle(s proc.State) style {
	if s == proc.StateReady {
		return plain
	}
	return stateStyles[s]
}

// lastExit says how a process ended: "exit 1, 3m12s ago".
func lastExit(e *proc.Exit, now time.Time) string {
	how := e.Signal
	if how == "" {
		how = fmt.Sprintf("exit %d", e.Code)
	}
	return how + ", " + figure.Span(now.Sub(e.At).Seconds()) + " ago"
}
