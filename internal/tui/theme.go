package tui

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strings"

	"github.com/charmbracelet/x/ansi"

	"clusterd/internal/proc"
)

// theme is how the dashboard looks in one terminal.
type theme struct {
	glyphs
	look   look
	color  bool // false: no attribute of any kind is written
	ascii  bool // true: nothing but ASCII is written, log text included
	colors int  // that the terminal has
}

// newTheme reads NO_COLOR, the locale and the kind of terminal from an
// environment.
func newTheme(env func(string) string) *theme {
	t := &theme{glyphs: unicodeGlyphs, look: looks[0], color: env("NO_COLOR") == "", colors: 16}
	if !isUTF8(env) {
		t.glyphs, t.ascii = asciiGlyphs, true
	}
	if strings.Contains(env("TERM"), "256color") || strings.Contains(env("TERM"), "direct") || env("COLORTERM") != "" {
		t.colors = 256
	}
	return t
}

// CheckTheme says what is wrong with the name of a theme, and which ones there
// are; nil for a good one, and for none.
func CheckTheme(name string) error {
	if name == "" || slices.ContainsFunc(looks, func(l look) bool { return l.name == name }) {
		return nil
	}
	return fmt.Errorf("there is no theme %q; there are %s", name, strings.Join(ThemeNames(), ", "))
}

// ThemeNames are the names of all themes, the default first.
func ThemeNames() []string {
	var names []string
	for _, l := range looks {
		names = append(names, l.name)
	}
	return names
}

// use takes another look, or says why not.
func (t *theme) use(name string) error {
	if err := CheckTheme(name); err != nil || name == "" {
		return err
	}
	l := looks[slices.IndexFunc(looks, func(l look) bool { return l.name == name })]
	switch {
	case !t.color:
		return fmt.Errorf("no theme is used: NO_COLOR is set")
	case l.colors > t.colors:
		return fmt.Errorf("theme %s needs %d colours, and this terminal (TERM) has %d", name, l.colors, t.colors)
	}
	t.look = l
	return nil
}

// paint writes text in a style.
func (t *theme) paint(s style, text string) string {
	if !t.color || text == "" || t.look.palette[s] == "" {
		return text
	}
	return "\x1b[" + t.look.palette[s] + "m" + text + "\x1b[m"
}

func (t *theme) state(s proc.State) string {
	if g, ok := t.states[s]; ok {
		return g
	}
	return t.unknownState
}

// label is the style of an instance in the log, the same every time.
func label(instance string) style {
	if instance == "" {
		return event
	}
	h := fnv.New32a()
	h.Write([]byte(instance))
	return firstLabel + style(h.Sum32()%labels)
}

// fade writes a line that is of the past: all faint, whatever it was.
func (t *theme) fade(line string) string {
	return t.paint(faint, ansi.Strip(line))
}
