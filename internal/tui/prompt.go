package tui

import (
	"github.com/charmbracelet/bubbles/cursor"
	"github.com/charmbracelet/bubbles/textinput"
)

// prompt is a line of text that the user is typing, in place of the footer.
type prompt struct {
	label string // before the text
	hint  string // what may be typed, and what keys do
	input textinput.Model

	live   func(text string)     // called at every change; may be nil
	done   func(text string) cmd // with enter
	cancel func()                // with esc; may be nil
	pick   func(by int)          // up and down; may be nil
	wrong  func() string         // what is wrong with the text so far, or ""; may be nil
}

// newPrompt begins with text in the line.
func newPrompt(label, text string) *prompt {
	p := &prompt{label: label, input: textinput.New()}
	p.input.Cursor.SetMode(cursor.CursorStatic) // one that blinks has the screen redrawn
	p.input.KeyMap.Paste.SetEnabled(false)      // would start a program to read the clipboard
	p.input.SetValue(text)
	p.input.CursorEnd()
	p.input.Focus()
	return p
}

func (p *prompt) text() string { return p.input.Value() }

// render draws the prompt into one line of w cells; what is to the left of what
// fits is left out.
func (p *prompt) render(t *theme, w int) string {
	runes := []rune(p.text())
	at := min(p.input.Position(), len(runes))
	before, under, after := string(runes[:at]), " ", ""
	switch {
	case !t.color:
		under, after = "_", string(runes[at:])
	case at < len(runes):
		under, after = string(runes[at]), string(runes[at+1:])
	}
	room := max(w-2-width(p.label)-width(under), 4)
	if over := width(before) - room; over > 0 {
		before = t.window(before, over+1, room)
	}
	after = t.cut(after, room-width(before))
	line := " " + t.paint(hintKey, p.label) + before + t.paint(found, under) + after
	note, s := p.hint, faint
	if p.wrong != nil {
		if wrong := p.wrong(); wrong != "" {
			note, s = wrong, bad
		}
	}
	if free := w - 1 - width(line); note != "" && free > 12 {
		note = t.cut(note, free-2)
		line += spaces(free-width(note)) + t.paint(s, note)
	}
	return line
}
