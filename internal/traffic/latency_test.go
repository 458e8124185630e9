package traffic

import (
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// resolution is what two significant digits leave uncertain of a value.
const resolution = 0.01

func checkNear(t *testing.T, what string, got, want time.Duration) {
	t.Helper()
	off := (got - want).Abs()
	if off > time.Duration(float64(want)*resolution)+time.Microsecond {
		t.Errorf("%s is %v, want %v within %v%%", what, got, want, 100*resolution)
	}
}

// Percentiles are those of the values recorded, within the histogram's
// resolution, over the whole range of what a response may take.
func TestPercentiles(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	tests := []struct {
		name string
		n    int
		next func(i int) time.Duration
	}{
		{"one", 1, func(int) time.Duration { return 42 * time.Millisecond }},
		{"all the same", 1000, func(int) time.Duration { return 7300 * time.Microsecond }},
		{"evenly spread", 10_000, func(i int) time.Duration { return time.Duration(i+1) * 100 * time.Microsecond }},
		{"two humps", 1000, func(i int) time.Duration {
			if i%20 == 0 {
				return 2 * time.Second
			}
			return time.Millisecond
		}},
		{"from microseconds to minutes", 5000, func(int) time.Duration {
			return time.Duration(float64(time.Microsecond) * float64(uint64(1)<<random.IntN(29)) * (1 + random.Float64()))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var r recent
			var all []time.Duration
			for i := range tt.n {
				d := tt.next(i)
				r.record(d)
				all = append(all, d)
			}
			slices.Sort(all)
			got, ok := r.lately().Percentiles()
			if !ok {
				t.Fatal("no percentiles")
			}
			at := func(q float64) time.Duration { return all[min(len(all)-1, int(q*float64(len(all))+0.5)-1)] }
			if len(all) == 1 {
				at = func(float64) time.Duration { return all[0] }
			}
			checkNear(t, "the median", got.P50, at(0.50))
			checkNear(t, "the 90th percentile", got.P90, at(0.90))
			checkNear(t, "the 99th percentile", got.P99, at(0.99))
		})
	}
}

// What is out of range counts as the nearest that is in it.
func TestLatencyIsClamped(t *testing.T) {
	for _, tt := range []struct{ record, want time.Duration }{
		{-time.Second, latencyMin},
		{0, latencyMin},
		{time.Nanosecond, latencyMin},
		{latencyMax, latencyMax},
		{time.Hour, latencyMax},
		{1<<63 - 1, latencyMax},
	} {
		var r recent
		r.record(tt.record)
		got, ok := r.lately().Percentiles()
		if !ok {
			t.Errorf("%v was refused", tt.record)
			continue
		}
		checkNear(t, tt.record.String(), got.P50, tt.want)
	}
}

// A value is there for one window at least and for two at most, whether it is
// recording or reading that turns the windows.
func TestLatencyWindows(t *testing.T) {
	const old, young = 100 * time.Millisecond, time.Millisecond
	tests := []struct {
		name  string
		waits []time.Duration // between the records, the first of which is old
		ask   time.Duration   // after the last
		want  time.Duration   // the 99th percentile; 0: nothing to say
	}{
		{"at once", nil, 0, old},
		{"end of the first window", nil, latencyWindow - 1, old},
		{"second window", nil, latencyWindow, old},
		{"end of the second window", nil, 2*latencyWindow - 1, old},
		{"both windows over", nil, 2 * latencyWindow, 0},
		{"long silence", nil, time.Hour, 0},
		{"young one in the same window", []time.Duration{time.Second}, 0, old},
		{"young one in the next window", []time.Duration{latencyWindow}, 0, old},
		{"old one is gone first", []time.Duration{latencyWindow}, latencyWindow, young},
		{"then the young one", []time.Duration{latencyWindow}, 2 * latencyWindow, 0},
		{"young one after silence", []time.Duration{time.Hour}, 0, young},
		{"steady traffic", slices.Repeat([]time.Duration{10 * time.Second}, 7), 0, young},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var c Counters
				c.RequestDone(200, old)
				for _, wait := range tt.waits {
					time.Sleep(wait)
					c.RequestDone(200, young)
				}
				time.Sleep(tt.ask)
				got, ok := c.Recent().Percentiles()
				if ok != (tt.want > 0) {
					t.Fatalf("percentiles %v, known: %v", got, ok)
				}
				if ok {
					checkNear(t, "the 99th percentile", got.P99, tt.want)
				}
			})
		})
	}
}

// Asking often does not shorten what is remembered.
func TestAskingLeavesWindowsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Counters
		c.RequestDone(200, time.Millisecond)
		for range int(2*latencyWindow/time.Second) - 1 {
			time.Sleep(time.Second)
			if _, ok := c.Recent().Percentiles(); !ok {
				t.Fatal("forgotten before its time")
			}
		}
		time.Sleep(time.Second)
		if p, ok := c.Recent().Percentiles(); ok {
			t.Errorf("still there after two windows: %v", p)
		}
	})
}

// How many took no longer than a bound is exact where the bound is between the
// values, and never falls.
func TestWithin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Counters
		if l := c.Latencies(); l.Count() != 0 || l.Sum() != 0 || !slices.Equal(l.Within([]time.Duration{time.Second}), []uint64{0}) {
			t.Errorf("of nothing: %d, %v", l.Count(), l.Sum())
		}
		for _, x := range []struct {
			d time.Duration
			n int
		}{{50 * time.Microsecond, 3}, {900 * time.Microsecond, 5}, {1500 * time.Microsecond, 2}, {7 * time.Second, 1}, {time.Minute, 4}} {
			for range x.n {
				c.RequestDone(200, x.d)
			}
			time.Sleep(latencyWindow)
		}
		bounds := []time.Duration{time.Microsecond, 100 * time.Microsecond, time.Millisecond, 2 * time.Millisecond, 10 * time.Second, time.Hour}
		all, recent := c.Latencies(), c.Recent()
		if got, want := all.Within(bounds), []uint64{0, 3, 8, 10, 11, 15}; !slices.Equal(got, want) {
			t.Errorf("within %v: %v, want %v", bounds, got, want)
		}
		if got, want := recent.Within(bounds), []uint64{0, 0, 0, 0, 0, 4}; !slices.Equal(got, want) {
			t.Errorf("recent ones within %v: %v, want %v", bounds, got, want)
		}
		checkNear(t, "the sum", all.Sum(), 3*50*time.Microsecond+5*900*time.Microsecond+2*1500*time.Microsecond+7*time.Second+4*time.Minute)
		if all.Count() != 15 {
			t.Errorf("%d of 15", all.Count())
		}
		if both := all.Merge(recent).Merge(Latencies{}); both.Count() != 19 || all.Count() != 15 {
			t.Errorf("merged: %d", both.Count())
		}
	})
}
