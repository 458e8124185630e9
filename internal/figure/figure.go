// Package figure writes numbers for people: short, in columns of at most five
// cells, and "-" where nobody knows.
package figure

import (
	"fmt"
	"math"
	"strconv"
)

// Unknown stands for a figure that nobody knows. Zero is "0".
const Unknown = "-"

// scaled writes v in at most five cells: three digits and the unit's letter.
func scaled(v, base float64, units string) string {
	i := -1
	for i+1 < len(units) && (i < 0 || v >= 999.5) {
		v /= base
		i++
	}
	var s string
	switch {
	case v < 9.995:
		s = strconv.FormatFloat(v, 'f', 2, 64)
	case v < 99.95:
		s = strconv.FormatFloat(v, 'f', 1, 64)
	default:
		s = strconv.FormatFloat(v, 'f', 0, 64)
	}
	return s + units[i:i+1]
}

// Count writes how many: "9999", "12.3k", "4.10M".
func Count(n uint64) string {
	if n < 10_000 {
		return strconv.FormatUint(n, 10)
	}
	return scaled(float64(n), 1000, "kMGTPE")
}

// Few is count in three cells.
func Few(n int) string {
	switch {
	case n < 1000:
		return strconv.Itoa(n)
	case n < 100_000:
		return strconv.Itoa(n/1000) + "k"
	}
	return "lot"
}

// Rate writes events per second: "0", "<0.1", "7.3", "410", "1.23k".
func Rate(v *float64) string {
	switch {
	case v == nil || math.IsNaN(*v) || math.IsInf(*v, 0):
		return Unknown
	case *v <= 0:
		return "0"
	case *v < 0.1:
		return "<0.1"
	case *v < 9.95:
		return strconv.FormatFloat(*v, 'f', 1, 64)
	case *v < 999.5:
		return strconv.FormatFloat(*v, 'f', 0, 64)
	}
	return scaled(*v, 1000, "kMGTPE")
}

// Percent writes a share of one core: "3.2", "100", "1600".
func Percent(v *float64) string {
	switch {
	case v == nil:
		return Unknown
	case *v < 99.95:
		return strconv.FormatFloat(*v, 'f', 1, 64)
	}
	return strconv.FormatFloat(*v, 'f', 0, 64)
}

// Size writes bytes with binary units: "512", "30.0M".
func Size(v *uint64) string {
	switch {
	case v == nil:
		return Unknown
	case *v < 1000:
		return strconv.FormatUint(*v, 10)
	}
	return scaled(float64(*v), 1024, "KMGTPE")
}

// Span writes seconds in at most five cells: "42s", "9m42s", "2h14m", "9d23h", "12d".
func Span(seconds float64) string {
	s := int64(max(seconds, 0))
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	case s < 3600:
		return fmt.Sprintf("%dm", s/60)
	case s < 10*3600:
		return fmt.Sprintf("%dh%02dm", s/3600, s%3600/60)
	case s < 24*3600:
		return fmt.Sprintf("%dh", s/3600)
	case s < 10*24*3600:
		return fmt.Sprintf("%dd%dh", s/86400, s%86400/3600)
	}
	return fmt.Sprintf("%dd", s/86400)
}

func SpanOf(seconds *float64) string {
	if seconds == nil {
		return Unknown
	}
	return Span(*seconds)
}

// Plural writes a number of things: "1 app", "2 apps".
func Plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return strconv.Itoa(n) + " " + thing + "s"
}

// Grouped writes a number in full: "1,204".
func Grouped(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
