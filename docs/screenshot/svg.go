package main

import (
	"fmt"
	"html"
	"strconv"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// The picture of one cell, in pixels.
const (
	cellWidth  = 8.4
	cellHeight = 17.0
	fontSize   = 14
	margin     = 14.0
	baseline   = 12.8 // from the top of a cell
)

// The colours of the picture. The first sixteen are those of the terminal.
var palette = [16]string{
	"#3b4252", "#e06c75", "#8cc570", "#e5b567", "#6fa8dc", "#c586c0", "#56b6c2", "#d8dee9",
	"#616e88", "#ef8a92", "#a9dc8d", "#f2cc85", "#8fc1ee", "#d9a5d5", "#7fd1da", "#eceff4",
}

const (
	foreground = "#d8dee9"
	background = "#1b1f27"
	dimmed     = "#7b8494"
)

// look is how a cell is written.
type look struct {
	color   int // index in palette, or -1: the terminal's own
	bold    bool
	faint   bool
	reverse bool
}

var plain = look{color: -1}

// apply changes a look as an SGR sequence says.
func (l look) apply(sgr string) look {
	params := strings.TrimSuffix(strings.TrimPrefix(sgr, "\x1b["), "m")
	for p := range strings.SplitSeq(params, ";") {
		n, _ := strconv.Atoi(p) // "" is 0
		switch {
		case n == 0:
			l = plain
		case n == 1:
			l.bold = true
		case n == 2:
			l.faint = true
		case n == 7:
			l.reverse = true
		case n == 22:
			l.bold, l.faint = false, false
		case n == 27:
			l.reverse = false
		case n == 39:
			l.color = -1
		case 30 <= n && n <= 37:
			l.color = n - 30
		case 90 <= n && n <= 97:
			l.color = n - 90 + 8
		}
	}
	return l
}

// inks are the colours of the text and of what is behind it ("" for nothing).
func (l look) inks() (text, behind string) {
	text = foreground
	switch {
	case l.color >= 0:
		text = palette[l.color]
	case l.faint:
		text = dimmed
	}
	if l.reverse {
		return background, text
	}
	return text, ""
}

// run is text of one look, from a column on.
type run struct {
	x, w int
	text string
	look look
}

// parse reads one line of a terminal's screen; state goes on from line to line.
func parse(line string, state look) ([]run, look) {
	var runs []run
	x := 0
	for len(line) > 0 {
		seq, w, n, _ := ansi.DecodeSequence(line, 0, nil)
		line = line[n:]
		if w == 0 {
			if strings.HasPrefix(seq, "\x1b[") && strings.HasSuffix(seq, "m") {
				state = state.apply(seq)
			}
			continue
		}
		if last := len(runs) - 1; last >= 0 && runs[last].look == state && !drawn(seq) && !drawn(runs[last].text) {
			runs[last].text += seq
			runs[last].w += w
		} else {
			runs = append(runs, run{x, w, seq, state})
		}
		x += w
	}
	return runs, state
}

// drawn tells whether a character is a lower block element, which is drawn as a
// rectangle: fonts leave gaps between them.
func drawn(s string) bool {
	r := []rune(s)
	return len(r) == 1 && r[0] >= '▁' && r[0] <= '█'
}

// block is how high a lower block element is.
func block(r rune) float64 { return float64(r-'▁'+1) / 8 * cellHeight }

// render draws a screen of w columns.
func render(screen string, w int) string {
	lines := strings.Split(strings.TrimRight(screen, "\n"), "\n")
	width := float64(w)*cellWidth + 2*margin
	height := float64(len(lines))*cellHeight + 2*margin
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" viewBox="0 0 %.0f %.0f">`+"\n", width, height, width, height)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" rx="8" fill="%s"/>`+"\n", background)
	fmt.Fprintf(&b, `<g font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace" font-size="%d" xml:space="preserve">`+"\n", fontSize)
	state := plain
	for row, line := range lines {
		var runs []run
		runs, state = parse(line, state)
		y := margin + float64(row)*cellHeight
		for _, r := range runs {
			r.draw(&b, y)
		}
	}
	b.WriteString("</g>\n</svg>\n")
	return b.String()
}

func (r run) draw(b *strings.Builder, y float64) {
	text, behind := r.look.inks()
	x := margin + float64(r.x)*cellWidth
	w := float64(r.w) * cellWidth
	if behind != "" {
		fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`+"\n", x, y, w, cellHeight, behind)
	}
	if strings.TrimSpace(r.text) == "" {
		return
	}
	if drawn(r.text) {
		h := block([]rune(r.text)[0])
		fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="%.2f" height="%.1f" fill="%s"/>`+"\n", x, y+cellHeight-h, w, h, text)
		return
	}
	weight := ""
	if r.look.bold {
		weight = ` font-weight="bold"`
	}
	// textLength keeps the columns whatever font there is.
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" fill="%s"%s textLength="%.1f" lengthAdjust="spacingAndGlyphs">%s</text>`+"\n",
		x, y+baseline, text, weight, w, html.EscapeString(r.text))
}
