package tui

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"clusterd/internal/proc"
)

// unknown stands for a figure that nobody knows. Zero is "0".
const unknown = "-"

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

// count writes how many: "9999", "12.3k", "4.10M".
func count(n uint64) string {
	if n < 10_000 {
		return strconv.FormatUint(n, 10)
	}
	return scaled(float64(n), 1000, "kMGTPE")
}

// few is count in three cells.
func few(n int) string {
	switch {
	case n < 1000:
		return strconv.Itoa(n)
	case n < 100_000:
		return strconv.Itoa(n/1000) + "k"
	}
	return "lot"
}

// requests writes a total, marked where it is a lower bound.
func (t *theme) requests(total *uint64, exact bool) string {
	if total == nil {
		return unknown
	}
	if exact {
		return count(*total)
	}
	if *total < 10_000 {
		return t.atLeast + count(*total)
	}
	// Five cells have to hold the mark, too.
	s := count(*total)
	if len(s) > 4 {
		s = fmt.Sprintf("%.1f%c", math.Floor(parse(s)*10)/10, s[len(s)-1])
	}
	if len(s) > 4 {
		s = fmt.Sprintf("%.0f%c", math.Floor(parse(s)), s[len(s)-1])
	}
	return t.atLeast + s
}

// parse reads the number of a scaled figure.
func parse(s string) float64 {
	v, _ := strconv.ParseFloat(s[:len(s)-1], 64)
	return v
}

// rate writes events per second: "0", "<0.1", "7.3", "410", "1.23k".
func rate(v *float64) string {
	switch {
	case v == nil || math.IsNaN(*v) || math.IsInf(*v, 0):
		return unknown
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

// percent writes a share of one core: "3.2", "100", "1600".
func percent(v *float64) string {
	switch {
	case v == nil:
		return unknown
	case *v < 99.95:
		return strconv.FormatFloat(*v, 'f', 1, 64)
	}
	return strconv.FormatFloat(*v, 'f', 0, 64)
}

// size writes bytes with binary units: "512", "30.0M".
func size(v *uint64) string {
	switch {
	case v == nil:
		return unknown
	case *v < 1000:
		return strconv.FormatUint(*v, 10)
	}
	return scaled(float64(*v), 1024, "KMGTPE")
}

// span writes seconds in at most five cells: "42s", "9m42s", "2h14m", "12d3h".
func span(seconds float64) string {
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
	case s < 100*24*3600:
		return fmt.Sprintf("%dd%dh", s/86400, s%86400/3600)
	}
	return fmt.Sprintf("%dd", s/86400)
}

func spanOf(seconds *float64) string {
	if seconds == nil {
		return unknown
	}
	return span(*seconds)
}

// plural writes a number of things: "1 app", "2 apps".
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return strconv.Itoa(n) + " " + thing + "s"
}

// grouped writes a number in full: "1,204".
func grouped(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// shares are the instances' parts of their app's requests in whole percent.
// They add up to 100 wherever one request is known, by giving the points that
// rounding down loses to the largest remainders. An instance whose total is not
// known has -1.
func shares(instances []proc.InstanceSnapshot) []int {
	out := make([]int, len(instances))
	var sum float64
	for i := range instances {
		if n := instances[i].RequestsTotal; n != nil {
			sum += float64(*n)
		} else {
			out[i] = -1
		}
	}
	if sum == 0 {
		return out
	}
	type rest struct {
		i int
		r float64
	}
	var rests []rest
	left := 100
	for i := range instances {
		if out[i] < 0 {
			continue
		}
		exact := float64(*instances[i].RequestsTotal) / sum * 100
		out[i] = int(exact)
		left -= out[i]
		rests = append(rests, rest{i, exact - float64(out[i])})
	}
	slices.SortStableFunc(rests, func(a, b rest) int {
		switch {
		case a.r > b.r:
			return -1
		case a.r < b.r:
			return 1
		}
		return 0
	})
	for k := 0; k < left && k < len(rests); k++ {
		out[rests[k].i]++
	}
	return out
}
