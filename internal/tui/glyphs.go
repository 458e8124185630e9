package tui

import (
	"strings"

	"clusterd/internal/proc"
)

// glyphs are the signs that differ between terminals.
type glyphs struct {
	open, closed   string
	rule, ruleBold string
	wall           string
	corners        [4]string // clockwise from the top left
	more           string    // something was cut off
	dots           string    // something goes on
	atLeast        string    // a lower bound
	about          string    // an estimate
	micro          string
	sep            string
	outMark        string
	errMark        string // as text, since colour alone is not for everyone
	eventMark      string
	hitMark        string // before a line that has what was searched for
	secret         string // in place of what nobody is to read over a shoulder
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
	more:    "…", dots: "…", atLeast: "≥", about: "≈", micro: "µ", sep: "·",
	outMark: "│", errMark: "!", eventMark: "»", hitMark: ">", secret: "••••••",
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
	more:    "~", dots: "...", atLeast: ">", about: "~", micro: "u", sep: "-",
	outMark: "|", errMark: "!", eventMark: ":", hitMark: ">", secret: "******",
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
