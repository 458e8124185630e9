package tui

import (
	"math"
	"slices"
	"testing"

	"clusterd/internal/proc"
)

func TestFigures(t *testing.T) {
	th := themeFor(utf8NoColor)
	for _, c := range []struct{ got, want string }{
		{th.requests(nil, ""), "-"}, {th.requests(ptr(uint64(12)), ""), "12"}, {th.requests(ptr(uint64(12)), "≥"), "≥12"},
		{th.requests(ptr(uint64(4_105_999)), "≈"), "≈4.1M"}, {th.requests(ptr(uint64(123_456)), "≥"), "≥123k"},
		{th.rate(ptr(0.0), "≈"), "0"}, {th.rate(nil, "≈"), "-"}, {th.rate(ptr(1234.0), "≈"), "≈1.2k"}, {th.rate(ptr(1234.0), ""), "1.23k"},
		{th.millis(0.0004), "0µs"}, {th.millis(0.8124), "812µs"}, {th.millis(0.9996), "1.0ms"}, {th.millis(9.96), "10ms"},
		{th.millis(999.6), "1.0s"}, {th.millis(99_960), "100s"}, {th.millis(math.NaN()), "-"},
		{percent(0), "0%"}, {percent(0.0001), "<0.1%"}, {percent(0.028), "2.8%"}, {percent(0.0996), "10%"}, {percent(1), "100%"}, {percent(math.NaN()), "-"},
		{few(nil), "-"}, {few(ptr(uint64(9999))), "9999"}, {few(ptr(uint64(12_345))), "12k"}, {few(ptr(uint64(12_345_678))), "999k"},
		{th.mark(proc.About), "≈"}, {th.mark(proc.AtLeast), "≥"}, {th.mark(proc.Exact), ""},
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
	for i, want := range []string{"  █", " ▅█", "▁██"} {
		if got := th.area([]float64{9, 0, 10.5, 21}, 3, 3)[i]; got != want {
			t.Errorf("row %d of the chart is %q, want %q", i, got, want)
		}
	}
	for part, want := range map[float64]string{0: "", 1: "━━━━", 0.5: "━━", 0.13: "╸", 0.01: "", 2: "━━━━"} {
		if got := th.meter(part, 4); got != want {
			t.Errorf("meter(%g) = %q, want %q", part, got, want)
		}
	}
}

func TestCutName(t *testing.T) {
	th := themeFor(utf8NoColor)
	for _, c := range []struct {
		name string
		w    int
		want string
	}{
		{"web/12", 6, "web/12"}, {"notification/12", 10, "notifi…/12"}, {"notification/12", 4, "…/12"},
		{"notification/12", 3, "no…"}, {"notification", 6, "notif…"}, {"漢字漢字/3", 6, "漢…/3"}, {"web/0", 0, ""},
	} {
		if got := th.cutName(c.name, c.w); got != c.want {
			t.Errorf("%s in %d cells: %q, want %q", c.name, c.w, got, c.want)
		}
	}
}

func TestNarrowColumns(t *testing.T) {
	for n, want := range map[uint64]string{999: "999", 4096: "4k", 1 << 40: "lot"} {
		if got := fewer(&n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
	d := newDash(t, withLogs(mixed()), 80, 24, utf8NoColor)
	a := app("big", 80, make([]proc.InstanceSnapshot, 1000)...)
	for i := range a.Instances {
		a.Instances[i] = ready("big", i, 1)
	}
	a.InstancesWanted, a.Ready = 1000, 1000
	if got := d.stateOf(&a); got != "1000/1000" {
		t.Errorf("%q", got)
	}
}

// What has left the chart is not what its top is called after.
func TestChartPeak(t *testing.T) {
	a := app("web", 80, ready("web", 0, 1))
	a.RequestsHistory = append([]float64{1200}, slices.Repeat([]float64{300}, 100)...)
	d := newDash(t, withLogs(cluster(a)), 80, 24, utf8NoColor)
	d.press("enter")
	d.shows("300/s")
	d.hides("1.20k/s")
}
