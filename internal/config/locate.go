package config

import (
	"strings"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
)

// maxDepth bounds how deep tables and arrays nest. A config needs four levels;
// without a bound a file of brackets would exhaust the stack.
const maxDepth = 64

// locate finds where every key and value of text stands, as a tree without the
// values themselves. Package toml tells positions only in syntax errors.
//
// The tree is complete for every text that package toml accepts (TOML 1.0, and
// what 1.1 adds to inline tables). For any other text it is whatever was found
// up to the mistake: finding mistakes is package toml's part. tooDeep is
// the place where nesting exceeds maxDepth, else the zero position.
func locate(text string) (root *node, tooDeep position) {
	text = strings.TrimPrefix(text, byteOrderMark)
	l := &locator{text: text, here: position{1, 1}}
	root = &node{at: l.here, valueAt: l.here, declared: true}
	l.document(root)
	return root, l.tooDeep
}

// byteOrderMark may begin a file; it is no character of the first line.
const byteOrderMark = "\uFEFF"

// locator reads the text once from front to back. Its methods answer false
// where the text is not TOML, and leave the rest unread.
type locator struct {
	text    string
	off     int      // what is read, in bytes
	here    position // of off
	depth   int      // of the value being read
	tooDeep position
}

// part is one name of a dotted key.
type part struct {
	name string
	at   position
}

func (l *locator) document(root *node) {
	table := root
	for l.blank(); l.off < len(l.text); l.blank() {
		ok := false
		if l.peek() == '[' {
			table, ok = l.header(root)
		} else {
			ok = l.pair(table)
		}
		if !ok {
			return
		}
	}
}

// header reads [a.b] or [[a.b]], and returns the table that the following
// pairs belong to.
func (l *locator) header(root *node) (*node, bool) {
	l.advance(1)
	array := l.accept('[')
	parts, ok := l.keyParts()
	if !ok || !l.accept(']') || array && !l.accept(']') {
		return nil, false
	}
	table := root.descend(parts[:len(parts)-1])
	last := parts[len(parts)-1]
	n := table.child(last.name, last.at)
	if !n.declared {
		n.declared = true
		n.at, n.valueAt = last.at, last.at
	}
	if array {
		item := &node{at: last.at, valueAt: last.at, declared: true}
		n.items = append(n.items, item)
		return item, true
	}
	return n.latest(), true
}

// pair reads key = value into table.
func (l *locator) pair(table *node) bool {
	parts, ok := l.keyParts()
	if !ok || !l.accept('=') {
		return false
	}
	l.spaces()
	last := parts[len(parts)-1]
	return l.value(table.descend(parts[:len(parts)-1]).child(last.name, last.at))
}

// descend is the table that a key's leading parts name, seen from n. The
// tables on the way are made where they do not exist yet.
func (n *node) descend(parts []part) *node {
	for _, p := range parts {
		n = n.child(p.name, p.at).latest()
	}
	return n
}

// latest is n, or the last table of an array of tables: the one that a header
// continues.
func (n *node) latest() *node {
	if len(n.items) > 0 {
		return n.items[len(n.items)-1]
	}
	return n
}

// keyParts reads a key: bare or quoted names with dots between.
func (l *locator) keyParts() ([]part, bool) {
	var parts []part
	for {
		l.spaces()
		p := part{at: l.here}
		start := l.off
		switch c := l.peek(); c {
		case '"', '\'':
			if !l.quoted(c) {
				return nil, false
			}
			p.name = unquote(l.text[start:l.off])
		default:
			for isBare(l.peek()) {
				l.advance(1)
			}
			if p.name = l.text[start:l.off]; p.name == "" {
				return nil, false
			}
		}
		if parts = append(parts, p); len(parts) > maxDepth {
			l.tooDeep = p.at
			return nil, false
		}
		l.spaces()
		if !l.accept('.') {
			return parts, true
		}
	}
}

// value reads any value into n.
func (l *locator) value(n *node) bool {
	n.declared = true
	n.valueAt = l.here
	if l.depth++; l.depth > maxDepth {
		l.tooDeep = l.here
		return false
	}
	defer func() { l.depth-- }()

	start := l.off
	ok := true
	switch c := l.peek(); c {
	case '[':
		return l.array(n)
	case '{':
		return l.inlineTable(n)
	case '"', '\'':
		if triple := strings.Repeat(string(rune(c)), 3); strings.HasPrefix(l.text[l.off:], triple) {
			ok = l.multiline(triple)
		} else {
			ok = l.quoted(c)
		}
	default:
		if end := strings.IndexAny(l.text[l.off:], ",]}#\n"); end >= 0 {
			l.advance(end)
		} else {
			l.advance(len(l.text) - l.off)
		}
	}
	n.source = strings.TrimSpace(l.text[start:l.off])
	return ok
}

func (l *locator) array(n *node) bool {
	l.advance(1)
	for {
		if l.blank(); l.accept(']') {
			return true
		}
		item := &node{at: l.here}
		n.items = append(n.items, item)
		if !l.value(item) {
			return false
		}
		if l.blank(); !l.accept(',') && l.peek() != ']' {
			return false
		}
	}
}

func (l *locator) inlineTable(n *node) bool {
	l.advance(1)
	for {
		if l.blank(); l.accept('}') {
			return true
		}
		if !l.pair(n) {
			return false
		}
		if l.blank(); !l.accept(',') && l.peek() != '}' {
			return false
		}
	}
}

// quoted reads a string of one line, with its quotes.
func (l *locator) quoted(quote byte) bool {
	for i := l.off + 1; i < len(l.text) && l.text[i] != '\n'; i++ {
		switch {
		case l.text[i] == '\\' && quote == '"':
			i++
		case l.text[i] == quote:
			l.advance(i + 1 - l.off)
			return true
		}
	}
	return false
}

// multiline reads a string between triple quotes, with them. Up to two more
// quotes at its end belong to the string.
func (l *locator) multiline(triple string) bool {
	for i := l.off + 3; i < len(l.text); i++ {
		switch {
		case l.text[i] == '\\' && triple[0] == '"':
			i++
		case strings.HasPrefix(l.text[i:], triple):
			for i += 3; i < len(l.text) && l.text[i] == triple[0]; i++ {
			}
			l.advance(i - l.off)
			return true
		}
	}
	return false
}

// blank skips white space, line ends and comments.
func (l *locator) blank() {
	for {
		switch l.peek() {
		case ' ', '\t', '\r', '\n':
			l.advance(1)
		case '#':
			end := strings.IndexByte(l.text[l.off:], '\n')
			if end < 0 {
				end = len(l.text) - l.off
			}
			l.advance(end)
		default:
			return
		}
	}
}

// spaces skips the white space within a line.
func (l *locator) spaces() {
	for l.peek() == ' ' || l.peek() == '\t' {
		l.advance(1)
	}
}

// peek is the next byte, 0 at the end.
func (l *locator) peek() byte {
	if l.off == len(l.text) {
		return 0
	}
	return l.text[l.off]
}

func (l *locator) accept(c byte) bool {
	if l.peek() != c || l.off == len(l.text) {
		return false
	}
	l.advance(1)
	return true
}

func (l *locator) advance(bytes int) {
	l.here = l.here.after(l.text[l.off : l.off+bytes])
	l.off += bytes
}

// after is the position behind text that begins at p.
func (p position) after(text string) position {
	for i := range len(text) {
		switch {
		case text[i] == '\n':
			p = position{p.line + 1, 1}
		case utf8.RuneStart(text[i]):
			p.column++
		}
	}
	return p
}

func isBare(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}

// unquote is the name that a quoted key stands for.
func unquote(quoted string) string {
	if quoted[0] == '\'' || !strings.Contains(quoted, `\`) {
		return quoted[1 : len(quoted)-1]
	}
	var v struct{ K string }
	if _, err := toml.Decode("K = "+quoted, &v); err != nil {
		return quoted // not TOML, which package toml reports
	}
	return v.K
}
