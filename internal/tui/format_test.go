package tui

import (
	"math"
	"testing"

	"clusterd/internal/proc"
)

func TestFigures(t *testing.T) {
	th := themeFor(utf8NoColor)
	for _, c := range []struct{ got, want string }{
		{count(0), "0"}, {count(9999), "9999"}, {count(10_000), "10.0k"}, {count(123_456), "123k"},
		{count(999_499), "999k"}, {count(999_500), "1.00M"}, {count(4_100_000), "4.10M"}, {count(math.MaxUint64), "18.4E"},
		{few(999), "999"}, {few(1500), "1k"}, {few(1_000_000), "lot"},
		{rate(nil), "-"}, {rate(ptr(0.0)), "0"}, {rate(ptr(0.05)), "<0.1"}, {rate(ptr(7.31)), "7.3"},
		{rate(ptr(9.96)), "10"}, {rate(ptr(410.2)), "410"}, {rate(ptr(1234.0)), "1.23k"}, {rate(ptr(math.NaN())), "-"},
		{percent(nil), "-"}, {percent(ptr(3.24)), "3.2"}, {percent(ptr(99.95)), "100"}, {percent(ptr(1600.0)), "1600"},
		{size(nil), "-"}, {size(ptr(uint64(512))), "512"}, {size(ptr(uint64(30 << 20))), "30.0M"}, {size(ptr(uint64(1000))), "0.98K"},
		{span(-1), "0s"}, {span(42.9), "42s"}, {span(582), "9m42s"}, {span(3599), "59m"}, {span(8040), "2h14m"},
		{span(86399), "23h"}, {span(12*86400 + 3*3600), "12d3h"}, {span(400 * 86400), "400d"},
		{grouped(0), "0"}, {grouped(1204), "1,204"}, {grouped(1_000_000), "1,000,000"},
		{plural(1, "app"), "1 app"}, {plural(0, "app"), "0 apps"},
		{th.requests(nil, true), "-"}, {th.requests(ptr(uint64(12)), true), "12"}, {th.requests(ptr(uint64(12)), false), "≥12"},
		{th.requests(ptr(uint64(4_105_999)), false), "≥4.1M"}, {th.requests(ptr(uint64(123_456)), false), "≥123k"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
		if width(c.got) > 5 && c.want != "1,000,000" && c.want != "0 apps" {
			t.Errorf("%q is wider than its column", c.got)
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
