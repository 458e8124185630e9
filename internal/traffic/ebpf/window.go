package ebpf

import (
	"time"

	"clusterd/internal/traffic"
)

// windowLength is how long latencies gather before the older ones are left out.
const windowLength = 30 * time.Second

// window cuts the last one or two windowLengths out of Latencies,
// which are totals. It is not safe for concurrent use.
type window struct {
	Began  time.Time
	Now    Latencies // when the running window began
	Before Latencies // when the one before it did
}

// due tells that the running window is over, or has not begun.
func (w *window) due(at time.Time) bool { return at.Sub(w.Began) >= windowLength }

// since is what came since the window before the running one began.
func (w *window) since(total Latencies, at time.Time) Latencies {
	switch age := at.Sub(w.Began); {
	case w.Began.IsZero():
		w.Began = at
	case age >= 2*windowLength:
		w.Began, w.Before, w.Now = at, total, total
	case age >= windowLength:
		w.Began, w.Before, w.Now = at, w.Now, total
	}
	for step := range total {
		total[step] -= w.Before[step]
	}
	return total
}

// latencies takes the middle of a step for all in it.
func (l *Latencies) latencies() traffic.Latencies {
	return traffic.LatenciesOf(func(yield func(time.Duration, uint64) bool) {
		for step, n := range l {
			if !yield((LatencyFrom(step)+LatencyFrom(step+1))/2, n) {
				return
			}
		}
	})
}
