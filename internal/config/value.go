package config

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// field is one value while it is read: where it stands, and the name that
// errors call it by.
type field struct {
	*node
	name string // "port", "env.HOME"
	r    *reader
}

// setter reads the value of one key into an app. It answers false, and leaves
// the app as it was, when the value is wrong; then it has reported why.
type setter func(f field, a *App) bool

// must reports that the value is not what it must be. The hint, if any, says
// what to write instead.
func (f field) must(be string, hint string) bool {
	if hint != "" {
		hint = "; " + hint
	}
	f.r.add(f.valueAt, "%s must be %s, not %s%s", f.name, be, f.shown(), hint)
	return false
}

// fail reports something else about the value.
func (f field) fail(format string, args ...any) bool {
	f.r.add(f.valueAt, "%s %s", f.name, fmt.Sprintf(format, args...))
	return false
}

// shown is how an error repeats the value.
func (f field) shown() string {
	switch v := f.value.(type) {
	case string:
		return cite(v)
	case map[string]any:
		return "a table"
	case []any, []map[string]any:
		return "an array"
	}
	return shorten(f.source)
}

// text is the value of a string; be says what must stand there.
func (f field) text(be string) (string, bool) {
	s, ok := f.value.(string)
	if !ok {
		return "", f.must(be, "")
	}
	if strings.ContainsRune(s, 0) {
		return "", f.fail("must not contain a NUL character")
	}
	return s, true
}

// expanded is the text of a string with its ${VAR} references replaced.
func (f field) expanded(be string) (string, bool) {
	if _, isText := f.value.(string); !isText && f.source != "" {
		return "", f.must(be, "write "+cite(f.source))
	}
	s, ok := f.text(be)
	if !ok {
		return "", false
	}
	s, err := expand(s, f.r.variable)
	if err != nil {
		return "", f.fail("cannot be expanded: %v", err)
	}
	return s, true
}

// between is the value of an integer from min to max. The maximum
// math.MaxInt32 stands for no bound that a user would meet.
func (f field) between(min, max int64, be string) (int, bool) {
	n, ok := f.value.(int64)
	if ok && n >= min && n <= max {
		return int(n), true
	}
	hint := ""
	if s, isText := f.value.(string); isText {
		if n, err := strconv.ParseInt(s, 10, 64); err == nil && n >= min && n <= max {
			hint = fmt.Sprintf("write %d without quotes", n)
		}
	}
	return 0, f.must(be, hint)
}

func integer(min, max int64, in func(*App) *int) setter {
	be := fmt.Sprintf("an integer from %d to %d", min, max)
	if max == math.MaxInt32 {
		be = fmt.Sprintf("an integer of %d or more", min)
	}
	return func(f field, a *App) bool {
		n, ok := f.between(min, max, be)
		if ok {
			*in(a) = n
		}
		return ok
	}
}

func boolean(in func(*App) *bool) setter {
	return func(f field, a *App) bool {
		b, ok := f.value.(bool)
		if !ok {
			return f.must("true or false", "")
		}
		*in(a) = b
		return true
	}
}

// word reads one of several words.
func word[W ~string](in func(*App) *W, words []W) setter {
	names := make([]string, len(words))
	for i, w := range words {
		names[i] = string(w)
	}
	return func(f field, a *App) bool {
		s, isText := f.value.(string)
		switch {
		case slices.Contains(words, W(s)):
			*in(a) = W(s)
			return true
		case isText:
			return f.must(anyOf(names), strings.TrimPrefix(didYouMean(s, names), "; "))
		}
		return f.must(anyOf(names), "")
	}
}

// least says which durations a key takes.
type least int

const (
	positive least = iota // more than none at all
	zeroToo               // also "0s": at once
)

func duration(least least, in func(*App) *time.Duration) setter {
	const be = `a duration with a unit, such as "100ms", "10s" or "5m"`
	return func(f field, a *App) bool {
		s, isText := f.value.(string)
		d, err := time.ParseDuration(s)
		switch {
		case !isText || err != nil:
			hint := ""
			if digits := strings.Trim(f.source, `"'`); digits != "" && strings.Trim(digits, "0123456789") == "" {
				hint = fmt.Sprintf(`write "%ss" for seconds`, digits)
			}
			return f.must(be, hint)
		case least == positive && d <= 0:
			return f.must(`more than "0s"`, "")
		case d < 0:
			return f.must(`"0s" or more`, "")
		}
		*in(a) = d
		return true
	}
}
