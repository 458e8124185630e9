package tui

import (
	"fmt"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"clusterd/internal/proc"
)

// TestMoving presses keys in the tree of the mixed cluster, whose rows are api,
// api/0 to 3, web, web/0, web/1, jobs, jobs/0, mail, mail/0.
func TestMoving(t *testing.T) {
	for _, c := range []struct {
		keys []string
		want string
	}{
		{nil, "api"},
		{[]string{"j"}, "api/0"},
		{[]string{"down", "down"}, "api/1"},
		{[]string{"jjj"}, "api/2"}, // held: they arrive as one message
		{[]string{"jjj", "kk"}, "api/0"},
		{[]string{"jjj", "up"}, "api/1"},
		{[]string{"k"}, "api"},
		{[]string{"G"}, "mail/0"},
		{[]string{"end", "j"}, "mail/0"},
		{[]string{"G", "g"}, "api"},
		{[]string{"G", "home"}, "api"},
		{[]string{"ctrl+d"}, "web/0"},
		{[]string{"pgdown", "ctrl+u"}, "api"},
		{[]string{"G", "pgup"}, "web"},
		{[]string{"jj", "h", "j"}, "web"}, // folded, and on the app itself
		{[]string{"jj", "left", "l", "j"}, "api/0"},
		{[]string{"h", "right", "j"}, "api/0"},
		{[]string{"space", "j"}, "web"},
		{[]string{"space", "space", "j"}, "api/0"},
		{[]string{"tab", "j"}, "api"}, // the log has the keys
		{[]string{"tab", "tab", "j"}, "api/0"},
		{[]string{"2", "j", "1", "j"}, "api/0"},
		{[]string{"enter", "j", "esc", "j"}, "api/0"},
		{[]string{"/", "jobs/0", "enter", "j"}, "jobs/0"},
		{[]string{"/", "jobs", "enter", "esc", "j"}, "jobs/0"},
		{[]string{"/", "web", "down", "enter"}, "web/0"},
		{[]string{"/", "web", "down", "up", "enter"}, "web"},
		{[]string{"/", "webs", "backspace", "enter"}, "web"},
		{[]string{"/", "web", "ctrl+u", "enter", "g"}, "api"},
		{[]string{"/", "backspace", "j"}, "api/0"}, // an empty filter is left
		{[]string{"/", "web", "esc", "g"}, "api"},
		{[]string{"?", "j", "esc", "j"}, "api/0"}, // the help has the keys
		{[]string{"r", "j"}, "api"},               // and so has a question
	} {
		d := newDash(t, withLogs(mixed()), 80, 24, utf8NoColor)
		d.press(c.keys...)
		if d.tree.selected != c.want {
			t.Errorf("after %q: %s is selected, want %s", c.keys, d.tree.selected, c.want)
		}
		if !d.help.open && !d.zoom && d.logs.target != d.tree.selected {
			t.Errorf("after %q: the log is that of %s", c.keys, d.logs.target)
		}
	}
}

// TestEscapeWithAnotherKey: on a slow line the two arrive together.
func TestEscapeWithAnotherKey(t *testing.T) {
	d := newDash(t, withLogs(mixed()), 80, 24, utf8NoColor)
	d.press("?")
	d.send(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("jj"), Alt: true})
	if d.help.open || d.tree.selected != "api/1" {
		t.Errorf("help open: %t, %s selected", d.help.open, d.tree.selected)
	}
	d.send(tea.KeyMsg{Type: tea.KeyCtrlC, Alt: true})
	if !d.quit {
		t.Error("escape and ctrl-c together do not quit")
	}
}

func TestSelectionIsKeptByName(t *testing.T) {
	d := newDash(t, withLogs(mixed()), 80, 24, utf8NoColor)
	d.press("G") // mail/0
	d.cluster.snap = cluster(mixed().Apps[3], app("zebra", 0, worker("zebra", 0)))
	d.poll()
	d.shows(">   mail/0")

	d.cluster.snap = cluster(app("aardvark", 0, worker("aardvark", 0)), app("mail", 0))
	d.poll() // the instance is gone
	d.shows(">  mail")

	d.cluster.snap = cluster(app("aardvark", 0, worker("aardvark", 0)))
	d.poll() // the app, too
	d.shows(">   aardvark/0")
}

func TestActing(t *testing.T) {
	for _, c := range []struct {
		keys []string
		want string // what is asked of the cluster
		says string
	}{
		{[]string{"j", "r"}, "restart api/0", "api/0 restarted in 0.0s"},
		{[]string{"j", "x"}, "stop api/0", "api/0 stopped in"},
		{[]string{"j", "s"}, "", "cannot start api/0: already ready"},
		{[]string{"jjj", "s"}, "start api/2", "api/2 started in"},
		{[]string{"jjj", "x"}, "stop api/2", ""}, // it would be started again
		{[]string{"jjj", "X"}, "", "cannot kill api/2: it has no process (backoff)"},
		{[]string{"G", "x"}, "", "cannot stop mail/0: already stopped"},
		{[]string{"G", "k", "x"}, "", "cannot stop mail: already stopped"},
		{[]string{"G", "s"}, "start mail/0", ""},
		{[]string{"G", "r"}, "restart mail/0", ""},
		{[]string{"s"}, "start api", ""}, // the one that does not run
		{[]string{"/", "web", "enter", "s"}, "", "cannot start web: already all ready"},

		{[]string{"x"}, "", "Stop api?"},
		{[]string{"x"}, "", "4 instances, 4.04k requests per second"},
		{[]string{"x", "enter"}, "", ""}, // Cancel is the default
		{[]string{"x", "esc"}, "", ""},
		{[]string{"x", "n"}, "", ""},
		{[]string{"x", "q"}, "", ""},
		{[]string{"x", "y"}, "stop api", ""},
		{[]string{"x", "tab", "enter"}, "stop api", ""},
		{[]string{"x", "right", "left", "enter"}, "", ""},
		{[]string{"r", "l", "enter"}, "restart api", ""},
		{[]string{"r"}, "", "Restart api?"},
		{[]string{"r", "x", "y"}, "restart api", ""}, // x is no answer
		{[]string{"j", "X"}, "", "Kill api/0?"},
		{[]string{"j", "X", "enter"}, "", ""},
		{[]string{"j", "X", "y"}, "kill api/0", "api/0 killed in"},
		{[]string{"tab", "r", "y"}, "restart api", ""}, // from the log pane, too
		{[]string{"/", "r"}, "", "/r_"},                // typed, not done

		{[]string{"R"}, "reload api", "api reloaded in"}, // it hurts nobody
		{[]string{"j", "R"}, "reload api/0", ""},
		{[]string{"+"}, "scale map[api:5]", "api to 5 scaled in"},
		{[]string{"jj", "-"}, "scale map[api:3]", ""}, // the app of the instance
		{[]string{"tab", "+"}, "scale map[api:5]", ""},
	} {
		d := newDash(t, withLogs(mixed()), 80, 24, utf8NoColor)
		d.press(c.keys...)
		got := ""
		for _, a := range d.cluster.did {
			got += fmt.Sprintf("%s %s", a.Verb, strings.Join(a.Targets, ","))
			if a.Sizes != nil {
				got += fmt.Sprint(a.Sizes)
			}
		}
		if got != c.want {
			t.Errorf("after %q: asked to %q, want %q", c.keys, got, c.want)
		}
		d.shows(c.says)
	}
}

// Keys may be faster than snapshots.
func TestScalingTwice(t *testing.T) {
	d := newDash(t, withLogs(mixed()), 80, 24, utf8NoColor)
	first := scaleBy(1)(d.model)
	second := scaleBy(1)(d.model)
	d.shows("scaling api to 5 3/4… (and 1 more)")
	d.run(first)
	d.run(second)
	if got := d.cluster.did[1].Sizes["api"]; got != 6 {
		t.Errorf("the second key asks for %d, want 6", got)
	}
	d.cluster.snap.Apps[0].InstancesWanted = 0
	d.poll()
	d.press("-")
	d.shows("cannot scale api: it has no instances")
}

// That something has failed is read, also if something else succeeds right after.
func TestFailureBeforeASuccess(t *testing.T) {
	c := withLogs(mixed())
	d := newDash(t, c, 80, 24, utf8NoColor)
	fails, succeeds := scaleBy(1)(d.model), scaleBy(1)(d.model)
	c.doErr = fmt.Errorf("no room")
	d.run(fails)
	c.doErr = nil
	d.run(succeeds)
	d.shows("cannot scale api to 5: no room")
}

// Keys that arrive together are one order: several would come in any order.
func TestScalingByManyKeys(t *testing.T) {
	d := newDash(t, withLogs(mixed()), 80, 24, utf8NoColor)
	d.press("+++")
	if got := d.cluster.did; len(got) != 1 || got[0].Sizes["api"] != 7 {
		t.Errorf("asked for %v, want 7 at once", got)
	}
	d.press("---")
	d.shows("Scale api to 1?")
}

func TestFailuresAreSaid(t *testing.T) {
	c := withLogs(mixed())
	c.doErr = fmt.Errorf("api/0 is backoff: exit 1, retry in 200ms\nand another line")
	d := newDash(t, c, 80, 24, utf8NoColor)
	d.press("j", "r")
	d.shows("cannot restart api/0: api/0 is backoff: exit 1, retry in 200ms; and another", "line")
	later := now.Add(noticeFor + time.Second)
	d.now = func() time.Time { return later }
	d.run(d.onTickForTest())
	d.shows("cannot restart")
	later = now.Add(failureFor + time.Second)
	d.run(d.onTickForTest())
	d.hides("cannot restart")

	c.doErr = fmt.Errorf("cannot reload api: it is being reloaded already (1 of 4 done)")
	d.press("R")
	d.shows(" cannot reload api: it is being reloaded already (1 of 4 done)")
	d.hides("cannot reload api: cannot")
}

// onTickForTest is onTick without the next tick.
func (d *dash) onTickForTest() tea.Cmd {
	d.onTick()
	d.model.polling, d.model.logs.asking = false, false // what it began is not run
	return nil
}

func TestProgressIsShown(t *testing.T) {
	d := newDash(t, withLogs(mixed()), 80, 24, utf8NoColor)
	first := d.do(proc.VerbRestart, "api/0") // begun, and not done
	d.shows("restarting api/0…")
	second := d.do(proc.VerbStop, "api/1")
	d.shows("restarting api/0… (and 1 more)")
	d.now = func() time.Time { return now.Add(3 * time.Second) }
	d.changed()
	d.shows("restarting api/0… 3s (and 1 more)")
	d.run(first)
	d.run(second)
	d.shows("api/1 stopped in 3.0s")
}

func TestLeaving(t *testing.T) {
	for _, c := range []struct {
		keys     []string
		attached bool
		quit     bool
		outcome  Outcome
		says     string
	}{
		{[]string{"q"}, false, false, Quit, "Stop shop and quit?"},
		{[]string{"q"}, false, false, Quit, "4 apps, 8 instances"},
		{[]string{"q", "enter"}, false, false, Quit, ""},
		{[]string{"q", "y"}, false, true, Shutdown, ""},
		{[]string{"Q", "y"}, false, true, Shutdown, ""},
		{[]string{"ctrl+c"}, false, true, Shutdown, ""},
		{[]string{"q", "ctrl+c"}, false, true, Shutdown, ""},
		{[]string{"?", "ctrl+c"}, false, true, Shutdown, ""},
		{[]string{"/", "ctrl+c"}, false, true, Shutdown, ""},
		{[]string{"ctrl+z"}, false, false, Quit, "ctrl-z would halt the cluster"},
		{[]string{"q"}, true, true, Quit, ""},
		{[]string{"ctrl+c"}, true, true, Quit, ""},
		{[]string{"Q"}, true, false, Quit, "Stop shop and quit?"},
		{[]string{"Q", "y"}, true, true, Shutdown, ""},
		{[]string{"Q", "esc", "q"}, true, true, Quit, ""},
	} {
		d := newDash(t, withLogs(mixed()), 80, 24, utf8NoColor)
		d.attached = c.attached
		d.press(c.keys...)
		if d.quit != c.quit || d.outcome != c.outcome {
			t.Errorf("after %q (attached: %t): quit %t with outcome %d, want %t with %d",
				c.keys, c.attached, d.quit, d.outcome, c.quit, c.outcome)
		}
		d.shows(c.says)
	}
}

func TestPastesAreNoCommands(t *testing.T) {
	d := newDash(t, withLogs(mixed()), 80, 24, utf8NoColor)
	d.send(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("jxy"), Paste: true})
	if d.tree.selected != "api" || len(d.cluster.did) > 0 {
		t.Errorf("a paste was taken for keys: %s selected, %v done", d.tree.selected, d.cluster.did)
	}
	d.shows("pasted text is not taken for keys")
	d.press("/")
	d.send(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("we\x1b[31mb"), Paste: true})
	d.shows("/web_", ">▾ web")
}
