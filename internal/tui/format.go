package tui

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"clusterd/internal/figure"
	"clusterd/internal/proc"
)

// requests writes a total, marked where it is a lower bound.
func (t *theme) requests(total *uint64, exact bool) string {
	if total == nil {
		return figure.Unknown
	}
	if exact {
		return figure.Count(*total)
	}
	if *total < 10_000 {
		return t.atLeast + figure.Count(*total)
	}
	// Five cells have to hold the mark, too.
	s := figure.Count(*total)
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
