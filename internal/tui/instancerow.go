package tui

import (
	"fmt"
	"time"

	"clusterd/internal/figure"
	"clusterd/internal/proc"
)

func (m *model) instanceCells(p *pen, g grid, a *proc.AppSnapshot, in *proc.InstanceSnapshot) {
	p.gap(3)
	p.put(plain, m.theme.fit(m.theme.cutName(m.theme.line(in.ID), g.name-1), g.name-1))
	share := -1
	if all := m.tree.shares[a.Name]; in.RequestsTotal != nil && a.RequestsTotal != nil {
		share = shareOf(a, all, in)
	}
	mark := m.theme.mark(in.RequestsKind)
	v := [columns]string{
		colState:    m.theme.state(in.State) + " " + string(in.State),
		colUp:       figure.SpanOf(in.Uptime),
		colRestarts: figure.Few(in.Restarts),
		colCPU:      figure.Percent(in.CPUPercent),
		colMemory:   figure.Size(in.RSSBytes),
		colOpen:     few(in.ConnectionsOpen),
		colQueue:    fewer(in.Queue),
		colRequests: m.theme.requests(in.RequestsTotal, mark),
		colRate:     m.theme.rate(in.RequestsPerS, mark),
		colP50:      m.theme.latency(in.Latency, func(l *proc.Latency) float64 { return l.P50 }),
		colP99:      m.theme.latency(in.Latency, func(l *proc.Latency) float64 { return l.P99 }),
		colErrors:   figure.Unknown,
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
	if in.Status != nil {
		v[colErrors] = figure.Count(in.Status.Server)
		if m.recent.instance(m.snapAt, a.Name, in).failed > 0 {
			s[colErrors] = warning
		}
	}
	if in.Queue != nil && *in.Queue > 0 {
		s[colQueue] = warning
	}
	if in.Restarts > 0 {
		s[colRestarts] = warning
	}
	end := columns
	if width(m.theme.line(in.Reason)) > g.text {
		end = colRate // the reason matters more than what is zero now
	}
	p.cells(g, end, v, s)
	m.instanceNote(p, g, end, a, in, share)
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

// instanceNote is an instance's line from the column end on: the bar of its
// share, and why it is not ready, or how it ended the last time.
func (m *model) instanceNote(p *pen, g grid, end column, a *proc.AppSnapshot, in *proc.InstanceSnapshot, share int) {
	text, s := m.theme.line(in.Reason), reasonStyle(in.State)
	if text == "" && in.LastExit != nil && in.State == proc.StateReady {
		text, s = lastExit(in.LastExit, m.snapAt), faint
		if width(text) > g.text {
			text = manner(in.LastExit)
		}
	}
	bar := ""
	if most := largest(m.tree.shares[a.Name]); share > 0 && most > 0 && g.bar > 0 {
		bar = m.theme.meter(float64(share)/float64(most), g.bar)
	}
	p.gap(g.gap)
	switch {
	case end < columns:
		p.put(s, m.theme.cut(text, g.from(end)))
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

// lastExit says how a process ended, and when: "exit 1, 3m12s ago".
func lastExit(e *proc.Exit, now time.Time) string {
	return manner(e) + ", " + figure.Span(now.Sub(e.At).Seconds()) + " ago"
}

// manner is how a process ended: "exit 1", "SIGSEGV".
func manner(e *proc.Exit) string {
	if e.Signal != "" {
		return e.Signal
	}
	return fmt.Sprintf("exit %d", e.Code)
}
