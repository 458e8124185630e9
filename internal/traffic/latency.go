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

// Latencies are how long responses took, with two significant digits. The zero
// value has none; a value does not change.
type Latencies struct{ histogram *hdrhistogram.Histogram }

// LatenciesOf makes Latencies of responses of which is known how many took about
// how long.
func LatenciesOf(each func(yield func(d time.Duration, n uint64) bool)) Latencies {
	var h *hdrhistogram.Histogram
	for d, n := range each {
		if n == 0 {
			continue
		}
		if h == nil {
			h = newHistogram()
		}
		// Within the histogram's range, it cannot be refused.
		_ = h.RecordValues(clamp(d).Microseconds(), int64(n))
	}
	return Latencies{h}
}

// Merge are both.
func (l Latencies) Merge(o Latencies) Latencies {
	switch {
	case l.histogram == nil:
		return o
	case o.histogram == nil:
		return l
	}
	both := hdrhistogram.Import(l.histogram.Export())
	both.Merge(o.histogram)
	return Latencies{both}
}

// Percentiles are not ok where there are no latencies.
func (l Latencies) Percentiles() (p Percentiles, ok bool) {
	if l.Count() == 0 {
		return p, false
	}
	at := func(q float64) time.Duration {
		return time.Duration(l.histogram.ValueAtQuantile(q)) * time.Microsecond
	}
	return Percentiles{P50: at(50), P90: at(90), P99: at(99)}, true
}

// Count is how many there are.
func (l Latencies) Count() uint64 {
	if l.histogram == nil {
		return 0
	}
	return uint64(l.histogram.TotalCount())
}

// Sum is that of all of them.
func (l Latencies) Sum() time.Duration {
	if l.Count() == 0 {
		return 0
	}
	return time.Duration(l.histogram.Mean() * float64(l.histogram.TotalCount()) * float64(time.Microsecond))
}

// Within are how many took no longer than each of the bounds, which ascend.
func (l Latencies) Within(bounds []time.Duration) []uint64 {
	out := make([]uint64, len(bounds))
	if l.Count() == 0 {
		return out
	}
	step, sum := 0, uint64(0)
	for _, bar := range l.histogram.Distribution() {
		for ; step < len(bounds) && bar.To > bounds[step].Microseconds(); step++ {
			out[step] = sum
		}
		sum += uint64(bar.Count)
	}
	for ; step < len(bounds); step++ {
		out[step] = sum
	}
	return out
}

// LatenciesState is how many responses took how long, by the microseconds: one
// value stands for all that the histogram does not tell from it.
type LatenciesState map[int64]int64

// State is all that l says; nil of none.
func (l Latencies) State() LatenciesState { return stateOf(l.histogram) }

// TakeLatencies are those of a state.
func TakeLatencies(st LatenciesState) Latencies {
	if len(st) == 0 {
		return Latencies{}
	}
	return Latencies{st.histogram()}
}

func stateOf(h *hdrhistogram.Histogram) LatenciesState {
	if h == nil || h.TotalCount() == 0 {
		return nil
	}
	st := LatenciesState{}
	for _, bar := range h.Distribution() {
		if bar.Count > 0 {
			st[bar.From] = bar.Count
		}
	}
	return st
}

func (st LatenciesState) histogram() *hdrhistogram.Histogram {
	h := newHistogram()
	for us, n := range st {
		_ = h.RecordValues(us, n) // of a histogram like this one: not refused
	}
	return h
}

const (
	latencyWindow = 30 * time.Second
	latencyMin    = time.Microsecond
	latencyMax    = 10 * time.Minute
)

func clamp(d time.Duration) time.Duration { return min(max(d, latencyMin), latencyMax) }

// recent records latencies in two windows, the running one and the one before
// it, so that what it says is never older than two windows and never empty just
// after a turn; what is older is kept apart. The histograms (two significant
// digits, about 22 KiB each) are made at the first request: a slot that serves
// nothing costs nothing.
type recent struct {
	mu       sync.Mutex
	now      *hdrhistogram.Histogram
	before   *hdrhistogram.Histogram
	past     *hdrhistogram.Histogram
	windowAt time.Time // when the running window began
}

func (r *recent) record(d time.Duration) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now == nil {
		r.now, r.before, r.past = newHistogram(), newHistogram(), newHistogram()
		r.windowAt = now
	}
	r.turn(now)
	_ = r.now.RecordValue(clamp(d).Microseconds()) // within the range: not refused
}

// turn begins a new window when the running one is over.
func (r *recent) turn(now time.Time) {
	age := now.Sub(r.windowAt)
	if age < latencyWindow {
		return
	}
	retire := func(h *hdrhistogram.Histogram) {
		r.past.Merge(h)
		h.Reset()
	}
	retire(r.before)
	r.now, r.before = r.before, r.now
	if age >= 2*latencyWindow {
		retire(r.before)
	}
	r.windowAt = now
}

// RecentState is the latencies of Counters, in their windows.
type RecentState struct {
	Now, Before, Past LatenciesState
	WindowAt          time.Time // zero: no request has been answered yet
}

func (r *recent) state() RecentState {
	r.mu.Lock()
	defer r.mu.Unlock()
	return RecentState{stateOf(r.now), stateOf(r.before), stateOf(r.past), r.windowAt}
}

func (r *recent) restore(st RecentState) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if st.WindowAt.IsZero() {
		return
	}
	r.now, r.before, r.past = st.Now.histogram(), st.Before.histogram(), st.Past.histogram()
	r.windowAt = sinceThen(st.WindowAt)
}

// lately is the two windows.
func (r *recent) lately() Latencies {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now == nil {
		return Latencies{}
	}
	r.turn(time.Now())
	return merged(r.now, r.before)
}

// ever is all that was recorded.
func (r *recent) ever() Latencies {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now == nil {
		return Latencies{}
	}
	return merged(r.now, r.before, r.past)
}

func merged(first *hdrhistogram.Histogram, others ...*hdrhistogram.Histogram) Latencies {
	all := hdrhistogram.Import(first.Export())
	for _, h := range others {
		all.Merge(h)
	}
	return Latencies{all}
}

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(latencyMin.Microseconds(), latencyMax.Microseconds(), 2)
}
