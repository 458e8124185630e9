package tui

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
)

// tabStop is where terminals put tab stops.
const tabStop = 8

// width is how many cells text takes; escape sequences take none.
func width(text string) int {
	if isPlain(text) {
		return len(text)
	}
	return ansi.StringWidth(text)
}

// isPlain tells whether text is printable ASCII only.
func isPlain(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}

// cut shortens text to w cells and marks that it did.
func (t *theme) cut(text string, w int) string {
	if w <= 0 {
		return ""
	}
	if width(text) <= w {
		return text
	}
	return ansi.Truncate(text, w, t.more)
}

// cutName shortens the name of an app or an instance to w cells: that of an app before
// the number of the instance, which tells it from others.
func (t *theme) cutName(name string, w int) string {
	i := strings.LastIndexByte(name, '/')
	if i < 0 || width(name) <= w || len(name)-i >= w {
		return t.cut(name, w)
	}
	return t.cut(name[:i], w-(len(name)-i)) + name[i:]
}

// fit makes text exactly w cells wide, aligned to the left.
func (t *theme) fit(text string, w int) string {
	text = t.cut(text, w)
	return text + spaces(w-width(text))
}

// fitRight is fit, aligned to the right.
func (t *theme) fitRight(text string, w int) string {
	text = t.cut(text, w)
	return spaces(w-width(text)) + text
}

const blank = "                                                                "

func spaces(n int) string {
	if n <= 0 {
		return ""
	}
	if n <= len(blank) {
		return blank[:n]
	}
	return strings.Repeat(" ", n)
}

// clean makes text from outside safe to show on one line: tabs become spaces,
// control characters and escape sequences go, except colours where they are
// wanted. It always ends with the terminal's own colours.
func (t *theme) clean(text string) string {
	if isPlain(text) {
		return text
	}
	var b strings.Builder
	b.Grow(len(text) + 8)
	colored := false
	col := 0
	var state byte
	for len(text) > 0 {
		seq, w, n, next := ansi.DecodeSequence(text, state, nil)
		state = next
		if n == 0 {
			break
		}
		text = text[n:]
		switch {
		case seq == "\t":
			pad := tabStop - col%tabStop
			b.WriteString(spaces(pad))
			col += pad
		case isSGR(seq):
			if t.color {
				b.WriteString(seq)
				colored = true
			}
		case w == 0 && isControl(seq):
		case !utf8.ValidString(seq):
			b.WriteByte('?')
			col++
		case t.ascii && !isPlain(seq):
			b.WriteString(strings.Repeat("?", w))
			col += w
		default:
			b.WriteString(seq)
			col += w
		}
	}
	if colored {
		b.WriteString("\x1b[m")
	}
	return b.String()
}

// isControl tells whether seq is a control character or an escape sequence.
func isControl(seq string) bool {
	r, _ := utf8.DecodeRuneInString(seq)
	return unicode.IsControl(r)
}

// isSGR tells whether seq is a whole "select graphic rendition" sequence.
func isSGR(seq string) bool {
	if len(seq) < 3 || !strings.HasPrefix(seq, "\x1b[") || seq[len(seq)-1] != 'm' {
		return false
	}
	for _, c := range seq[2 : len(seq)-1] {
		if (c < '0' || c > '9') && c != ';' && c != ':' {
			return false
		}
	}
	return true
}

// line is clean for something that has a colour of its own.
func (t *theme) line(text string) string {
	if isPlain(text) {
		return text
	}
	return ansi.Strip(t.clean(text))
}

// wrap breaks cleaned text into rows of at most w cells. Colours go on in the
// next row; every row ends with the terminal's own.
func wrap(text string, w int) []string {
	w = max(w, 2) // the widest character there is
	if isPlain(text) {
		rows := make([]string, 0, len(text)/w+1)
		for len(text) > w {
			rows, text = append(rows, text[:w]), text[w:]
		}
		return append(rows, text)
	}
	var rows []string
	var row strings.Builder
	sgr, col := "", 0
	var state byte
	for len(text) > 0 {
		seq, cells, n, next := ansi.DecodeSequence(text, state, nil)
		if n == 0 {
			break
		}
		state, text = next, text[n:]
		if isSGR(seq) {
			if seq == "\x1b[m" || seq == "\x1b[0m" {
				sgr = ""
			} else {
				sgr += seq
			}
		} else if col+cells > w {
			if sgr != "" {
				row.WriteString("\x1b[m")
			}
			rows = append(rows, row.String())
			row.Reset()
			row.WriteString(sgr)
			col = 0
		}
		row.WriteString(seq)
		col += cells
	}
	return append(rows, row.String())
}

// window is the w cells of cleaned text after the first skip ones.
func (t *theme) window(text string, skip, w int) string {
	if w <= 0 {
		return ""
	}
	if skip > 0 {
		if isPlain(text) {
			text = text[min(skip, len(text)):]
		} else {
			text = ansi.TruncateLeft(text, skip, "")
		}
	}
	if width(text) <= w {
		return text
	}
	return ansi.Truncate(text, w, t.more)
}

// words wraps a sentence at spaces into at most rows lines of w cells.
func (t *theme) words(text string, w, rows int) []string {
	var lines []string
	for _, word := range strings.FieldsFunc(text, unicode.IsSpace) {
		n := len(lines)
		if n > 0 && width(lines[n-1])+1+width(word) <= w {
			lines[n-1] += " " + word
			continue
		}
		lines = append(lines, word)
	}
	if len(lines) > rows {
		lines[rows-1] = strings.Join(lines[rows-1:], " ")
		lines = lines[:rows]
	}
	for i := range lines {
		lines[i] = t.cut(lines[i], w)
	}
	return lines
}
