package config

import (
	"strconv"
	"strings"
)

// longest is how many characters of a user's value an error repeats.
const longest = 48

// cite shows a user's text in an error: in quotes, on one line, of bounded
// length.
func cite(text string) string {
	return strconv.Quote(shorten(text))
}

func shorten(text string) string {
	if runes := []rune(text); len(runes) > longest {
		return string(runes[:longest-1]) + "…"
	}
	return text
}

// anyOf lists words as alternatives: `"a", "b" or "c"`.
func anyOf[S ~string](words []S) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = cite(string(w))
	}
	if len(quoted) == 1 {
		return quoted[0]
	}
	return strings.Join(quoted[:len(quoted)-1], ", ") + " or " + quoted[len(quoted)-1]
}

// header is the line that begins the table of an app or of one of its
// tables, such as [apps.web].
func header(names ...string) string {
	for i, n := range names {
		if n == "" || strings.ContainsFunc(n, func(r rune) bool { return r > 127 || !isBare(byte(r)) }) {
			names[i] = cite(n)
		}
	}
	return "[" + strings.Join(names, ".") + "]"
}
