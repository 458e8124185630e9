package tui

import (
	"fmt"
	"strings"
	"testing"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"
)

// TestEveryKey presses each key there is, and sees what it does. A key that is
// not in the table fails the test.
func TestEveryKey(t *testing.T) {
	shows := func(texts ...string) func(*dash) { return func(d *dash) { d.shows(texts...) } }
	selects := func(id string) func(*dash) {
		return func(d *dash) {
			if d.tree.selected != id {
				d.t.Errorf("%s is selected, want %s", d.tree.selected, id)
			}
		}
	}
	asks := func(want string) func(*dash) {
		return func(d *dash) {
			if got := fmt.Sprintf("%v", d.cluster.did); got != want {
				d.t.Errorf("asked for %s, want %s", got, want)
			}
		}
	}
	leaves := func(d *dash) {
		if !d.quit {
			d.t.Error("it does not leave")
		}
	}
	tests := map[string]struct {
		before []string // keys
		then   func(*dash)
	}{
		"j": {nil, selects("api/0")}, "down": {nil, selects("api/0")},
		"k": {[]string{"jj"}, selects("api/0")}, "up": {[]string{"jj"}, selects("api/0")},
		"ctrl+d": {nil, selects("web/0")}, "pgdown": {nil, selects("web/0")},
		"ctrl+u": {[]string{"G"}, selects("web")}, "pgup": {[]string{"G"}, selects("web")},
		"g": {[]string{"G"}, selects("api")}, "home": {[]string{"G"}, selects("api")},
		"G": {nil, selects("mail/0")}, "end": {nil, selects("mail/0")},
		"h": {[]string{"j"}, shows("▸ api")}, "left": {[]string{"j"}, shows("▸ api")},
		"l": {[]string{"h"}, shows("▾ api")}, "right": {[]string{"h"}, shows("▾ api")},
		"space": {nil, shows("▸ api")},
		"tab":   {nil, shows("j k scroll", "/ search")},
		"1":     {[]string{"2"}, shows("enter details")},
		"2":     {nil, shows("/ search")},
		"enter": {nil, shows("u secrets")}, "i": {nil, shows("u secrets")}, "3": {nil, shows("u secrets")},
		"z": {nil, func(d *dash) { d.hides("FOLLOW"); d.press("z"); d.shows("FOLLOW") }},
		"/": {nil, func(d *dash) { d.shows("esc show all"); d.press("web", "enter"); d.hides("▾ api") }},
		"o": {nil, func(d *dash) {
			d.shows("sorted by state", "by state")
			if first := d.tree.rows[0].id; first != "api" {
				d.t.Errorf("%s is the first", first)
			}
			d.press("o", "o", "o", "o", "o", "o", "o")
			d.shows("sorted by name")
			d.press("o")
			d.shows("as in the file")
		}},
		"c":   {nil, shows("CPU%", "MEM")},
		"u":   {[]string{"enter", "G"}, func(d *dash) { d.shows("sk-12345"); d.press("u"); d.hides("sk-12345"); d.shows("••••••") }},
		":":   {nil, shows("enter does it", "> fold", "details")},
		"M":   {nil, func(d *dash) { d.shows("mouse on", "shift"); d.press("M"); d.shows("mouse off") }},
		"?":   {nil, shows("Act on the selected")},
		"esc": {[]string{"2"}, shows("enter details")},
		"R":   {nil, asks("[{reload [api] map[]}]")},
		"r":   {[]string{"j"}, asks("[{restart [api/0] map[]}]")},
		"s":   {nil, asks("[{start [api] map[]}]")},
		"x":   {[]string{"j"}, asks("[{stop [api/0] map[]}]")},
		"X":   {[]string{"j"}, shows("Kill api/0?", "[ Cancel ]")},
		"+":   {nil, asks("[{scale [] map[api:5]}]")},
		"-":   {nil, asks("[{scale [] map[api:3]}]")},
		"f":   {nil, shows("PAUSED")},
		"p":   {nil, shows("PAUSED")},
		"n":   {[]string{"2", "/", "users/1", "enter", "g", "N"}, shows("of 11")},
		"N":   {[]string{"2", "/", "users/1", "enter"}, shows("10 of 11")},
		"&":   {[]string{"2", "/", "users/1", "enter"}, func(d *dash) { d.shows("only"); d.hides("users/33") }},
		"a":   {[]string{"j"}, func(d *dash) { d.shows("logs api ", "the whole app"); d.press("a"); d.shows("logs of everything") }},
		"e": {nil, func(d *dash) {
			d.shows("out only")
			d.press("e")
			d.shows("err only", "api/0 ! ")
			d.hides("api/0 │")
			d.press("ee")
			d.shows("everything")
		}},
		"w":      {nil, shows("FOLLOW  wrap")},
		"t":      {nil, func(d *dash) { d.shows(":05.000 api/0"); d.press("t"); d.hides(":05 api/0") }},
		"T":      {nil, shows("jump to:", "15:04")},
		"m":      {nil, shows("─ mark, 15:04:05 ─")},
		"'":      {[]string{"m"}, shows("PAUSED", "─ mark, ")},
		"v":      {nil, func(d *dash) { d.shows("1 line selected"); d.press("kk"); d.shows("3 lines selected") }},
		"y":      {[]string{"v", "k"}, func(d *dash) { d.shows("copied 2 lines"); d.press("") }},
		"ctrl+s": {nil, shows("save to: api-2026")},
		"q":      {nil, shows("Stop shop and quit?", "[ Cancel ]")},
		"Q":      {nil, shows("Stop shop and quit?")},
		"ctrl+c": {nil, leaves},
		"ctrl+z": {nil, shows("ctrl-z would halt the cluster")},
	}
	seen := map[string]bool{}
	for _, g := range newKeyMap(newTheme(utf8NoColor.get), false).groups {
		for _, c := range g.commands {
			if g.title != "" && c.bind.Help().Key == "" && c.bind.Keys()[0] != "-" || c.bind.Help().Desc == "" && c.bind.Keys()[0] != "-" {
				t.Errorf("a key of %q has no help: %v", g.title, c.bind.Keys())
			}
			for _, k := range c.bind.Keys() {
				if k == "" { // only in the palette
					continue
				}
				if k == " " {
					k = "space"
				}
				if seen[k] {
					t.Errorf("two commands have the key %q", k)
				}
				seen[k] = true
				test, ok := tests[k]
				if !ok {
					t.Errorf("nobody has tried the key %q", k)
					continue
				}
				t.Run(k, func(t *testing.T) {
					d := newDash(t, withLogs(mixed()), 80, 24, utf8NoColor)
					d.poll()
					d.press(test.before...)
					d.cluster.did = nil
					d.press(k)
					test.then(d)
				})
			}
		}
	}
	for k := range tests {
		if !seen[k] {
			t.Errorf("no command has the key %q", k)
		}
	}
}

// TestInertKeysSayWhy: whatever does nothing says so, and why.
func TestInertKeysSayWhy(t *testing.T) {
	for _, c := range []struct {
		keys []string
		says string
	}{
		{[]string{"n"}, "nothing has been searched for"},
		{[]string{"N"}, "nothing has been searched for"},
		{[]string{"&"}, "nothing has been searched for"},
		{[]string{"'"}, "the log has no marks; m makes one"},
		{[]string{"u"}, "secrets are in the details; enter opens them"},
		{[]string{"3", "h"}, "the details have nothing to the side"},
		{[]string{"2", "w", "l"}, "long lines are wrapped"},
		{[]string{"esc"}, "there is nothing to go back from; q leaves"},
		{[]string{"D"}, "D does nothing; ? lists the keys"},
		{[]string{"ctrl+z"}, "ctrl-z would halt the cluster"},
		{[]string{"/", "nothing", "enter", "r"}, "nothing is selected: nothing is called"},
		{[]string{"/", "nothing", "enter", "+"}, "nothing is selected: nothing is called"},
		{[]string{"/", "nothing", "enter", "i"}, "nothing is selected: nothing is called"},
		{[]string{"G", "2", "e", "e", "y"}, "the log has no lines: nothing of the stream err"},
		{[]string{"j", "s"}, "cannot start api/0: already ready"},
		{[]string{":", "scale api=4", "enter"}, "cannot scale api: it has 4 instances already"},
	} {
		s := mixed()
		cl := withLogs(s)
		page := cl.pages["mail/0"]
		page.Lines = page.Lines[len(page.Lines)-1:]
		cl.pages["mail/0"] = page
		d := newDash(t, cl, 100, 30, utf8NoColor)
		d.press(c.keys...)
		d.shows(c.says)
		if len(d.cluster.did) > 0 {
			t.Errorf("after %q: asked for %v", c.keys, d.cluster.did)
		}
	}
}

func TestPalette(t *testing.T) {
	for _, c := range []struct {
		keys []string
		did  string
		says string
	}{
		{[]string{":", "restart web/1", "enter"}, "[{restart [web/1] map[]}]", ""},
		{[]string{":", "stop web", "enter", "y"}, "[{stop [web] map[]}]", ""},
		{[]string{":", "stop web", "enter", "enter"}, "[]", ""},
		{[]string{":", "reload", "enter"}, "[{reload [api] map[]}]", ""},
		{[]string{":", "relo", "enter"}, "[{reload [api] map[]}]", ""},
		{[]string{":", "scale web=5", "enter"}, "[{scale [] map[web:5]}]", ""},
		{[]string{":", "scale web 0", "enter"}, "[]", "Scale web to 0?"},
		{[]string{":", "scale 6", "enter"}, "[{scale [] map[api:6]}]", ""},
		{[]string{":", "scale many", "enter"}, "[]", `"many" is no number of instances`},
		{[]string{":", "scale web/1=2", "enter"}, "[]", `no app is called "web/1"`},
		{[]string{":", "restart nobody", "enter"}, "[]", `nothing is called "nobody"`},
		{[]string{":", "xyzzy", "enter"}, "[]", `there is no command "xyzzy"`},
		{[]string{":", "xyzzy now", "enter"}, "[]", `there is no command "xyzzy"`},
		{[]string{":", "wrap it", "enter"}, "[]", "wrap takes nothing after it"},
		{[]string{":", "sort cpu", "enter"}, "[]", "sorted by cpu"},
		{[]string{":", "sort luck", "enter"}, "[]", "cannot sort by luck; there are file, state"},
		{[]string{":", "filter web", "enter"}, "[]", "/web"},
		{[]string{":", "at 15:00", "enter"}, "[]", "PAUSED"},
		{[]string{":", "at noon", "enter"}, "[]", `"noon" is no time`},
		{[]string{":", "theme dark", "enter"}, "[]", "NO_COLOR is set"},
		{[]string{":", "theme pink", "enter"}, "[]", `there is no theme "pink"; there are terminal, contrast`},
		{[]string{":", "logs", "enter"}, "[]", "/ search"},
		{[]string{":", "down", "down", "up", "esc"}, "[]", "enter details"},
		{[]string{":", "re", "down", "enter", "y"}, "[{restart [api] map[]}]", ""},
	} {
		d := newDash(t, withLogs(mixed()), 100, 30, utf8NoColor)
		d.press(c.keys...)
		if got := fmt.Sprint(d.cluster.did); got != c.did {
			t.Errorf("after %q: asked for %s, want %s", c.keys, got, c.did)
		}
		d.shows(c.says)
	}
}

// TestHeldKeysMoveEveryStep: on a slow line they come several in one message.
func TestHeldKeysMoveEveryStep(t *testing.T) {
	d := newDash(t, withLogs(mixed()), 80, 24, utf8NoColor)
	d.press("jjjjj", "kk", "jjj")
	if d.tree.selected != "web/0" {
		t.Errorf("%s is selected, want web/0", d.tree.selected)
	}
	d.send(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("g j"), Alt: true})
	if !d.tree.folded("api") || d.tree.selected != "web" {
		t.Errorf("space among held keys: api folded %t, %s selected", d.tree.folded("api"), d.tree.selected)
	}
}

// The help is made from the keys: each that does something is in it.
func TestHelpHasEveryKey(t *testing.T) {
	d := newDash(t, withLogs(mixed()), 120, 60, utf8NoColor)
	d.press("?")
	s := d.screen()
	for _, g := range d.keys.groups {
		for _, c := range g.commands {
			if h := c.bind.Help(); h.Key != "" && (!strings.Contains(s, h.Key) || !strings.Contains(s, h.Desc)) {
				t.Errorf("no %s, %s in the help", h.Key, h.Desc)
			}
		}
	}
	if !key.Matches(tea.KeyMsg{Type: tea.KeyCtrlC}, d.keys.interrupt) {
		t.Error("ctrl-c is no interrupt")
	}
}
