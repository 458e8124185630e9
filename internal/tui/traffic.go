package tui

import (
	"fmt"
	"strings"

	"clusterd/internal/figure"
	"clusterd/internal/proc"
)

// trafficFacts say what it has served: requests, statuses, latency, and how that
// is spread over the instances.
func (m *model) trafficFacts(f *facts, t target) {
	a, in := t.app, t.instance
	if a.ConnectionsTotal == nil && a.RequestsTotal == nil {
		return
	}
	f.section("What it served")
	open, ever, queue, dropped := a.ConnectionsOpen, a.ConnectionsTotal, a.Queue, a.QueueDropped
	status, latency, bytesIn, bytesOut := a.Status, a.Latency, a.BytesIn, a.BytesOut
	total, rate, mark := a.RequestsTotal, a.RequestsPerS, m.theme.mark(a.RequestsKind)
	if in != nil {
		open, ever, queue, dropped = in.ConnectionsOpen, in.ConnectionsTotal, in.Queue, in.QueueDropped
		status, latency, bytesIn, bytesOut = in.Status, in.Latency, in.BytesIn, in.BytesOut
		total, rate, mark = in.RequestsTotal, in.RequestsPerS, m.theme.mark(in.RequestsKind)
	}
	f.add("requests", mark+full(total)+", now "+mark+figure.Rate(rate)+" per second")
	m.chart(f, t)
	f.add("connections", fmt.Sprintf("%s open, %s ever, %s waiting to be accepted", full(open), full(ever), full(queue)))
	if dropped != nil && *dropped > 0 {
		f.addStyled("", full(dropped)+" turned away, since too many waited", bad)
	}
	if status != nil {
		m.statusFacts(f, t, status)
	}
	if l := latency; l != nil {
		f.add("latency", fmt.Sprintf("p50 %s, p90 %s, p99 %s", m.theme.millis(l.P50), m.theme.millis(l.P90), m.theme.millis(l.P99)))
	}
	if bytesIn != nil && bytesOut != nil {
		f.add("bytes", figure.Size(bytesIn)+" in, "+figure.Size(bytesOut)+" out")
	}
	m.histogram(f)
	m.shareFacts(f, t)
}

// chartRows is how high the chart of requests is.
const chartRows = 4

// chart draws the requests per second of the last minutes, on a scale from zero
// that is named.
func (m *model) chart(f *facts, t target) {
	values := t.app.RequestsHistory
	if t.instance != nil {
		values = nil
		if d := m.detail.known; d != nil {
			values = d.History
		}
	}
	w := min(f.room(), len(values))
	values = values[len(values)-w:]
	top := peak(values)
	if top == 0 {
		return
	}
	rows := m.theme.area(values, w, chartRows)
	for i, row := range rows {
		label := ""
		switch i {
		case 0:
			label = figure.Rate(&top) + "/s"
		case chartRows - 1:
			label = "0"
		}
		f.put("", "")
		f.lines[len(f.lines)-1] = " " + m.theme.paint(faint, m.theme.fitRight(label, detailLabel-1)) + " " + m.theme.paint(chart, row)
	}
	f.addStyled("", "the last "+figure.Span(float64(w)), faint)
}

// statusFacts are the answers by class, ever and lately.
func (m *model) statusFacts(f *facts, t target, s *proc.Classes) {
	all := float64(s.Success + s.Redirect + s.Client + s.Server)
	for _, c := range []struct {
		name  string
		n     uint64
		style style
	}{
		{"2xx", s.Success, good}, {"3xx", s.Redirect, busy}, {"4xx", s.Client, warning}, {"5xx", s.Server, bad},
	} {
		part := 0.0
		if all > 0 {
			part = float64(c.n) / all
		}
		f.put(c.name, m.theme.fitRight(figure.Grouped(c.n), 11)+" "+m.theme.fitRight(percent(part), 5)+" "+
			m.theme.paint(c.style, m.theme.meter(part, min(f.room()-20, 30))))
	}
	if base := m.recent.base(m.snapAt); base != nil {
		lately := m.recent.app(m.snapAt, t.app)
		if t.instance != nil {
			lately = m.recent.instance(m.snapAt, t.app.Name, t.instance)
		}
		f.add("5xx lately", fmt.Sprintf("%s of %s answers in the last minute, %s",
			figure.Grouped(lately.failed), figure.Grouped(lately.all), percent(lately.share())))
	}
}

// histogram draws how latencies are spread.
func (m *model) histogram(f *facts) {
	d := m.detail.known
	if d == nil {
		return
	}
	first, last, most := -1, -1, uint64(0)
	for i, b := range d.Latency {
		if b.Count > 0 {
			if first < 0 {
				first = i
			}
			last, most = i, max(most, b.Count)
		}
	}
	if first < 0 {
		return
	}
	f.section("Latency of the last 30 to 60 seconds")
	for _, b := range d.Latency[first : last+1] {
		label := "within " + m.theme.millis(b.Upto)
		if b.Upto == 0 {
			label = "more"
		}
		bar := m.theme.meter(float64(b.Count)/float64(most), min(f.room()-12, 40))
		if bar == "" && b.Count > 0 {
			bar = m.theme.spark[1]
		}
		f.put(strings.ReplaceAll(label, ".0", ""), m.theme.fitRight(figure.Count(b.Count), 6)+" "+m.theme.paint(chart, bar))
	}
}

// shareFacts say how evenly an app's requests are spread over its instances.
func (m *model) shareFacts(f *facts, t target) {
	all := m.tree.shares[t.app.Name]
	if t.instance != nil || len(all) < 2 || t.app.RequestsTotal == nil || *t.app.RequestsTotal == 0 {
		return
	}
	title := "Share of its requests"
	if skew := t.app.Skew; skew != nil {
		title += fmt.Sprintf(": the largest is %.2f of the mean", *skew)
	}
	f.section(title)
	name := 0
	for i := range t.app.Instances {
		name = max(name, width(t.app.Instances[i].ID))
	}
	most := float64(max(largest(all), 1))
	for i := range t.app.Instances {
		if i >= len(all) || all[i] < 0 {
			continue
		}
		bar := m.theme.meter(float64(all[i])/most, min(f.room()-8, 30))
		f.put(m.theme.line(t.app.Instances[i].ID), fmt.Sprintf(" %3d%% ", all[i])+m.theme.paint(chart, bar))
	}
}

// full writes a number with all its digits.
func full(n *uint64) string {
	if n == nil {
		return figure.Unknown
	}
	return figure.Grouped(*n)
}
