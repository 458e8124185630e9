package tui

import (
	"fmt"
	"strings"

	"clusterd/internal/figure"
	"clusterd/internal/proc"
)

const (
	// detailLines is how many lines the details would like to have.
	detailLines = 40
	// detailMost is more than there ever are.
	detailMost = 1 << 20
	// detailLabel is how many cells the labels of the details take.
	detailLabel = 12
)

// detailPane shows all that is known of what the tree has selected.
type detailPane struct {
	target   string
	known    *proc.Detail // nil: not yet
	err      error        // why not
	asking   bool
	top      int  // first line on the screen
	revealed bool // secrets are shown
}

// show selects what the details are about.
func (d *detailPane) show(target string) {
	if target != d.target {
		*d = detailPane{target: target, asking: d.asking, revealed: d.revealed}
	}
}

// forget drops what another daemon told.
func (d *detailPane) forget() { d.known, d.err = nil, nil }

// facts collects labelled lines.
type facts struct {
	t     *theme
	w     int
	lines []string
}

// section begins a new part.
func (f *facts) section(title string) {
	f.lines = append(f.lines, "", " "+f.t.paint(strong, title))
}

// add appends a fact, on several lines where it is long.
func (f *facts) add(label, text string) { f.addStyled(label, text, plain) }

func (f *facts) addStyled(label, text string, s style) {
	if text == "" {
		return
	}
	for i, row := range f.t.words(text, f.room(), 6) {
		if i > 0 {
			label = ""
		}
		f.put(label, f.t.paint(s, row))
	}
}

// put appends a line as it is.
func (f *facts) put(label, text string) {
	f.lines = append(f.lines, " "+f.t.paint(faint, f.t.fit(label, detailLabel))+text)
}

// room is how many cells there are beside a label.
func (f *facts) room() int { return f.w - detailLabel - 2 }

// renderDetail draws what is known of the selected app or instance into w by h
// cells.
func (m *model) renderDetail(w, h int) []string {
	t, ok := m.target()
	if !ok {
		return nil
	}
	body := h - 1
	f := &facts{t: m.theme, w: w}
	m.whyFacts(f, t)
	m.trafficFacts(f, t)
	m.processFacts(f, t)
	d := &m.detail
	d.top = max(min(d.top, len(f.lines)-body), 0)
	title := m.theme.line(t.id)
	if below := len(f.lines) - d.top - body; below > 0 || d.top > 0 {
		title += fmt.Sprintf("  lines %d-%d of %d", d.top+1, min(d.top+body, len(f.lines)), len(f.lines))
	}
	lines := append([]string{m.rule(title, m.focus == paneDetail, w)}, f.lines[d.top:min(d.top+body, len(f.lines))]...)
	if m.lost != nil {
		for i := range lines {
			lines[i] = m.theme.fade(lines[i])
		}
	}
	return lines
}

// whyFacts say in what state it is, and why.
func (m *model) whyFacts(f *facts, t target) {
	now := m.snapAt
	in := t.instance
	if in == nil {
		a := t.app
		f.addStyled("state", fmt.Sprintf("%s %s, %d of %d ready", m.theme.state(a.State), a.State, a.Ready, a.InstancesWanted), stateStyles[a.State])
		f.add("why", m.theme.line(a.Reason))
		if a.Reload != nil {
			f.add("reload", fmt.Sprintf("%d of %d replaced", a.Reload.Done, a.Reload.Total))
		}
		return
	}
	state := fmt.Sprintf("%s %s", m.theme.state(in.State), in.State)
	if !in.Since.IsZero() {
		state += fmt.Sprintf(" since %s (%s)", in.Since.Local().Format("15:04:05"), figure.Span(now.Sub(in.Since).Seconds()))
	}
	f.addStyled("state", state, stateStyles[in.State])
	f.add("why", m.theme.line(why(in)))
	f.add("it says", m.theme.line(in.Says))
	if in.RetryAt != nil {
		f.add("next start", "at "+in.RetryAt.Local().Format("15:04:05"))
	}
	process := "none"
	if in.PID != nil {
		process = fmt.Sprintf("pid %d, up %s", *in.PID, figure.SpanOf(in.Uptime))
	}
	f.add("process", fmt.Sprintf("%s; generation %d, %s without being asked", process, in.Generation, figure.Plural(in.Restarts, "restart")))
	if in.CPUPercent != nil || in.RSSBytes != nil {
		f.add("uses", fmt.Sprintf("%s%% of a CPU, %s of memory", figure.Percent(in.CPUPercent), figure.Size(in.RSSBytes)))
	}
	if in.LastExit != nil {
		f.add("last exit", lastExit(in.LastExit, now)+", after "+figure.Span(in.LastExit.After))
	}
}

// why says what an instance does in its state, with the reason for that.
func why(in *proc.InstanceSnapshot) string {
	does := strings.TrimSuffix(in.State.Meaning(), ".")
	switch {
	case in.Reason == "":
		return does
	case does == "":
		return in.Reason
	}
	return does + ": " + in.Reason
}

// processFacts say what runs, how it gets onto its port, and how it ended before.
func (m *model) processFacts(f *facts, t target) {
	a, d := t.app, m.detail.known
	f.section("What runs")
	f.add("command", m.theme.line(a.Command))
	var awaited []string
	for _, d := range a.DependsOn {
		awaited = append(awaited, fmt.Sprintf("%s, until it is %s", m.theme.line(d.App), d.Until))
	}
	f.add("waits for", strings.Join(awaited, "; "))
	if d != nil {
		f.add("in", m.theme.line(d.Cwd))
	}
	if a.Port != nil {
		f.add("port", fmt.Sprintf("%d, by %s: %s", *a.Port, a.Listen, a.ListenWhy))
		f.add("counted by", fmt.Sprintf("%s: %s", a.Count, a.CountWhy))
	} else {
		f.add("port", a.ListenWhy)
	}
	switch {
	case m.detail.err != nil:
		f.addStyled("", m.theme.line(m.detail.err.Error()), bad)
		return
	case d == nil:
		f.addStyled("", "reading"+m.theme.dots, faint)
		return
	}
	m.environmentFacts(f, d)
	f.section("How it ended before")
	if len(d.Exits) == 0 {
		f.addStyled("", "it has not", faint)
	}
	for _, e := range d.Exits {
		text := fmt.Sprintf("%s after %s, generation %d", manner(&e.Exit), figure.Span(e.After), e.Generation)
		if t.instance == nil {
			text = m.theme.line(e.Instance) + "  " + text
		}
		f.add(e.At.Local().Format("15:04:05"), text)
	}
}

// environmentFacts are the variables that it gets beside clusterd's own.
func (m *model) environmentFacts(f *facts, d *proc.Detail) {
	if len(d.Env) == 0 {
		return
	}
	f.section("Environment, beside clusterd's own")
	hidden, names := 0, 0
	for _, v := range d.Env {
		names = max(names, min(width(v.Name), maxVariable))
	}
	for _, v := range d.Env {
		value := m.theme.line(v.Value)
		if isSecret(v.Name, v.Value) && !m.detail.revealed {
			value = m.theme.secret
			hidden++
		}
		name := m.theme.fit(m.theme.line(v.Name), names)
		f.lines = append(f.lines, " "+m.theme.paint(faint, name)+" "+m.theme.cut(value, f.w-names-3))
	}
	if hidden > 0 {
		f.addStyled("", fmt.Sprintf("u shows %s", figure.Plural(hidden, "secret")), faint)
	}
}

// maxVariable is how many cells the name of a variable gets.
const maxVariable = 28

// secretNames are parts of the names of variables that hold secrets.
var secretNames = []string{"KEY", "TOKEN", "SECRET", "PASS", "PWD", "CREDENTIAL", "AUTH", "PRIVATE", "COOKIE", "DSN", "SALT"}

// isSecret guesses whether nobody is to read a variable over a shoulder: by its
// name, or because its value is a URL with a password.
func isSecret(name, value string) bool {
	upper := strings.ToUpper(name)
	for _, part := range secretNames {
		if strings.Contains(upper, part) && upper != "PWD" {
			return true
		}
	}
	_, rest, ok := strings.Cut(value, "://")
	user, _, at := strings.Cut(rest, "@")
	return ok && at && strings.Contains(user, ":") && !strings.Contains(user, "/")
}
