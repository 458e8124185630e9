package ebpf

import (
	"sync"
	"time"

	"clusterd/internal/traffic"
)

// readEvery is how old a reading may be.
const readEvery = 50 * time.Millisecond

// Source is a slot of a Counter as a traffic.Source.
type Source struct {
	counter *Counter
	slot    int

	mu     sync.Mutex
	at     time.Time
	last   traffic.Totals
	window window
}

// Source returns the source of a slot. There is only one of each.
func (c *Counter) Source(slot int) *Source {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.sources[slot]
	if s == nil {
		s = &Source{counter: c, slot: slot}
		c.sources[slot] = s
	}
	return s
}

// Totals reads the counts; when that fails, as when the Counter is closed, they
// are the last ones. Called now and then, it also keeps Recent recent.
func (s *Source) Totals() traffic.Totals {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.at) < readEvery {
		return s.last
	}
	in, err := s.counter.Read(s.slot)
	if err != nil {
		return s.last
	}
	t := traffic.Totals{
		ConnsTotal: in.ConnsTotal,
		Requests:   in.Requests,
		Unparsed:   in.Unparsed + in.Resynced,
		BytesIn:    in.BytesIn,
		NoOpen:     true,
		NoStatus:   true,
		NoOut:      true,
	}
	if out, err := s.counter.ReadReplies(s.slot); err == nil {
		t.Classes, t.BytesOut, t.NoStatus, t.NoOut = out.Classes, out.BytesOut, false, false
	}
	s.last, s.at = t, time.Now()
	if s.window.due(s.at) {
		if total, err := s.counter.ReadLatencies(s.slot); err == nil {
			s.window.since(total, s.at)
		}
	}
	return t
}

// state is the source as it is handed over, but for its latencies.
func (s *Source) state() SourceState {
	s.mu.Lock()
	st := SourceState{Window: s.window}
	s.at = time.Time{} // no reading of before will do
	s.mu.Unlock()
	st.Totals = s.Totals()
	return st
}

// Recent is known where replies are watched.
func (s *Source) Recent() traffic.Latencies {
	total, err := s.counter.ReadLatencies(s.slot)
	if err != nil {
		return traffic.Latencies{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	lately := s.window.since(total, time.Now())
	return lately.latencies()
}

// Latencies are known where replies are watched.
func (s *Source) Latencies() traffic.Latencies {
	total, err := s.counter.ReadLatencies(s.slot)
	if err != nil {
		return traffic.Latencies{}
	}
	return total.latencies()
}
