package main

import (
	"regexp"
	"testing"

	"clusterd/internal/proc"
)

// Colours are for terminals: no expression finds them, and no file gets them.
func TestLogColours(t *testing.T) {
	const text = "\x1b[31mERROR\x1b[0m: 3 left"
	for expr, want := range map[string]bool{"^ERROR: 3": true, "31": false} {
		f := logFilter{grep: regexp.MustCompile(expr)}
		if got := f.matches(proc.Line{Text: text}, text); got != want {
			t.Errorf("%s finds it: %t, want %t", expr, got, want)
		}
	}
	for _, c := range []struct {
		p    printer
		want string
	}{{printer{}, "ERROR: 3 left"}, {printer{colour: true}, text}, {printer{raw: true}, text}} {
		if got := c.p.shown(text); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
