package tui

import (
	"math"
	"testing"

	"clusterd/internal/proc"
)

func TestRequests(t *testing.T) {
	th := themeFor(utf8NoColor)
	for _, c := range []struct{ got, want string }{
		{th.requests(nil, true), "-"}, {th.requests(ptr(uint64(12)), true), "12"}, {th.requests(ptr(uint64(12)), false), "≥12"},
		{th.requests(ptr(uint64(4_105_999)), false), "≥4.1M"}, {th.requests(ptr(uint64(123_456)), false), "≥123k"},
	} {
		if c.got != c.want || width(c.got) > 5 {
			t.Errorf("%q, want %q, in at most 5 cells", c.got, c.want)
		}
	}
}

func TestShares(t *testing.T) {
	of := func(totals ...int) []int {
		var in []proc.InstanceSnapshot
		for _, n := range totals {
			s := proc.InstanceSnapshot{}
			if n >= 0 {
				s.RequestsTotal = ptr(uint64(n))
			}
			in = append(in, s)
		}
		return shares(in)
	}
	for _, c := range []struct{ got, want []int }{
		{of(), nil},
		{of(0, 0), []int{0, 0}},
		{of(1, 1, 1), []int{34, 33, 33}},
		{of(-1, 5), []int{-1, 100}},
		{of(999, 1), []int{100, 0}},
		{of(310, 290), []int{52, 48}},
	} {
		sum := 0
		for i := range c.want {
			if c.got[i] != c.want[i] {
				t.Errorf("%v, want %v", c.got, c.want)
			}
			sum += max(c.got[i], 0)
		}
		if sum != 0 && sum != 100 {
			t.Errorf("%v adds up to %d", c.got, sum)
		}
	}
}

func TestSparkline(t *testing.T) {
	th := themeFor(utf8NoColor)
	for _, c := range []struct {
		values []float64
		w      int
		want   string
	}{
		{nil, 3, "   "},
		{[]float64{0, 0}, 3, " ▁▁"},
		{[]float64{0, 1, 4, 8}, 4, "▁▂▅█"},
		{[]float64{100, 1, 1}, 2, "▂▂"}, // the scale is that of everything
		{[]float64{1}, 0, ""},
		{[]float64{math.NaN(), 1}, 2, "▁█"},
	} {
		if got := th.sparkline(c.values, c.w); got != c.want {
			t.Errorf("sparkline(%v, %d) = %q, want %q", c.values, c.w, got, c.want)
		}
	}
	for part, want := range map[float64]string{0: "", 1: "━━━━", 0.5: "━━", 0.13: "╸", 0.01: "", 2: "━━━━"} {
		if got := th.meter(part, 4); got != want {
			t.Errorf("meter(%g) = %q, want %q", part, got, want)
		}
	}
}
