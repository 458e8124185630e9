package tui

import (
	"strings"
	"testing"

	tea "github.com/charmbracelet/bubbletea"

	"clusterd/internal/proc"
)

// mouse presses a button of it, or turns its wheel.
func (d *dash) mouseAt(x, y int, b tea.MouseButton) {
	d.View() // what is drawn is what is clicked at
	d.send(tea.MouseMsg{X: x, Y: y, Button: b, Action: tea.MouseActionPress})
}

func TestMouse(t *testing.T) {
	d := newDash(t, withLogs(mixed()), 80, 24, utf8NoColor)
	d.mouseAt(5, 4, tea.MouseButtonLeft)
	if d.tree.selected != "api" {
		t.Errorf("a click is taken although the terminal has the mouse: %s", d.tree.selected)
	}
	d.press("M")
	d.mouseAt(5, 4, tea.MouseButtonLeft) // below header, heading and api
	if d.tree.selected != "api/1" {
		t.Errorf("%s is selected, want api/1", d.tree.selected)
	}
	d.mouseAt(1, 2, tea.MouseButtonLeft)
	d.shows("▸ api")
	d.mouseAt(1, 2, tea.MouseButtonLeft)
	d.shows("▾ api")

	d.shows("FOLLOW")
	d.mouseAt(5, 20, tea.MouseButtonWheelUp)
	d.shows("PAUSED")
	d.mouseAt(5, 20, tea.MouseButtonWheelDown)
	d.shows("FOLLOW")

	d.size(80, 16) // too low for all rows
	selected := d.tree.selected
	d.mouseAt(5, 4, tea.MouseButtonWheelDown)
	d.screen()
	if d.tree.top == 0 || d.tree.selected != selected {
		t.Errorf("the wheel has the tree begin at row %d, with %s selected", d.tree.top, d.tree.selected)
	}
	d.press("j") // shows what it selects
	if d.screen(); d.tree.top != 1 {
		t.Errorf("the tree begins at row %d after a key", d.tree.top)
	}
	d.press("k", "x")
	d.mouseAt(5, 12, tea.MouseButtonWheelUp)
	d.shows("FOLLOW") // a question has the mouse, too
}

// clickOn clicks at text on the screen.
func (d *dash) clickOn(text string) {
	d.t.Helper()
	for y, line := range strings.Split(d.screen(), "\n") {
		if before, _, found := strings.Cut(line, text); found {
			d.mouseAt(width(before)+width(text)/2, y, tea.MouseButtonLeft)
			return
		}
	}
	d.t.Fatalf("nothing to click at, %q, on the screen:\n%s", text, d.screen())
}

func TestMouseInAQuestion(t *testing.T) {
	d := newDash(t, withLogs(mixed()), 80, 24, utf8NoColor)
	d.press("M", "x")
	d.clickOn("Stop api?") // is no answer
	d.clickOn("web/0")     // nor is what lies under it
	d.shows("Stop api?")
	d.clickOn("Cancel")
	d.hides("Stop api?")
	d.press("x")
	d.shows("Stop api?", "[ Cancel ]")
	d.clickOn("  Stop  ")
	d.hides("Stop api?")
	if len(d.cluster.did) != 1 || d.cluster.did[0].Verb != proc.VerbStop || d.tree.selected != "api" {
		t.Errorf("asked for %v, %s selected", d.cluster.did, d.tree.selected)
	}
}

func TestMouseInHelpAndPalette(t *testing.T) {
	d := newDash(t, withLogs(mixed()), 80, 16, utf8NoColor)
	d.press("M", "?")
	first := d.screen()
	d.mouseAt(5, 5, tea.MouseButtonWheelDown)
	if d.screen() == first || !d.help.open {
		t.Errorf("the wheel does not scroll the help:\n%s", d.screen())
	}
	for range 3 {
		d.mouseAt(5, 5, tea.MouseButtonWheelUp)
	}
	if got := d.screen(); got != first {
		t.Errorf("scrolled back, the help is\n%s\nwas\n%s", got, first)
	}

	d.press("esc", ":")
	d.mouseAt(5, 5, tea.MouseButtonWheelDown)
	d.shows("> tree")
	for range 40 { // to the end
		d.mouseAt(5, 5, tea.MouseButtonWheelDown)
	}
	d.clickOn("shutdown")
	d.shows("Stop shop and quit?")
}
