package config

import (
	"fmt"
	"strings"
)

// expand replaces ${VAR} and ${VAR:-default} in text by what lookup knows of
// VAR, and $$ by $. The default stands in for a variable that is unset or
// empty, as in a shell, and is expanded itself. A $ before anything else stays
// as it is.
//
// The error says what is wrong with which reference, and does not name text.
func expand(text string, lookup func(string) (string, bool)) (string, error) {
	var out strings.Builder
	for {
		before, after, found := strings.Cut(text, "$")
		out.WriteString(before)
		switch {
		case !found:
			return out.String(), nil
		case strings.HasPrefix(after, "$"):
			out.WriteByte('$')
			text = after[1:]
		case strings.HasPrefix(after, "{"):
			end := closingBrace(after)
			if end < 0 {
				return "", fmt.Errorf(`%s has no closing "}"; write $${ for a literal ${`, cite("$"+after))
			}
			s, err := reference(after[1:end], lookup)
			if err != nil {
				return "", err
			}
			out.WriteString(s)
			text = after[end+1:]
		default:
			out.WriteByte('$')
			text = after
		}
	}
}

// closingBrace is the index of the } that belongs to the { at the start of
// text, or -1. References within a default have braces of their own.
func closingBrace(text string) int {
	depth := 1
	for i := 1; i < len(text); i++ {
		switch {
		case strings.HasPrefix(text[i:], "$$"):
			i++
		case strings.HasPrefix(text[i:], "${"):
			depth++
			i++
		case text[i] == '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// reference is the value of what stands between ${ and }.
func reference(inner string, lookup func(string) (string, bool)) (string, error) {
	name, fallback, hasFallback := strings.Cut(inner, ":-")
	if !isVariable(name) {
		return "", fmt.Errorf("${%s} is no reference to a variable; write ${VAR} or ${VAR:-default}, and $${ for a literal ${", shorten(inner))
	}
	value, set := lookup(name)
	switch {
	case hasFallback && value == "":
		return expand(fallback, lookup)
	case !set:
		return "", fmt.Errorf("${%s} is not set in clusterd's environment; set it, or give a default as in ${%[1]s:-default}", shorten(name))
	}
	return value, nil
}

// isVariable tells whether name can be a shell's variable: letters, digits and
// underscores, no digit first.
func isVariable(name string) bool {
	for i := range len(name) {
		c := name[i]
		if !isBare(c) || c == '-' || i == 0 && c >= '0' && c <= '9' {
			return false
		}
	}
	return name != ""
}
