package tui

import (
	"fmt"
	"strings"
	"testing"

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
		{name: "lost", cluster: withLogs(mixed()), then: func(d *dash) { d.cluster.err = errLost; d.poll() }},
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
