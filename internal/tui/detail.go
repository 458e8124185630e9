package tui

import (
	"fmt"
	"strings"

	"clusterd/internal/figure"
	"clusterd/internal/proc"
)

// detailLines is how many lines the details would like to have.
const detailLines = 18

// detailLabel is how many cells the labels of the details take.
const detailLabel = 12

// facts collects labelled lines.
type facts struct {
	t     *theme
	w     int
	lines []string
}

// add appends a fact, on several lines where it is long.
func (f *facts) add(label, text string) { f.addStyled(label, text, plain) }

func (f *facts) addStyled(label, text string, s style) {
	if text == "" {
		return
	}
	for i, row := range f.t.words(text, f.w-detailLabel-1, 3) {
		if i > 0 {
			label = ""
		}
		f.lines = append(f.lines, " "+f.t.paint(faint, f.t.fit(label, detailLabel))+f.t.paint(s, row))
	}
}

// renderDetail draws what is known of the selected app or instance.
func (m *model) renderDetail(w, h int) []string {
	t, ok := m.target()
	if !ok {
		return nil
	}
	f := &facts{t: m.theme, w: w}
	f.lines = append(f.lines, " "+m.theme.paint(strong, m.theme.cut(m.theme.line(t.id), w-1)))
	a := t.app
	if t.instance != nil {
		m.instanceFacts(f, t.instance)
	} else {
		f.addStyled("state", string(a.State), stateStyles[a.State])
		f.add("why", m.theme.line(a.Reason))
	}
	f.add("command", m.theme.line(a.Command))
	if a.Port != nil {
		f.add("port", fmt.Sprintf("%d, by %s: %s", *a.Port, a.Listen, a.ListenWhy))
		f.add("counted by", fmt.Sprintf("%s: %s", a.Count, a.CountWhy))
	} else {
		f.add("port", a.ListenWhy)
	}
	if t.instance == nil {
		m.appFacts(f, a)
	}
	if m.lost != nil {
		for i := range f.lines {
			f.lines[i] = m.theme.fade(f.lines[i])
		}
	}
	return f.lines[:min(len(f.lines), h)]
}

// appFacts are the requests of an app, and how evenly they are spread.
func (m *model) appFacts(f *facts, a *proc.AppSnapshot) {
	if top := peak(a.RequestsHistory); top > 0 {
		n := min(f.w-detailLabel-1, 60)
		f.addStyled("req/s", m.theme.sparkline(a.RequestsHistory, n), chart)
		f.add("", fmt.Sprintf("now %s, at most %s in the last %s", figure.Rate(a.RequestsPerS), figure.Rate(&top), figure.Span(float64(len(a.RequestsHistory)))))
	}
	all := m.tree.shares[a.Name]
	for i := range a.Instances {
		if i >= len(all) || all[i] < 0 || a.RequestsTotal == nil {
			continue
		}
		label := ""
		if i == 0 {
			label = "share"
		}
		bar := m.theme.meter(float64(all[i])/100, 30)
		f.add(label, strings.TrimRight(fmt.Sprintf("%s %3d%% %s", m.theme.fit(m.theme.line(a.Instances[i].ID), 10), all[i], bar), " "))
	}
}

// instanceFacts are the figures of an instance that the tree has no room for.
func (m *model) instanceFacts(f *facts, in *proc.InstanceSnapshot) {
	f.addStyled("state", string(in.State), stateStyles[in.State])
	f.add("why", m.theme.line(in.Reason))
	if in.PID != nil {
		f.add("process", fmt.Sprintf("pid %d, generation %d, up %s", *in.PID, in.Generation, figure.SpanOf(in.Uptime)))
	}
	if in.LastExit != nil {
		f.add("last exit", lastExit(in.LastExit, m.snapAt)+", after "+figure.Span(in.LastExit.After))
	}
	if in.ConnectionsOpen != nil {
		f.add("connections", fmt.Sprintf("%d open, %s ever, %s waiting", *in.ConnectionsOpen, full(in.ConnectionsTotal), full(in.Queue)))
	}
	if in.RequestsTotal != nil {
		f.add("requests", m.theme.bound(in.RequestsExact)+full(in.RequestsTotal)+", now "+figure.Rate(in.RequestsPerS)+" per second")
	}
	if s := in.Status; s != nil {
		f.add("statuses", fmt.Sprintf("2xx %d, 3xx %d, 4xx %d, 5xx %d", s.Success, s.Redirect, s.Client, s.Server))
	}
	if l := in.Latency; l != nil {
		f.add("latency", fmt.Sprintf("half within %.3g ms, 90%% %.3g ms, 99%% %.3g ms", l.P50, l.P90, l.P99))
	}
	if in.BytesIn != nil && in.BytesOut != nil {
		f.add("bytes", figure.Size(in.BytesIn)+" in, "+figure.Size(in.BytesOut)+" out")
	}
}

// full writes a number with all its digits.
func full(n *uint64) string {
	if n == nil {
		return figure.Unknown
	}
	return figure.Grouped(*n)
}

// bound marks a figure that is a lower bound.
func (t *theme) bound(exact bool) string {
	if exact {
		return ""
	}
	return t.atLeast
}
