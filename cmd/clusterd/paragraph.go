package main

import (
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// pageWidth is how wide text for people gets, in cells.
const pageWidth = 80

// paragraph breaks text between words into lines of at most pageWidth cells. The
// first begins with label, the others with as many spaces.
func paragraph(label, text string) string {
	indent := strings.Repeat(" ", ansi.StringWidth(label))
	var b strings.Builder
	b.WriteString(label)
	used := len(indent)
	for i, word := range strings.Fields(text) {
		width := ansi.StringWidth(word)
		switch {
		case i == 0:
		case used+1+width > pageWidth:
			b.WriteString("\n" + indent)
			used = len(indent)
		default:
			b.WriteByte(' ')
			used++
		}
		b.WriteString(word)
		used += width
	}
	return strings.TrimRight(b.String(), " ") + "\n"
}
