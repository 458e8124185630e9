package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// parts are the keys of a table within an app, such as limits, each with what
// reads it.
type parts map[string]func(field) bool

// read gives every key of the table f to its part. The example says what such
// a table looks like.
func (p parts) read(f field, example string) bool {
	if _, ok := f.value.(map[string]any); !ok {
		return f.must("a table, such as "+example, "")
	}
	good := true
	for _, k := range f.keys {
		set := p[k.name]
		if set == nil {
			f.r.add(k.at, "unknown key %s in %s%s", cite(k.name), f.name, didYouMean(k.name, slices.Sorted(maps.Keys(p))))
			good = false
			continue
		}
		good = set(field{k, f.name + "." + k.name, f.r}) && good
	}
	return good
}

// strings is the value of a string, or of an array of strings.
func (f field) strings(be string) ([]string, bool) {
	if _, ok := f.value.([]any); !ok {
		s, ok := f.expanded(be)
		return []string{s}, ok
	}
	out, good := make([]string, len(f.items)), true
	for i, item := range f.items {
		s, ok := field{item, "an element of " + f.name, f.r}.expanded("a string")
		out[i], good = s, good && ok
	}
	return out, good
}

// of makes a setter of a whole app read one part of one.
func (s setter) of(a *App) func(field) bool {
	return func(f field) bool { return s(f, a) }
}

// bytesPer are the units that a size may have.
var bytesPer = []struct {
	unit  string
	bytes float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1},
}

// size is the value of a number of bytes with a unit.
func (f field) size() (int64, bool) {
	const be = `a size with a unit, such as "512MiB" or "1.5GB"`
	s, isText := f.value.(string)
	for _, u := range bytesPer {
		digits, ok := strings.CutSuffix(s, u.unit)
		if n, err := strconv.ParseFloat(strings.TrimSpace(digits), 64); ok && err == nil && n > 0 && n*u.bytes < 1<<60 {
			return int64(n * u.bytes), true
		}
	}
	hint := ""
	if n, isNumber := f.value.(int64); isNumber && !isText && n > 0 {
		hint = fmt.Sprintf(`write "%dMiB" for mebibytes, or "%[1]dB" for bytes`, n)
	}
	return 0, f.must(be, hint)
}
