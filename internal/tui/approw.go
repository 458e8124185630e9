package tui

import (
	"cmp"
	"fmt"
	"math"

	"clusterd/internal/figure"
	"clusterd/internal/proc"
)

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

	restarts := 0
	for i := range a.Instances {
		restarts += a.Instances[i].Restarts
	}
	mark := m.theme.mark(a.RequestsKind)
	failed := m.recent.app(m.snapAt, a)
	v := [columns]string{
		colState:    m.stateOf(a),
		colPort:     figure.Unknown,
		colRestarts: figure.Few(restarts),
		colCPU:      figure.Percent(total(a, func(in *proc.InstanceSnapshot) *float64 { return in.CPUPercent })),
		colMemory:   figure.Size(total(a, func(in *proc.InstanceSnapshot) *uint64 { return in.RSSBytes })),
		colOpen:     few(a.ConnectionsOpen),
		colQueue:    fewer(a.Queue),
		colRequests: m.theme.requests(a.RequestsTotal, mark),
		colRate:     m.theme.rate(a.RequestsPerS, mark),
		colP50:      m.theme.latency(a.Latency, func(l *proc.Latency) float64 { return l.P50 }),
		colP99:      m.theme.latency(a.Latency, func(l *proc.Latency) float64 { return l.P99 }),
		colErrors:   percent(failed.share()),
		colCount:    m.theme.line(a.Count),
	}
	if a.Port != nil {
		v[colPort] = fmt.Sprintf(":%d", *a.Port)
	}
	if a.Count == "" {
		v[colCount] = figure.Unknown
	}
	end := columns
	if g.widths[colCount] == 0 {
		end = colShare // which an app has none of
	}
	st := [columns]style{colState: stateStyles[a.State], colCount: faint}
	if failed.failed > 0 {
		st[colErrors] = warning
	}
	p.cells(g, end, v, st)
	m.appNote(p, g, end, a)
}

// total adds up what is known of one figure of an app's instances; nil: nothing.
func total[N float64 | uint64](a *proc.AppSnapshot, of func(*proc.InstanceSnapshot) *N) *N {
	var sum N
	known := false
	for i := range a.Instances {
		if v := of(&a.Instances[i]); v != nil {
			sum += *v
			known = true
		}
	}
	if !known {
		return nil
	}
	return &sum
}

// few writes how many, of what is rarely more than thousands, in four cells.
func few(n *uint64) string {
	switch {
	case n == nil:
		return figure.Unknown
	case *n < 10_000:
		return fmt.Sprint(*n)
	}
	return fmt.Sprintf("%dk", min(*n/1000, 999))
}

// fewer is few in three cells.
func fewer(n *uint64) string {
	if n == nil {
		return figure.Unknown
	}
	return figure.Few(int(min(*n, math.MaxInt32)))
}

// stateOf is an app's state in its column: how many are ready, of a thousand without
// the sign.
func (m *model) stateOf(a *proc.AppSnapshot) string {
	of := cmp.Or(a.Of(), string(a.State))
	if s := m.theme.state(a.State) + " " + of; width(s) <= columnWidths[colState] {
		return s
	}
	return of
}

// appNote is an app's line from the column end on: its trend, how far a reload
// is, and why it is not ready where no instance's line says so.
func (m *model) appNote(p *pen, g grid, end column, a *proc.AppSnapshot) {
	reason, style := "", reasonStyle(a.State)
	if a.Reload != nil {
		reason, style = fmt.Sprintf("reload %d/%d", a.Reload.Done, a.Reload.Total), busy
	} else if a.State != proc.StateReady && (m.tree.folded(a.Name) || len(a.Instances) == 0) {
		reason = string(a.State)
		if a.Reason != "" {
			reason += ": " + m.theme.line(a.Reason)
		}
	}
	p.gap(g.gap)
	switch {
	case g.split():
		p.put(chart, m.theme.fit(m.theme.sparkline(a.RequestsHistory, g.trend), g.trend))
		p.gap(g.gap)
		switch top := peak(a.RequestsHistory); {
		case reason != "":
			p.put(style, m.theme.cut(reason, g.text))
		case top > 0:
			p.put(faint, m.theme.cut("peak "+figure.Rate(&top)+"/s", g.text))
		}
	case reason != "":
		p.put(style, m.theme.cut(reason, g.from(end)))
	case end == colShare:
		source := m.theme.fit(m.theme.line(a.Count), max(len(a.Count), g.widths[colShare]))
		p.put(faint, source)
		p.gap(g.gap)
		p.put(chart, m.theme.sparkline(a.RequestsHistory, min(g.trend, g.from(end)-width(source)-g.gap)))
	default:
		p.put(chart, m.theme.sparkline(a.RequestsHistory, g.trend))
	}
}
