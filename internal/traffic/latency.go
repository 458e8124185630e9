package traffic

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Percentiles of response latency, from the end of a request's head to the
// first byte of its response.
type Percentiles struct {
	P50, P90, P99 time.Duration
}

const (
	latencyWindow = 30 * time.Second
	latencyMin    = time.Microsecond
	latencyMax    = 10 * time.Minute
)

// recent is a latency histogram over two windows, the running one and the one
// before it, so that what it says is never older than two windows and never
// empty just after a turn. The histograms (two significant digits, about 22 KiB
// each) are made at the first request: a slot that serves nothing costs nothing.
type recent struct {
	mu       sync.Mutex
	now      *hdrhistogram.Histogram
	before   *hdrhistogram.Histogram
	windowAt time.Time // when the running window began
}

func (r *recent) record(d time.Duration) {
	d = min(max(d, latencyMin), latencyMax)
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now == nil {
		r.now, r.before = newHistogram(), newHistogram()
		r.windowAt = now
	}
	r.turn(now)
	// The value was clamped to the histogram's range: it cannot be refused.
	_ = r.now.RecordValue(d.Microseconds())
}

// turn begins a new window when the running one is over.
func (r *recent) turn(now time.Time) {
	age := now.Sub(r.windowAt)
	if age < latencyWindow {
		return
	}
	r.now, r.before = r.before, r.now
	r.now.Reset()
	if age >= 2*latencyWindow {
		r.before.Reset()
	}
	r.windowAt = now
}

func (r *recent) percentiles() (Percentiles, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now == nil {
		return Percentiles{}, false
	}
	r.turn(time.Now())
	both := hdrhistogram.Import(r.now.Export())
	both.Merge(r.before)
	if both.TotalCount() == 0 {
		return Percentiles{}, false
	}
	at := func(q float64) time.Duration {
		return time.Duration(both.ValueAtQuantile(q)) * time.Microsecond
	}
	return Percentiles{P50: at(50), P90: at(90), P99: at(99)}, true
}

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(latencyMin.Microseconds(), latencyMax.Microseconds(), 2)
}
