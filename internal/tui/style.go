package tui

import (
	"hash/fnv"
	"strings"

	"github.com/charmbracelet/x/ansi"

	"clusterd/internal/proc"
)

// style is the parameters of an SGR sequence. Only the sixteen ANSI colours are
// used, and never as a background: they are what the user's own colour scheme
// makes readable, on dark and on light.
type style string

const (
	plain   style = ""
	strong  style = "1"
	faint   style = "2"
	chosen  style = "7"
	chosenX style = "2;7" // chosen, in a picture of the past
	heading style = "2"
	focused style = "1"
	good    style = "32"
	busy    style = "36"
	warning style = "33"
	bad     style = "1;31"
	errMark style = "31"
	event   style = "36"
	chart   style = "36"
	hintKey style = "1"
	dialog  style = "1"
)

// labels are the colours that tell instances apart in the log. Red is left to
// errors, blue is hard to read on black.
var labels = []style{"36", "32", "35", "33", "96", "92", "95", "94"}

// stateStyles says how the word of a state looks.
var stateStyles = map[proc.State]style{
	proc.StateWaiting:  faint,
	proc.StateStarting: busy,
	proc.StateReady:    good,
	proc.StateUnready:  warning,
	proc.StateStopping: busy,
	proc.StateStopped:  faint,
	proc.StateBackoff:  warning,
	proc.StateFailed:   bad,
	proc.StateDone:     faint,
}

// glyphs are the signs that differ between terminals.
type glyphs struct {
	open, closed   string
	rule, ruleBold string
	wall           string
	corners        [4]string // clockwise from the top left
	more           string    // something was cut off
	dots           string    // something goes on
	atLeast        string    // a lower bound
	times, sep     string
	outMark        string
	errMark        string // as text, since colour alone is not for everyone
	eventMark      string
	up, down       string
	left, right    string
	spark          []string // rising, from zero
	bar            []string // parts of a cell, up to a whole one
	states         map[proc.State]string
	unknownState   string
}

var unicodeGlyphs = glyphs{
	open: "▾", closed: "▸", rule: "─", ruleBold: "━", wall: "│",
	corners: [4]string{"╭", "╮", "╯", "╰"},
	more:    "…", dots: "…", atLeast: "≥", times: "×", sep: "·",
	outMark: "│", errMark: "!", eventMark: "»",
	up: "↑", down: "↓", left: "←", right: "→",
	spark: []string{"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"},
	bar:   []string{"╸", "━"},
	states: map[proc.State]string{
		proc.StateWaiting: "◌", proc.StateStarting: "◐", proc.StateReady: "●",
		proc.StateUnready: "▲", proc.StateStopping: "▼", proc.StateStopped: "○",
		proc.StateBackoff: "↻", proc.StateFailed: "✗", proc.StateDone: "✓",
	},
	unknownState: "?",
}

var asciiGlyphs = glyphs{
	open: "-", closed: "+", rule: "-", ruleBold: "=", wall: "|",
	corners: [4]string{"+", "+", "+", "+"},
	more:    "~", dots: "...", atLeast: "~", times: "x", sep: "-",
	outMark: "|", errMark: "!", eventMark: ">",
	up: "up", down: "down", left: "left", right: "right",
	spark: []string{"_", ".", ":", "-", "=", "+", "*", "#"},
	bar:   []string{" ", "#"},
	states: map[proc.State]string{
		proc.StateWaiting: ".", proc.StateStarting: "^", proc.StateReady: "*",
		proc.StateUnready: "?", proc.StateStopping: "v", proc.StateStopped: "o",
		proc.StateBackoff: "!", proc.StateFailed: "x", proc.StateDone: "=",
	},
	unknownState: "?",
}

// theme is how the dashboard looks in one terminal.
type theme struct {
	glyphs
	color bool // false: no attribute of any kind is written
	ascii bool // true: nothing but ASCII is written, log text included
}

// newTheme reads NO_COLOR and the locale from an environment.
func newTheme(env func(string) string) *theme {
	t := &theme{glyphs: unicodeGlyphs, color: env("NO_COLOR") == ""}
	if !isUTF8(env) {
		t.glyphs, t.ascii = asciiGlyphs, true
	}
	return t
}

// isUTF8 tells whether a locale's character set is UTF-8. The first of the
// variables that is set decides (POSIX.1-2024, 8.2); none of them means ASCII.
func isUTF8(env func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := strings.ToLower(env(name)); v != "" {
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return false
}

// paint writes text in a style.
func (t *theme) paint(s style, text string) string {
	if !t.color || s == plain || text == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[m"
}

func (t *theme) state(s proc.State) string {
	if g, ok := t.states[s]; ok {
		return g
	}
	return t.unknownState
}

// label is the colour of an instance in the log, the same every time.
func label(instance string) style {
	if instance == "" {
		return event
	}
	h := fnv.New32a()
	h.Write([]byte(instance))
	return labels[h.Sum32()%uint32(len(labels))]
}

// fade writes a line that is of the past: all faint, whatever it was.
func (t *theme) fade(line string) string {
	return t.paint(faint, ansi.Strip(line))
}
