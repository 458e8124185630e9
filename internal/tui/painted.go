package tui

import tea "github.com/charmbracelet/bubbletea"

// painted is the model on a display.
type painted struct {
	*model
	display *display
	last    frame
}

// Update implements tea.Model.
func (p *painted) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	if _, resumed := msg.(tea.ResumeMsg); resumed {
		p.display.repaint()
	}
	_, c := p.model.Update(msg)
	return p, c
}

// View implements tea.Model: it gives the frame to the display, and nothing to
// Bubble Tea.
func (p *painted) View() string {
	if f := (frame{p.model.View(), p.w}); f != p.last {
		p.display.show(f)
		p.last = f
	}
	return ""
}
