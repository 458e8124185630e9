package proc

import (
	"time"

	"clusterd/internal/traffic"
)

// trafficSnapshot fills in what is known of an instance's traffic. How many
// connections are open where clusterd does not pass them on is left to opens.
func (i *instance) trafficSnapshot(s *InstanceSnapshot, now time.Time) {
	way := i.app.way
	s.Queue, s.QueueDropped = known(way.queue(i.index)), known(way.dropped(i.index))
	if !i.app.counts() {
		return
	}
	t := i.app.totals(i.index)
	s.ConnectionsOpen, s.ConnectionsTotal, s.ConnectionsExact = openOf(t), &t.ConnsTotal, !t.ConnsInexact
	if s.RequestsKind = kindOf(t); s.RequestsKind != Unknown {
		s.RequestsTotal, s.RequestsExact = &t.Requests, s.RequestsKind == Exact
		s.RequestsPerS = i.meter.perSecond(now, t.Requests, rateWindow)
		s.RequestsPer10S = i.meter.perSecond(now, t.Requests, longRateWindow)
	}
	s.Status, s.BytesIn, s.BytesOut = statusOf(t), &t.BytesIn, bytesOutOf(t)
	s.Latency = latencyOf(i.recent(now))
}

// known is a figure that may not be; nil: it is not.
func known[N any](n N, ok bool) *N {
	if !ok {
		return nil
	}
	figure := n // or there would be memory for what is not known, too
	return &figure
}

// trafficSnapshot fills in what is known of an app's traffic, whose instances are
// filled in already.
func (a *app) trafficSnapshot(s *AppSnapshot, now time.Time) {
	s.Queue = sum(s.Instances, func(in *InstanceSnapshot) *uint64 { return in.Queue })
	s.QueueDropped = sum(s.Instances, func(in *InstanceSnapshot) *uint64 { return in.QueueDropped })
	s.ConnectionsOpen = sum(s.Instances, func(in *InstanceSnapshot) *uint64 { return in.ConnectionsOpen })
	if !a.counts() {
		return
	}
	var t traffic.Totals
	for slot := range a.counters {
		t = t.Add(a.totals(slot))
	}
	s.ConnectionsTotal, s.ConnectionsExact = &t.ConnsTotal, !t.ConnsInexact
	s.Status, s.BytesIn, s.BytesOut = statusOf(t), &t.BytesIn, bytesOutOf(t)
	var recent traffic.Latencies
	for _, inst := range a.instances {
		recent = recent.Merge(inst.recent(now))
	}
	s.Latency = latencyOf(recent)
	if s.RequestsKind = kindOf(t); s.RequestsKind == Unknown {
		return
	}
	s.RequestsTotal = &t.Requests
	s.RequestsPerS = a.meter.perSecond(now, t.Requests, rateWindow)
	s.RequestsPer10S = a.meter.perSecond(now, t.Requests, longRateWindow)
	s.RequestsHistory = a.meter.History()
	s.share()
}

// share says what part of the requests each instance has served, and how uneven
// that is. Of nothing there are no parts.
func (s *AppSnapshot) share() {
	var all, most uint64
	for _, in := range s.Instances {
		if in.RequestsTotal != nil {
			all += *in.RequestsTotal
			most = max(most, *in.RequestsTotal)
		}
	}
	if all == 0 {
		return
	}
	for i := range s.Instances {
		if n := s.Instances[i].RequestsTotal; n != nil {
			part := float64(*n) / float64(all)
			s.Instances[i].Share = &part
		}
	}
	skew := float64(most) * float64(len(s.Instances)) / float64(all)
	s.Skew = &skew
}

// kindOf is what the figure of requests is worth.
func kindOf(t traffic.Totals) Kind {
	switch {
	case t.Estimated:
		return About
	case t.Unparsed == 0:
		return Exact
	case t.Requests == 0:
		return Unknown // it is no HTTP
	}
	return AtLeast
}

func openOf(t traffic.Totals) *uint64 {
	if t.NoOpen {
		return nil
	}
	return &t.ConnsOpen
}

func bytesOutOf(t traffic.Totals) *uint64 {
	if t.NoOut {
		return nil
	}
	return &t.BytesOut
}

func statusOf(t traffic.Totals) *Classes {
	if t.NoStatus {
		return nil
	}
	return &Classes{t.Classes[0], t.Classes[1], t.Classes[2], t.Classes[3], t.Classes[4]}
}

func latencyOf(l traffic.Latencies) *Latency {
	p, ok := l.Percentiles()
	if !ok {
		return nil
	}
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return &Latency{P50: ms(p.P50), P90: ms(p.P90), P99: ms(p.P99)}
}

// durationBounds are those of Durations.
var durationBounds = []time.Duration{
	500 * time.Microsecond, time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond,
	25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second,
}

// measure fills in the durations of a snapshot.
func (c *Cluster) measure(s *Snapshot) {
	for i, a := range c.apps {
		if !a.counts() {
			continue
		}
		for j, inst := range a.instances {
			l := a.ledgers[inst.index].Latencies(a.way.source(inst.index))
			if l.Count() == 0 {
				continue
			}
			d := &Durations{Count: l.Count(), Sum: l.Sum(), Within: map[float64]uint64{}}
			for k, n := range l.Within(durationBounds) {
				d.Within[durationBounds[k].Seconds()] = n
			}
			s.Apps[i].Instances[j].Durations = d
		}
	}
}

// sum adds up a figure of all instances; nil where one of them has none.
func sum(instances []InstanceSnapshot, of func(*InstanceSnapshot) *uint64) *uint64 {
	if len(instances) == 0 {
		return nil
	}
	var all uint64
	for i := range instances {
		n := of(&instances[i])
		if n == nil {
			return nil
		}
		all += *n
	}
	return &all
}

// latencyEvery is how often the latencies of a slot are read at most.
const latencyEvery = time.Second

// latencyReading is the last reading of a slot's latencies.
type latencyReading struct {
	at       time.Time
	answered uint64 // what the slot had answered before it
	settled  bool   // which was no more than before the reading before that: nothing is missing
	value    traffic.Latencies
}

// recent are the latencies of the last 30 to 60 seconds.
func (i *instance) recent(now time.Time) traffic.Latencies {
	l := &i.latency
	source := i.app.way.source(i.index)
	if source == nil || now.Sub(l.at) < latencyEvery {
		return l.value
	}
	l.at = now
	t := source.Totals()
	answered := t.Classes[0] + t.Classes[1] + t.Classes[2] + t.Classes[3] + t.Classes[4]
	idle := answered == l.answered
	if idle && l.settled && l.value.Count() == 0 {
		return l.value // reading costs more than all other figures together
	}
	l.answered, l.settled, l.value = answered, idle, source.Recent()
	return l.value
}

// meter is a traffic.Meter whose unknown rates are nil.
type meter struct{ traffic.Meter }

func (m *meter) perSecond(now time.Time, total uint64, window time.Duration) *float64 {
	return known(m.Rate(now, total, window))
}
