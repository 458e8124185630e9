package proc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
)

const (
	maxLine     = 64 << 10 // how long a log line can get; a longer one is split
	firstBuffer = 256      // a thousand instances that say little have two each
)

// capture reads r to its end and hands over what it reads as clean lines, in
// batches of one read each. It never stops reading, whatever it reads, so that
// the process at the other end never blocks; a slow emit only makes it wait.
// It begins with what has been read of the first line before. It returns what it has read
// of the next line, not nil, if a deadline of r ends it (os.ErrDeadlineExceeded), and
// nil at the end of r, when that is a line as well.
func capture(r io.Reader, before []byte, emit func(lines []string)) (rest []byte) {
	buf := append(make([]byte, 0, max(firstBuffer, len(before)+1)), before...)
	var lines []string
	for {
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		whole := bytes.LastIndexByte(buf, '\n') + 1
		lines = cleanLines(lines, buf[:whole])
		rest := buf[whole:]
		switch {
		case len(buf) == cap(buf) && cap(buf) < maxLine: // there is more, or no line end in sight
			buf = append(make([]byte, 0, 4*cap(buf)), rest...)
		case len(rest) < cap(buf):
			buf = buf[:copy(buf[:cap(buf)], rest)]
		default:
			cut := wholeRunes(rest)
			lines = append(lines, clean(rest[:cut]))
			buf = buf[:copy(buf[:cap(buf)], rest[cut:])]
		}
		paused := errors.Is(err, os.ErrDeadlineExceeded)
		if err != nil && len(buf) > 0 && !paused {
			lines = append(lines, clean(buf))
		}
		if len(lines) > 0 {
			emit(lines)
			lines = lines[:0]
		}
		switch {
		case paused:
			return append([]byte{}, buf...)
		case err != nil:
			return nil
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

// cleanLines appends the lines of b, each with its end, to lines. Where most of b stays
// as it is, its lines share one piece of memory, which lasts as long as any of them:
// what is dropped in order, as from a ring, then takes at most twice what it counts.
func cleanLines(lines []string, b []byte) []string {
	stays := 0
	for line := range bytes.Lines(b) {
		if line = line[:len(line)-1]; plain(line) {
			stays += len(line)
		}
	}
	shared := ""
	if 2*stays >= len(b) {
		shared = string(b)
	}
	for at := 0; at < len(b); {
		end := at + bytes.IndexByte(b[at:], '\n')
		if line := b[at:end]; shared != "" && plain(line) {
			lines = append(lines, shared[at:end])
		} else {
			lines = append(lines, clean(line))
		}
		at = end + 1
	}
	return lines
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
	s := strings.ToValidUTF8(string(line), replacement)
	var out strings.Builder
	column := 0
	for state := byte(0); len(s) > 0; {
		if state == ansi.NormalState { // what floods consist of need not be taken apart
			text, colours, skipped := printable(s), colour(s), silent(s)
			if n := text + colours + skipped; n > 0 { // one of them
				out.WriteString(s[:text+colours])
				column += text
				s = s[n:]
				continue
			}
			if rest, ok := strings.CutPrefix(s, replacement); ok {
				out.WriteString(replacement)
				column++
				s = rest
				continue
			}
		}
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

const (
	tabStop     = 8
	replacement = "\uFFFD" // for what is no UTF-8
)

// printable is the length of the ASCII text that s begins with.
func printable(s string) int {
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			return i
		}
	}
	return len(s)
}

// colour is the length of the whole SGR sequence that s begins with.
func colour(s string) int {
	if !strings.HasPrefix(s, "\x1b[") {
		return 0
	}
	for i := 2; i < len(s); i++ {
		switch c := s[i]; {
		case c == 'm':
			return i + 1
		case c != ';' && c != ':' && (c < '0' || c > '9'):
			return 0
		}
	}
	return 0
}

// silent is how many control characters s begins with that mean nothing here.
func silent(s string) int {
	for i := range len(s) {
		if c := s[i]; c == '\t' || c == '\x1b' || c >= ' ' && c != 0x7f {
			return i
		}
	}
	return len(s)
}

// plain tells that clean has nothing to do, which is so for nearly every line.
func plain(b []byte) bool {
	const every = 0x0101_0101_0101_0101 // byte of a word
	for ; len(b) >= 8; b = b[8:] {
		w := binary.NativeEndian.Uint64(b)
		below := (w - ' '*every) &^ w       // the top bit of a byte: it, or one before it, is
		above := (w + (0x7f-'~')*every) | w // so is this
		if (below|above)&(0x80*every) != 0 {
			return false
		}
	}
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
