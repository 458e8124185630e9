package tui

import (
	"math"
	"time"

	"clusterd/internal/proc"
)

// recent keeps some of the snapshots of the last minute, to tell what has
// happened lately from what happened long ago. Snapshots are immutable, so
// keeping them costs no copy.
type recent struct {
	kept []past // oldest first
}

type past struct {
	at   time.Time
	snap *proc.Snapshot
}

const (
	recentSpan  = time.Minute
	recentEvery = 5 * time.Second
	// recentLeast is how long one has to have looked on to say what is recent.
	recentLeast = 10 * time.Second
)

// add takes note of a snapshot.
func (r *recent) add(at time.Time, s *proc.Snapshot) {
	if n := len(r.kept); n > 0 && at.Sub(r.kept[n-1].at) < recentEvery {
		return
	}
	r.kept = append(r.kept, past{at, s})
	for len(r.kept) > 1 && at.Sub(r.kept[0].at) > recentSpan {
		r.kept[0] = past{}
		r.kept = r.kept[1:]
	}
}

// base is the snapshot to compare with one of now, or nil: then everything
// since the start of the cluster counts.
func (r *recent) base(now time.Time) *proc.Snapshot {
	if len(r.kept) == 0 || now.Sub(r.kept[0].at) < recentLeast {
		return nil
	}
	return r.kept[0].snap
}

// answers are an app's or an instance's in a while: all, and those that were 5xx.
type answers struct {
	all, failed uint64
	known       bool
}

// share of answers that were 5xx; not a number when there were none.
func (a answers) share() float64 {
	if !a.known || a.all == 0 {
		return math.NaN()
	}
	return float64(a.failed) / float64(a.all)
}

// less takes away what had been there before.
func (a answers) less(b answers) answers {
	if b.all <= a.all && b.failed <= a.failed {
		a.all -= b.all
		a.failed -= b.failed
	}
	return a
}

// answersOf are those that statuses tell of.
func answersOf(c *proc.Classes) answers {
	if c == nil {
		return answers{}
	}
	// 1xx are no answers yet.
	return answers{c.Success + c.Redirect + c.Client + c.Server, c.Server, true}
}

// app is what an app has answered lately.
func (r *recent) app(now time.Time, a *proc.AppSnapshot) answers {
	all := answersOf(a.Status)
	if was := r.appThen(now, a.Name); was != nil {
		return all.less(answersOf(was.Status))
	}
	return all
}

// instance is what one instance of an app has answered lately.
func (r *recent) instance(now time.Time, app string, in *proc.InstanceSnapshot) answers {
	all := answersOf(in.Status)
	if a := r.appThen(now, app); a != nil {
		for i := range a.Instances {
			if was := &a.Instances[i]; was.ID == in.ID {
				return all.less(answersOf(was.Status))
			}
		}
	}
	return all
}

// appThen is what an app was like a while ago; nil: nobody knows.
func (r *recent) appThen(now time.Time, name string) *proc.AppSnapshot {
	base := r.base(now)
	if base == nil {
		return nil
	}
	for i := range base.Apps {
		if base.Apps[i].Name == name {
			return &base.Apps[i]
		}
	}
	return nil
}
