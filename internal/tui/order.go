package tui

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"clusterd/internal/proc"
)

// order is a way to sort apps, and instances within their app.
type order struct {
	name     string
	app      func(a, b *proc.AppSnapshot) int
	instance func(a, b *proc.InstanceSnapshot) int
}

// orders are those that o goes through. The first is that of the config file.
var orders = []order{
	{name: "file"},
	{"state",
		func(a, b *proc.AppSnapshot) int { return urgency(a.State) - urgency(b.State) },
		func(a, b *proc.InstanceSnapshot) int { return urgency(a.State) - urgency(b.State) }},
	byFigure("req/s",
		func(a *proc.AppSnapshot) *float64 { return a.RequestsPerS },
		func(in *proc.InstanceSnapshot) *float64 { return in.RequestsPerS }),
	byFigure("5xx",
		func(a *proc.AppSnapshot) *uint64 { return failed(a.Status) },
		func(in *proc.InstanceSnapshot) *uint64 { return failed(in.Status) }),
	byFigure("p99",
		func(a *proc.AppSnapshot) *float64 { return p99(a.Latency) },
		func(in *proc.InstanceSnapshot) *float64 { return p99(in.Latency) }),
	sumOf("cpu", func(in *proc.InstanceSnapshot) *float64 { return in.CPUPercent }),
	sumOf("memory", func(in *proc.InstanceSnapshot) *uint64 { return in.RSSBytes }),
	sumOf("restarts", func(in *proc.InstanceSnapshot) *uint64 { n := uint64(in.Restarts); return &n }),
	{"name",
		func(a, b *proc.AppSnapshot) int { return strings.Compare(a.Name, b.Name) },
		nil},
}

// byFigure sorts by a figure, the largest first and what is not known last.
func byFigure[N float64 | uint64](name string, app func(*proc.AppSnapshot) *N, instance func(*proc.InstanceSnapshot) *N) order {
	return order{name,
		func(a, b *proc.AppSnapshot) int { return compare(app(b), app(a)) },
		func(a, b *proc.InstanceSnapshot) int { return compare(instance(b), instance(a)) }}
}

// sumOf sorts by a figure of which an app has the sum of its instances.
func sumOf[N float64 | uint64](name string, instance func(*proc.InstanceSnapshot) *N) order {
	return byFigure(name, func(a *proc.AppSnapshot) *N { return total(a, instance) }, instance)
}

func compare[N float64 | uint64](a, b *N) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return -1
	case b == nil:
		return 1
	}
	return cmp.Compare(*a, *b)
}

func failed(c *proc.Classes) *uint64 {
	if c == nil {
		return nil
	}
	return &c.Server
}

func p99(l *proc.Latency) *float64 {
	if l == nil {
		return nil
	}
	return &l.P99
}

// urgency is small for states that need a look most.
func urgency(s proc.State) int {
	if i := slices.Index(byUrgency, s); i >= 0 {
		return i
	}
	return len(byUrgency)
}

// ranks is a sorted order of apps and instances, as indexes in a snapshot. It is
// kept for a while, so that rows do not dance.
type ranks struct {
	order     int
	at        time.Time
	apps      []int
	instances [][]int // by index of the app
	of        []string
}

// sortEvery is how often rows may change their places.
const sortEvery = 2 * time.Second

// sort sorts s anew, when it is time or it has other apps or instances.
func (r *ranks) sort(s *proc.Snapshot, by int, now time.Time) {
	if by == r.order && r.fits(s) && now.Sub(r.at) < sortEvery {
		return
	}
	o := orders[by]
	*r = ranks{order: by, at: now, instances: make([][]int, len(s.Apps))}
	r.apps = indexes(len(s.Apps))
	if o.app != nil {
		slices.SortStableFunc(r.apps, func(a, b int) int { return o.app(&s.Apps[a], &s.Apps[b]) })
	}
	for i := range s.Apps {
		all := s.Apps[i].Instances
		r.of = append(r.of, s.Apps[i].Name)
		r.instances[i] = indexes(len(all))
		if o.instance != nil {
			slices.SortStableFunc(r.instances[i], func(a, b int) int { return o.instance(&all[a], &all[b]) })
		}
	}
}

// fits tells whether the ranks are those of s's apps and instances.
func (r *ranks) fits(s *proc.Snapshot) bool {
	if len(r.apps) != len(s.Apps) {
		return false
	}
	for i := range s.Apps {
		if r.of[i] != s.Apps[i].Name || len(r.instances[i]) != len(s.Apps[i].Instances) {
			return false
		}
	}
	return true
}

func indexes(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}
