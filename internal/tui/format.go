package tui

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"clusterd/internal/figure"
	"clusterd/internal/proc"
)

// requests writes a total, marked where it is an estimate or a lower bound.
func (t *theme) requests(total *uint64, mark string) string {
	if total == nil {
		return figure.Unknown
	}
	return marking(mark, figure.Count(*total))
}

// rate writes events per second, marked where they are an estimate.
func (t *theme) rate(v *float64, mark string) string {
	if s := figure.Rate(v); s != figure.Unknown && s != "0" {
		return marking(mark, s)
	}
	return figure.Rate(v)
}

// marking puts a mark before a figure, both within five cells.
func marking(mark, s string) string {
	if mark == "" || s == "" {
		return s
	}
	unit := s[len(s)-1:]
	if len(s) > 4 && unit >= "A" {
		s = fmt.Sprintf("%.1f%s", math.Floor(parse(s)*10)/10, unit)
	}
	if len(s) > 4 && unit >= "A" {
		s = fmt.Sprintf("%.0f%s", math.Floor(parse(s)), unit)
	}
	return mark + s
}

// mark says what a figure of requests is worth: "" for an exact one.
func (t *theme) mark(k proc.Kind) string {
	switch k {
	case proc.About:
		return t.about
	case proc.AtLeast:
		return t.atLeast
	}
	return ""
}

// millis writes a latency in at most five cells: "812µs", "2.1ms", "7.5s".
func (t *theme) millis(ms float64) string {
	switch {
	case math.IsNaN(ms) || ms < 0:
		return figure.Unknown
	case ms < 0.9995:
		return fmt.Sprintf("%.0f%ss", ms*1000, t.micro)
	case ms < 9.95:
		return fmt.Sprintf("%.1fms", ms)
	case ms < 999.5:
		return fmt.Sprintf("%.0fms", ms)
	case ms < 99_950:
		return fmt.Sprintf("%.1fs", ms/1000)
	}
	return fmt.Sprintf("%.0fs", ms/1000)
}

// latency is one percentile of an instance.
func (t *theme) latency(l *proc.Latency, of func(*proc.Latency) float64) string {
	if l == nil {
		return figure.Unknown
	}
	return t.millis(of(l))
}

// percent writes a part of a whole in at most five cells: "0%", "0.1%", "12%".
func percent(part float64) string {
	switch {
	case math.IsNaN(part):
		return figure.Unknown
	case part == 0:
		return "0%"
	case part < 0.001:
		return "<0.1%"
	case part < 0.0995:
		return fmt.Sprintf("%.1f%%", part*100)
	}
	return fmt.Sprintf("%.0f%%", part*100)
}

// parse reads the number of a scaled figure.
func parse(s string) float64 {
	v, _ := strconv.ParseFloat(s[:len(s)-1], 64)
	return v
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
