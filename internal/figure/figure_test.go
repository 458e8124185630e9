package figure

import (
	"math"
	"testing"
	"unicode/utf8"
)

func ptr[T any](v T) *T { return &v }

func TestColumns(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{Count(0), "0"}, {Count(9999), "9999"}, {Count(10_000), "10.0k"}, {Count(123_456), "123k"},
		{Count(999_499), "999k"}, {Count(999_500), "1.00M"}, {Count(4_100_000), "4.10M"}, {Count(math.MaxUint64), "18.4E"},
		{Few(999), "999"}, {Few(1500), "1k"}, {Few(1_000_000), "lot"},
		{Rate(nil), "-"}, {Rate(ptr(0.0)), "0"}, {Rate(ptr(0.05)), "<0.1"}, {Rate(ptr(7.31)), "7.3"},
		{Rate(ptr(9.96)), "10"}, {Rate(ptr(410.2)), "410"}, {Rate(ptr(1234.0)), "1.23k"}, {Rate(ptr(math.NaN())), "-"},
		{Percent(nil), "-"}, {Percent(ptr(3.24)), "3.2"}, {Percent(ptr(99.95)), "100"}, {Percent(ptr(1600.0)), "1600"},
		{Size(nil), "-"}, {Size(ptr(uint64(512))), "512"}, {Size(ptr(uint64(30 << 20))), "30.0M"}, {Size(ptr(uint64(1000))), "0.98K"},
		{Span(-1), "0s"}, {Span(42.9), "42s"}, {Span(582), "9m42s"}, {Span(3599), "59m"}, {Span(8040), "2h14m"},
		{Span(86399), "23h"}, {Span(9*86400 + 23*3600), "9d23h"}, {Span(12*86400 + 13*3600), "12d"}, {Span(400 * 86400), "400d"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
		if utf8.RuneCountInString(c.got) > 5 {
			t.Errorf("%q is wider than its column", c.got)
		}
	}
}

func TestSentences(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{Grouped(0), "0"}, {Grouped(1204), "1,204"}, {Grouped(1_000_000), "1,000,000"},
		{Plural(1, "app"), "1 app"}, {Plural(0, "app"), "0 apps"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}
