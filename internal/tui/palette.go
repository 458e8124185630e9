package tui

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"clusterd/internal/proc"
)

// palettePane offers every command by its name.
type palettePane struct {
	choices []*command
	index   int
}

// openPalette asks for a command.
func (m *model) openPalette() cmd {
	m.palette = &palettePane{choices: m.keys.matching("")}
	p := newPrompt(":", "")
	p.hint = "enter does it  esc does not"
	p.live = func(text string) { m.palette = &palettePane{choices: m.keys.matching(text)} }
	p.pick = func(by int) {
		n := len(m.palette.choices)
		m.palette.index = min(max(m.palette.index+by, 0), max(n-1, 0))
	}
	p.cancel = func() { m.palette = nil }
	p.done = func(text string) cmd {
		pal := m.palette
		m.palette = nil
		return m.command(text, pal)
	}
	m.prompt = p
	return nil
}

// matching are the commands for text that has been typed: those whose name
// begins with its first word, then those that have it elsewhere.
func (k *keyMap) matching(text string) []*command {
	word, _, _ := strings.Cut(strings.ToLower(text), " ")
	var first, rest []*command
	for i := range k.groups {
		for j := range k.groups[i].commands {
			c := &k.groups[i].commands[j]
			switch {
			case c.name == "":
			case strings.HasPrefix(c.name, word):
				first = append(first, c)
			case strings.Contains(c.name, word) || strings.Contains(strings.ToLower(c.bind.Help().Desc), word):
				rest = append(rest, c)
			}
		}
	}
	return append(first, rest...)
}

// command does what was typed: a command's name and maybe more, or else the one
// that is chosen in the palette.
func (m *model) command(text string, pal *palettePane) cmd {
	word, rest, _ := strings.Cut(strings.TrimSpace(text), " ")
	rest = strings.TrimSpace(rest)
	c := m.keys.named(word)
	switch {
	case rest != "" && c == nil:
		m.complain(fmt.Sprintf("there is no command %q", word))
		return nil
	case rest != "" && c.arg == nil:
		m.complain(fmt.Sprintf("%s takes nothing after it", word))
		return nil
	case rest != "":
		m.changed()
		return c.arg(m, rest)
	case pal.index < len(pal.choices):
		return m.perform(pal.choices[pal.index])
	}
	m.complain(fmt.Sprintf("there is no command %q", word))
	return nil
}

// maxChoices is how many commands the palette shows at a time.
const maxChoices = 10

// top is the first command that is shown.
func (p *palettePane) top() int { return max(p.index-maxChoices+1, 0) }

// clickCommand handles a click at a row of the palette's box.
func (m *model) clickCommand(y int) cmd {
	i := m.palette.top() + y - 1 // after the edge
	if y < 1 || y > maxChoices || i >= len(m.palette.choices) {
		return nil
	}
	c := m.palette.choices[i]
	m.palette, m.prompt = nil, nil
	return m.perform(c)
}

// render draws the palette as a box of w cells.
func (p *palettePane) render(t *theme, w int) []string {
	w = min(w, 64)
	inner := w - 4
	edge := strings.Repeat(t.rule, inner+2)
	lines := []string{t.corners[0] + edge + t.corners[1]}
	top := p.top()
	for i := top; i < min(top+maxChoices, len(p.choices)); i++ {
		c := p.choices[i]
		text := c.name
		if c.args != "" && i == p.index {
			text += " [" + c.args + "]"
		}
		cursor, s := "  ", plain
		if i == p.index {
			cursor, s = "> ", chosen
		}
		help := c.bind.Help()
		row := t.fit(cursor+text, inner)
		if free := inner - width(cursor+text) - width(help.Key) - 1; free > width(help.Desc) {
			row = t.fit(cursor+t.fit(text, 11)+" "+help.Desc, inner-width(help.Key)) + help.Key
			if width(text) > 11 {
				row = t.fit(cursor+text+"  "+help.Desc, inner-width(help.Key)) + help.Key
			}
		}
		lines = append(lines, t.wall+" "+t.paint(s, row)+" "+t.wall)
	}
	if len(p.choices) == 0 {
		lines = append(lines, t.wall+" "+t.fit("no such command", inner)+" "+t.wall)
	}
	return append(lines, t.corners[3]+edge+t.corners[2])
}

// askFor is a verb with its target named in the palette.
func askFor(verb proc.Verb) func(*model, string) cmd {
	return func(m *model, id string) cmd {
		t, ok := m.targetNamed(id)
		if !ok {
			m.complain(fmt.Sprintf("nothing is called %q", id))
			return nil
		}
		return m.requestOf(verb, t)
	}
}

// scaleTo is "web=4", or "4" for the selected app.
func (m *model) scaleTo(text string) cmd {
	name, number, ok := strings.Cut(text, "=")
	if !ok {
		if name, number, ok = strings.Cut(text, " "); !ok {
			t, selected := m.target()
			if !selected {
				m.say("nothing is selected")
				return nil
			}
			name, number = t.app.Name, text
		}
	}
	n, err := strconv.Atoi(strings.TrimSpace(number))
	t, known := m.targetNamed(strings.TrimSpace(name))
	switch {
	case err != nil || n < 0:
		m.complain(fmt.Sprintf("%q is no number of instances", number))
	case !known || t.instance != nil:
		m.complain(fmt.Sprintf("no app is called %q", name))
	default:
		return m.requestScale(t.app, n)
	}
	return nil
}

// sortBy is the name of an order.
func (m *model) sortBy(name string) cmd {
	i := slices.IndexFunc(orders, func(o order) bool { return o.name == name })
	if i < 0 {
		var names []string
		for _, o := range orders {
			names = append(names, o.name)
		}
		m.complain(fmt.Sprintf("cannot sort by %s; there are %s", name, strings.Join(names, ", ")))
		return nil
	}
	m.setOrder(i)
	return nil
}

// nextTheme takes the next look that the terminal can show.
func (m *model) nextTheme() cmd {
	names := ThemeNames()
	i := slices.Index(names, m.theme.look.name)
	for range names {
		i = (i + 1) % len(names)
		if m.theme.use(names[i]) == nil {
			break
		}
	}
	m.say("theme " + m.theme.look.name + ": " + m.theme.look.what)
	return nil
}

func (m *model) useTheme(name string) cmd {
	if err := m.theme.use(name); err != nil {
		m.complain(err.Error())
		return nil
	}
	m.say("theme " + name + ": " + m.theme.look.what)
	return nil
}
