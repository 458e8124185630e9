package tui

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"

	"github.com/charmbracelet/x/ansi"

	"clusterd/internal/proc"
)

// search is what is looked for in the log.
type search struct {
	text string
	re   *regexp.Regexp
	at   uint64 // the line where the search is; 0: nowhere yet
}

// newSearch makes one of a regular expression. Without capitals in it, case does
// not matter.
func newSearch(text string) (*search, error) {
	if text == "" {
		return nil, nil
	}
	pattern := text
	if !strings.ContainsFunc(text, unicode.IsUpper) {
		pattern = "(?i)" + text
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		if e, ok := err.(*syntax.Error); ok {
			return nil, fmt.Errorf("%s: %s", e.Code, e.Expr)
		}
		return nil, err
	}
	return &search{text: text, re: re}, nil
}

// finds tells whether a line has what is looked for. Nil finds nothing.
func (s *search) finds(line *proc.Line) bool {
	if s == nil {
		return false
	}
	return s.re.MatchString(plainText(line.Text))
}

// plainText is a line's text without its colours.
func plainText(text string) string {
	if isPlain(text) {
		return text
	}
	return ansi.Strip(text)
}

// setSearch looks for something else; nil: for nothing.
func (l *logPane) setSearch(s *search) {
	l.search = s
	if s == nil {
		l.only = false
	}
	l.refilter()
}

// toHit goes to the next line that matches, or the one before, from where the
// search is; it tells whether there is one.
func (l *logPane) toHit(by int) bool {
	from := l.search.at
	if from == 0 {
		if seen := l.seen(); len(seen) > 0 {
			from = seen[len(seen)-1].Seq + 1
		}
	}
	i, exact := slices.BinarySearch(l.hits, from)
	switch {
	case by < 0:
		i--
	case exact:
		i++
	}
	if i < 0 || i >= len(l.hits) {
		return false
	}
	l.search.at = l.hits[i]
	l.to(l.hits[i])
	return true
}

// hitTitle says what is looked for, and where in what was found one is.
func (l *logPane) hitTitle() string {
	s := "/" + l.search.text
	if len(l.hits) == 0 {
		if !l.deep && len(l.lines) >= firstLines {
			return s + fmt.Sprintf(" not found in the last %d lines", len(l.lines))
		}
		return s + " not found"
	}
	if i, ok := slices.BinarySearch(l.hits, l.search.at); ok {
		s += fmt.Sprintf(" %d of %d", i+1, len(l.hits))
	} else {
		s += fmt.Sprintf(" %d", len(l.hits))
	}
	if l.only {
		s += " only"
	}
	return s
}

// highlight paints what was searched for in cleaned text, which may have colours
// of its own.
func (t *theme) highlight(text string, re *regexp.Regexp, s style) string {
	if !t.color {
		return text
	}
	var b strings.Builder
	on, off := "\x1b["+t.look.palette[s]+"m", "\x1b[m"
	plain := plainText(text)
	all := re.FindAllStringIndex(plain, -1)
	offset, sgr, inside := 0, "", false
	var state byte
	for len(text) > 0 {
		for len(all) > 0 && offset >= all[0][1] {
			if inside {
				b.WriteString(off + sgr)
				inside = false
			}
			all = all[1:]
		}
		seq, w, n, next := ansi.DecodeSequence(text, state, nil)
		if n == 0 {
			break
		}
		state, text = next, text[n:]
		if w == 0 && isSGR(seq) {
			if seq == "\x1b[m" || seq == "\x1b[0m" {
				sgr = ""
			} else {
				sgr += seq
			}
			if !inside {
				b.WriteString(seq)
			}
			continue
		}
		if len(all) > 0 && offset >= all[0][0] && !inside {
			b.WriteString(off + on)
			inside = true
		}
		b.WriteString(seq)
		offset += len(seq)
	}
	if inside {
		b.WriteString(off)
	}
	return b.String()
}
