package ebpf

import (
	"testing"
	"time"

	"clusterd/internal/traffic"
)

// lately are the percentiles of what is in the window.
func (w *window) lately(total Latencies, at time.Time) (traffic.Percentiles, bool) {
	n := w.since(total, at)
	return n.latencies().Percentiles()
}

func TestWindow(t *testing.T) {
	var w window
	var total Latencies
	at := time.Unix(1000, 0)
	if _, ok := w.lately(total, at); ok {
		t.Error("percentiles of nothing")
	}
	step := func(d time.Duration) (n int) {
		for LatencyFrom(n+1) <= d {
			n++
		}
		return n
	}
	near := func(got, want time.Duration) bool { return got > want*3/4 && got < want*5/4 }
	total[step(time.Millisecond)] = 90
	total[step(100*time.Millisecond)] = 10
	p, ok := w.lately(total, at.Add(time.Second))
	if !ok || !near(p.P50, time.Millisecond) || !near(p.P90, time.Millisecond) || !near(p.P99, 100*time.Millisecond) {
		t.Errorf("%+v %v", p, ok)
	}
	// Those of the window before still count, and those before it do not.
	if p, ok = w.lately(total, at.Add(windowLength)); !ok || !near(p.P50, time.Millisecond) {
		t.Errorf("after one window: %+v %v", p, ok)
	}
	total[step(10*time.Millisecond)] = 1
	if p, ok = w.lately(total, at.Add(2*windowLength)); !ok || !near(p.P50, 10*time.Millisecond) {
		t.Errorf("after two windows: %+v %v", p, ok)
	}
	if p, ok = w.lately(total, at.Add(5*windowLength)); ok {
		t.Errorf("after long: %+v", p)
	}
}
