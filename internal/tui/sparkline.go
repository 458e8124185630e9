package tui

import (
	"math"
	"strings"
)

// sparkline draws the last w values, the newest at the right, on a scale from
// zero to the largest of all values, so that the scale stays while the line
// moves. Where there are fewer values it is padded at the left.
func (t *theme) sparkline(values []float64, w int) string {
	if w <= 0 {
		return ""
	}
	top := peak(values)
	if len(values) > w {
		values = values[len(values)-w:]
	}
	var b strings.Builder
	b.WriteString(spaces(w - len(values)))
	for _, v := range values {
		b.WriteString(t.spark[level(v, top, len(t.spark)-1)])
	}
	return b.String()
}

// peak is the largest value, or 0.
func peak(values []float64) float64 {
	top := 0.0
	for _, v := range values {
		if v > top { // never for NaN
			top = v
		}
	}
	return top
}

// level is the step, of steps above zero, that v is on. Only zero is 0.
func level(v, top float64, steps int) int {
	if top <= 0 || !(v > 0) {
		return 0
	}
	return min(max(int(math.Ceil(v/top*float64(steps))), 1), steps)
}

// meter draws a part of a whole as a bar of at most w cells.
func (t *theme) meter(part float64, w int) string {
	steps := len(t.bar)
	n := int(math.Round(min(max(part, 0), 1) * float64(w*steps)))
	s := strings.Repeat(t.bar[steps-1], n/steps)
	if rest := n % steps; rest > 0 {
		s += t.bar[rest-1]
	}
	return s
}

// area draws the last w values as a chart of so many rows, the top one first.
func (t *theme) area(values []float64, w, rows int) []string {
	if len(values) > w {
		values = values[len(values)-w:]
	}
	top := peak(values)
	steps := len(t.spark) - 1
	lines := make([]string, rows)
	var b strings.Builder
	for row := range lines {
		b.Reset()
		below := (rows - 1 - row) * steps
		for _, v := range values {
			n := level(v, top, rows*steps) - below
			switch {
			case n > 0:
				b.WriteString(t.spark[min(n, steps)])
			case row == rows-1:
				b.WriteString(t.spark[0])
			default:
				b.WriteByte(' ')
			}
		}
		lines[row] = b.String()
	}
	return lines
}
