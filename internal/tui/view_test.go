package tui

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/exp/golden"

	"clusterd/internal/proc"
)

// sizes are the screens that the dashboard is drawn for.
var sizes = []struct{ w, h int }{{80, 24}, {120, 40}, {200, 60}}

func TestViews(t *testing.T) {
	many := make([]proc.InstanceSnapshot, 1000)
	for i := range many {
		many[i] = ready("api", i, uint64(i)*37)
	}
	wide := app("注文サービス", 8080, ready("注文サービス", 0, 12), ready("注文サービス", 1, 3))
	wide.Instances[0].Reason = "落ちました\x1b[31m \x1b]0;title\a赤"
	wide.Instances[0].State, wide.State, wide.Ready = proc.StateFailed, proc.StateFailed, 1
	states := cluster()
	for i, s := range []proc.State{proc.StateWaiting, proc.StateStarting, proc.StateReady, proc.StateUnready,
		proc.StateStopping, proc.StateStopped, proc.StateBackoff, proc.StateFailed, proc.StateDone} {
		in := worker(string(s), 0)
		in.State, in.Reason = s, "the reason why it is "+string(s)
		a := app(string(s), 0, in)
		a.State = s
		if i%2 == 0 {
			in.PID = nil
		}
		states.Apps = append(states.Apps, a)
	}

	views := []struct {
		name    string
		cluster *fakeCluster
		env     terminal
		then    func(*dash)
	}{
		{name: "loading", cluster: &fakeCluster{}},
		{name: "empty", cluster: &fakeCluster{snap: cluster()}},
		{name: "ready", cluster: withLogs(cluster(app("web", 8080, ready("web", 0, 310), ready("web", 1, 290))))},
		{name: "mixed", cluster: withLogs(mixed()), then: func(d *dash) { d.press("jjj") }},
		{name: "color", cluster: withLogs(mixed()), env: terminal{"LANG": "C.UTF-8"}, then: func(d *dash) { d.press("jjj") }},
		{name: "ascii", cluster: withLogs(mixed()), env: terminal{"NO_COLOR": "1"}},
		{name: "states", cluster: withLogs(states)},
		{name: "thousand", cluster: withLogs(cluster(app("api", 8080, many...))), then: func(d *dash) { d.press("G") }},
		{name: "wide", cluster: withLogs(cluster(wide)), then: func(d *dash) { d.press("j") }},
		{name: "logs", cluster: withLogs(mixed()), then: func(d *dash) { d.press("tab", "z", "kkk") }},
		{name: "help", cluster: withLogs(mixed()), then: func(d *dash) { d.press("?") }},
		{name: "question", cluster: withLogs(mixed()), then: func(d *dash) { d.press("x") }},
		{name: "filter", cluster: withLogs(mixed()), then: func(d *dash) { d.press("/", "web") }},
		{name: "detail", cluster: withLogs(mixed()), then: func(d *dash) { d.press("jjj", "enter") }},
		{name: "detail-app", cluster: withLogs(mixed()), then: func(d *dash) { d.press("i", "z", "u") }},
		{name: "palette", cluster: withLogs(mixed()), then: func(d *dash) { d.press(":", "s", "down") }},
		{name: "search", cluster: withLogs(mixed()), env: terminal{"LANG": "C.UTF-8"}, then: func(d *dash) {
			d.press("2", "/", "users/[13]", "enter", "N", "m", "v", "k")
		}},
		{name: "reload", cluster: withLogs(reloading()), then: func(d *dash) { d.do(proc.VerbReload, "api") }},
		{name: "estimate", cluster: withLogs(estimated()), then: func(d *dash) { d.press("j", "3") }},
		{name: "dark", cluster: withLogs(mixed()), env: terminal{"LANG": "C.UTF-8", "TERM": "xterm-256color"}, then: func(d *dash) {
			d.press(":", "theme dark", "enter")
		}},
		{name: "lost", cluster: withLogs(mixed()), then: func(d *dash) { d.lose(4 * time.Second) }},
	}
	for _, v := range views {
		for _, size := range sizes {
			t.Run(fmt.Sprintf("%s-%dx%d", v.name, size.w, size.h), func(t *testing.T) {
				env := v.env
				if env == nil {
					env = utf8NoColor
				}
				copied := *v.cluster
				d := newDashAt(t, &copied, size.w, size.h, env)
				if v.cluster.snap == nil {
					d.model.snap = nil
				}
				if v.then != nil {
					v.then(d)
				}
				golden.RequireEqual(t, []byte(trimmed(d.screen())))
			})
		}
	}
}

// reloading is in the middle of a reload.
func reloading() *proc.Snapshot {
	s := cluster(app("api", 8080, ready("api", 0, 31_000), ready("api", 1, 30_200), ready("api", 2, 29_900), ready("api", 3, 28_000)))
	a := &s.Apps[0]
	a.Reload, a.Reason = &proc.Progress{Done: 2, Total: 4}, "reload, 2 of 4 done"
	a.Instances[2].Reason = "reload 3/4: successor starting, pid 5001"
	return s
}

// estimated has an app whose requests are guessed, and one of which some are
// not counted.
func estimated() *proc.Snapshot {
	s := cluster(app("db", 5432, ready("db", 0, 12_345)), app("web", 8080, ready("web", 0, 12_345)))
	s.Apps[0].Count, s.Apps[0].CountWhy = "kernel", "it is no HTTP"
	s.Apps[0].RequestsKind, s.Apps[0].Instances[0].RequestsKind = proc.About, proc.About
	s.Apps[1].RequestsKind, s.Apps[1].Instances[0].RequestsKind = proc.AtLeast, proc.AtLeast
	s.Apps[0].Status, s.Apps[0].Latency = nil, nil
	in := &s.Apps[0].Instances[0]
	in.Status, in.Latency, in.BytesOut = nil, nil, nil
	return s
}

// newDashAt is newDash for a cluster that may not have answered yet.
func newDashAt(t *testing.T, c *fakeCluster, w, h int, env terminal) *dash {
	if c.snap != nil {
		return newDash(t, c, w, h, env)
	}
	loading := newDash(t, &fakeCluster{err: errLost}, w, h, env)
	loading.lost = nil
	loading.changed()
	return loading
}

// trimmed leaves out spaces at the ends of lines, which golden files had better
// not have.
func trimmed(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n") + "\n"
}

// TestEverySize resizes through every size that a terminal may have: nothing is
// ever wider or higher than the screen, and from the smallest size on the
// header, the selected row and the hints are there.
func TestEverySize(t *testing.T) {
	d := newDash(t, withLogs(mixed()), 80, 24, utf8NoColor)
	d.press("jjj")
	for w := 1; w <= 210; w += 7 {
		for h := 1; h <= 64; h++ {
			d.size(w, h)
			s := d.screen()
			if w < minWidth || h < minHeight {
				if strings.Contains(s, "\n") || !strings.HasPrefix("too small: ", s[:min(len(s), len("too small: "))]) && w > len("too small: ") {
					t.Fatalf("%dx%d: %q", w, h, s)
				}
				continue
			}
			for _, want := range []string{"shop", "req/s", ">   api/2", "backoff", "STATE", "REQ/S", "logs api/2", "help"} {
				if !strings.Contains(s, want) {
					t.Fatalf("%dx%d: no %q in\n%s", w, h, want, s)
				}
			}
		}
	}
}

// What one comes for is on the smallest usual screen: every figure, and the
// reason of what does not run in full.
func TestEverythingFitsOn80Columns(t *testing.T) {
	d := newDash(t, withLogs(mixed()), 80, 24, utf8NoColor)
	s := d.screen()
	for _, want := range []string{"STATE", "PORT/PID", "UP", "RST", "REQ ", "REQ/S", "P99", "5XX", "SHARE", "relay", "exit 1, retry in 8s"} {
		if !strings.Contains(s, want) {
			t.Errorf("no %q in\n%s", want, s)
		}
	}
	d.press("c") // and those of the processes for those of the requests
	d.shows("STATE", "PORT/PID", "UP", "RST", "CPU%", "MEM", "REQ ", "REQ/S")
	d.press("?")
	for range 2 {
		for line := range strings.Lines(d.screen()) {
			if strings.Contains(line, "…") {
				t.Errorf("the help is cut off: %s", line)
			}
		}
		d.press("pgdown")
	}
}

func TestFrameIsKeptWhileNothingChanges(t *testing.T) {
	d := newDash(t, withLogs(mixed()), 80, 24, utf8NoColor)
	d.View()
	d.send(logsMsg{epoch: d.logs.epoch}) // no new lines
	if d.stale {
		t.Error("an empty answer makes a new frame")
	}
	d.press("j")
	if !d.stale {
		t.Error("moving the selection makes no new frame")
	}
}

func TestNoColorMeansNoEscapeSequences(t *testing.T) {
	for _, keys := range [][]string{{}, {"?"}, {"x"}, {"tab"}, {"/", "a"}} {
		d := newDash(t, withLogs(mixed()), 120, 40, utf8NoColor)
		d.press(keys...)
		if s := d.screen(); strings.Contains(s, "\x1b") {
			t.Errorf("after %q: escape sequences in %q", keys, s)
		}
	}
}

func TestASCIIOnly(t *testing.T) {
	c := withLogs(mixed())
	c.pages["api"] = proc.LogPage{Lines: []proc.Line{{Seq: 1, At: now, Instance: "api/0", Text: "naïve 漢字"}}}
	for _, keys := range [][]string{{}, {"?"}, {"x"}, {"tab"}, {"/", "a"}} {
		d := newDash(t, c, 120, 40, terminal{"LC_ALL": "C", "LANG": "C.UTF-8", "NO_COLOR": "1"})
		d.press(keys...)
		for _, r := range d.screen() {
			if r > '~' {
				t.Errorf("after %q: %q on an ASCII terminal", keys, r)
			}
		}
	}
}
