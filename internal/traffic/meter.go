package traffic

import "time"

// meterSpan is how many seconds a Meter remembers.
const meterSpan = 120

// Meter turns a growing total, read once a second, into rates. The zero value
// is ready to use. It is not safe for concurrent use.
type Meter struct {
	reads []reading // a ring, which grows to its length at first
	n     int       // readings ever
}

type reading struct {
	at    time.Time
	total uint64
}

// Read takes a reading of the total; call it about once a second.
func (m *Meter) Read(at time.Time, total uint64) {
	if len(m.reads) <= meterSpan {
		m.reads = append(m.reads, reading{at, total})
	} else {
		m.reads[m.n%len(m.reads)] = reading{at, total}
	}
	m.n++
}

// MeterState is what a Meter remembers, oldest first. Times are those of the wall
// clock, as a reading of the monotonic one says nothing to another program.
type MeterState struct {
	At     []int64 // in nanoseconds of Unix time
	Totals []uint64
}

// State is all that m remembers.
func (m *Meter) State() MeterState {
	var st MeterState
	for i := m.kept() - 1; i >= 0; i-- {
		r := m.back(i)
		st.At = append(st.At, r.at.UnixNano())
		st.Totals = append(st.Totals, r.total)
	}
	return st
}

// TakeMeter makes a Meter that goes on from a state.
func TakeMeter(st MeterState) Meter {
	var m Meter
	for i, at := range st.At[:min(len(st.At), len(st.Totals))] {
		m.Read(sinceThen(time.Unix(0, at)), st.Totals[i])
	}
	return m
}

// sinceThen is a time of the wall clock with what the monotonic clock must have
// said: from here on, it does not matter if the former is set.
func sinceThen(wall time.Time) time.Time {
	now := time.Now()
	return now.Add(wall.Sub(now))
}

// Rate is the mean growth per second over about the last window, up to now,
// when the total is known to be total. ok is false before the first reading.
func (m *Meter) Rate(now time.Time, total uint64, window time.Duration) (perSecond float64, ok bool) {
	if m.n == 0 {
		return 0, false
	}
	first := m.back(0)
	for i := 1; i < m.kept() && now.Sub(first.at) < window; i++ {
		first = m.back(i)
	}
	passed := now.Sub(first.at).Seconds()
	if passed <= 0 || total < first.total {
		return 0, true
	}
	return float64(total-first.total) / passed, true
}

// History is the growth per second between the readings, oldest first, at most
// 120 of them.
func (m *Meter) History() []float64 {
	var out []float64
	for i := m.kept() - 1; i > 0; i-- {
		from, to := m.back(i), m.back(i-1)
		if passed := to.at.Sub(from.at).Seconds(); passed > 0 && to.total >= from.total {
			out = append(out, float64(to.total-from.total)/passed)
		}
	}
	return out
}

func (m *Meter) kept() int { return min(m.n, len(m.reads)) }

// back is the ith reading before the last.
func (m *Meter) back(i int) reading { return m.reads[(m.n-1-i)%len(m.reads)] }
