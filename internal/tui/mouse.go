package tui

import tea "github.com/charmbracelet/bubbletea"

// wheelRows is how far one notch of the wheel scrolls.
const wheelRows = 3

// toggleMouse takes the mouse from the terminal, or gives it back. It is the
// terminal's at first, which then selects text with it.
func (m *model) toggleMouse() cmd {
	m.mouse = !m.mouse
	if m.mouse {
		m.say("mouse on: click selects, wheel scrolls; with shift the terminal selects text")
		return m.captureMouse()
	}
	m.say("mouse off: the terminal has it")
	return tea.DisableMouse
}

// captureMouse asks the terminal for the mouse, if that is wanted.
func (m *model) captureMouse() cmd {
	if m.mouse {
		return tea.EnableMouseCellMotion
	}
	return nil
}

// onMouse gives the mouse to whatever has the keys.
func (m *model) onMouse(e tea.MouseMsg) cmd {
	if !m.mouse || e.Action != tea.MouseActionPress {
		return nil
	}
	m.changed()
	rows := 0
	switch e.Button {
	case tea.MouseButtonWheelUp:
		rows = -wheelRows
	case tea.MouseButtonWheelDown:
		rows = wheelRows
	}
	_, box := m.box()
	clicked := e.Button == tea.MouseButtonLeft && box.has(e.X, e.Y)
	switch {
	case m.ask != nil && clicked:
		return m.clickAnswer(e.X-box.x, e.Y-box.y)
	case m.ask != nil: // and it waits for an answer
	case m.palette != nil && clicked:
		return m.clickCommand(e.Y - box.y)
	case m.palette != nil:
		m.prompt.pick(rows / wheelRows)
	case m.help.open:
		m.help.top = max(m.help.top+rows, 0) // not beyond its end, when it is drawn
	case m.prompt == nil:
		return m.onPaneMouse(e, rows)
	}
	return nil
}

// onPaneMouse scrolls the pane under the pointer, and selects what is clicked at.
func (m *model) onPaneMouse(e tea.MouseMsg, rows int) cmd {
	p, r, ok := m.arrange().at(e.X, e.Y)
	if !ok {
		return nil
	}
	switch {
	case rows != 0:
		m.wheel(p, rows)
	case e.Button == tea.MouseButtonLeft:
		m.click(p, e.X-r.x, e.Y-r.y)
	}
	return tea.Batch(m.pollNew(), m.pollDetail())
}

func (m *model) wheel(p pane, rows int) {
	if p == paneTree {
		m.tree.wheel(rows)
		return
	}
	m.scrollPane(p, rows)
}

// click selects a row of the tree, or folds its app by the sign before it;
// anywhere else it gives the keys to the pane.
func (m *model) click(p pane, x, y int) {
	m.focus = p
	i := m.tree.top + y - 1 // after the heading
	if p != paneTree || y == 0 || i >= len(m.tree.rows) {
		return
	}
	m.tree.to(i)
	const sign = 1 // the column that it is in
	if r := m.tree.rows[i]; r.instance < 0 && x == sign {
		m.toggleFold()
	}
	m.moved()
}
