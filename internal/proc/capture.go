package proc

import (
	"bytes"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
)

const (
	maxLine     = 64 << 10 // how long a log line can get; a longer one is split
	firstBuffer = 4 << 10  // what most streams never need more than
)

// capture reads r to its end and hands over what it reads as clean lines, in
// batches of one read each. It never stops reading, whatever it reads, so that
// the process at the other end never blocks; a slow emit only makes it wait.
func capture(r io.Reader, emit func(lines []string)) {
	buf := make([]byte, 0, firstBuffer)
	var lines []string
	for {
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		rest := buf
		for {
			i := bytes.IndexByte(rest, '\n')
			if i < 0 {
				break
			}
			lines = append(lines, clean(rest[:i]))
			rest = rest[i+1:]
		}
		switch {
		case len(rest) < cap(buf):
			buf = buf[:copy(buf[:cap(buf)], rest)]
		case cap(buf) < maxLine: // no line end in sight
			buf = append(make([]byte, 0, 4*cap(buf)), rest...)
		default:
			cut := wholeRunes(rest)
			lines = append(lines, clean(rest[:cut]))
			buf = buf[:copy(buf[:cap(buf)], rest[cut:])]
		}
		if err != nil && len(buf) > 0 {
			lines = append(lines, clean(buf))
		}
		if len(lines) > 0 {
			emit(lines)
			lines = lines[:0]
		}
		if err != nil {
			return
		}
	}
}

// wholeRunes is the length of b without a rune that its end cuts in two.
func wholeRunes(b []byte) int {
	for i := len(b) - 1; i >= 0 && i >= len(b)-utf8.UTFMax; i-- {
		if utf8.RuneStart(b[i]) {
			if !utf8.FullRune(b[i:]) {
				return i
			}
			break
		}
	}
	return len(b)
}

// clean makes a line safe to show anywhere: valid UTF-8, tabs as spaces, no
// control characters, and of escape sequences only the colours (SGR). What a
// carriage return would have overwritten on a terminal is left out.
func clean(line []byte) string {
	line = bytes.TrimRight(line, "\r")
	if plain(line) {
		return string(line)
	}
	if i := bytes.LastIndexByte(line, '\r'); i >= 0 {
		line = line[i+1:]
	}
	s := strings.ToValidUTF8(string(line), "\uFFFD")
	var out strings.Builder
	column := 0
	for state := byte(0); len(s) > 0; {
		seq, width, n, next := ansi.DecodeSequence(s, state, nil)
		state = next
		switch {
		case seq == "\t":
			pad := tabStop - column%tabStop
			out.WriteString(strings.Repeat(" ", pad))
			column += pad
		case width > 0:
			out.WriteString(seq)
			column += width
		case isSGR(seq):
			out.WriteString(seq)
		case !control(seq):
			out.WriteString(seq) // a combining mark on its own
		}
		s = s[n:]
	}
	return out.String()
}

const tabStop = 8

// plain tells that clean has nothing to do, which is so for nearly every line.
func plain(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}

// isSGR tells whether seq is a whole "select graphic rendition" sequence:
// ESC [ parameters m.
func isSGR(seq string) bool {
	rest, ok := strings.CutPrefix(seq, "\x1b[")
	if !ok {
		return false
	}
	params, ok := strings.CutSuffix(rest, "m")
	return ok && strings.Trim(params, "0123456789;:") == ""
}

// control tells whether seq begins with a control character, C0, DEL or C1.
func control(seq string) bool {
	r, _ := utf8.DecodeRuneInString(seq)
	return r < ' ' || (r >= 0x7f && r < 0xa0)
}
