package proc

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// The windows that rates are means over, beside the last second, which the meter
// keeps apart.
const (
	rateWindow     = time.Second
	longRateWindow = 10 * time.Second
)

// snapshot builds what readers see.
func (c *Cluster) snapshot(now time.Time) *Snapshot {
	s := &Snapshot{
		Name:     c.config.Name,
		Config:   c.config.Path,
		PID:      os.Getpid(),
		Version:  c.version,
		Uptime:   now.Sub(c.startedAt).Seconds(),
		Stopping: c.stopping,
		LogSeq:   c.journal.newest(),
		Changes:  c.changes.Load(),
		Apps:     make([]AppSnapshot, 0, len(c.apps)),
	}
	for _, a := range c.apps {
		s.Apps = append(s.Apps, a.snapshot(now))
	}
	return s
}

func (a *app) snapshot(now time.Time) AppSnapshot {
	s := AppSnapshot{
		Name:            a.config.Name,
		Command:         a.config.Command.String(),
		State:           StateStopped,
		InstancesWanted: a.wanted,
		Listen:          a.way.Listen,
		DependsOn:       make([]Dependency, 0, len(a.config.DependsOn)),
		ListenWhy:       a.way.ListenWhy,
		Count:           a.way.Count,
		CountWhy:        a.way.CountWhy,
		Instances:       make([]InstanceSnapshot, 0, len(a.instances)),
	}
	for _, on := range a.config.DependsOn {
		s.DependsOn = append(s.DependsOn, Dependency{on.App, string(on.Until)})
	}
	if a.config.Port != 0 {
		s.Port = &a.config.Port
	}
	worst := -1
	s.Instances = s.Instances[:len(a.instances)]
	room := make([]vitals, len(a.instances))
	for i, inst := range a.instances {
		is := &s.Instances[i]
		inst.snapshot(is, &room[i], now)
		if is.State == StateReady {
			s.Ready++
		}
		if worst < 0 || severity(is.State) > severity(s.State) {
			worst = i
			s.State, s.Reason = is.State, is.Reason
			if is.Reason != "" && len(a.instances) > 1 {
				s.Reason = is.ID + ": " + is.Reason
			}
		}
	}
	if a.reload != nil && s.Reason == "" {
		s.Reason = a.reload.String()
	}
	if a.reload != nil {
		s.Reload = &Progress{a.reload.done, a.reload.total}
	}
	a.trafficSnapshot(&s, now)
	return s
}

// vitals is the room for figures that a snapshot points to: one piece of memory for
// all instances of an app instead of some for each.
type vitals struct {
	pid           int
	uptime, spent float64
	usage         usage
}

// snapshot fills in s, which is empty. What it points to is in v.
func (i *instance) snapshot(s *InstanceSnapshot, v *vitals, now time.Time) {
	*s = InstanceSnapshot{
		ID:         i.id,
		Index:      i.index,
		State:      i.state,
		Reason:     i.reason,
		Since:      i.since,
		Generation: i.generation,
		Restarts:   i.restarts,
		LastExit:   i.lastExit,
	}
	if i.retry != nil {
		s.Reason += ", retry in " + until(i.retryAt.Sub(now))
		at := i.retryAt
		s.RetryAt = &at
	}
	if next := i.nextRunOf(now); next != "" {
		s.Reason = strings.TrimPrefix(s.Reason+", "+next, ", ")
	}
	switch {
	case i.step != nil:
		s.Reason = i.step.progress()
	case i.unwanted && i.stopsAfter != "" && s.Reason == "":
		s.Reason = "to be stopped after " + i.stopsAfter
	}
	r := i.run
	if r == nil {
		r = i.next // its predecessor has ended before it was ready
	}
	if r != nil {
		s.Generation = r.place.generation
	}
	if r != nil && r.process != nil && !r.exited {
		v.pid, v.uptime, v.usage = r.pid(), now.Sub(r.launchedAt).Seconds(), i.usage
		s.PID, s.Uptime = &v.pid, &v.uptime
		s.Says = r.says
		if v.usage.known {
			s.RSSBytes = &v.usage.rssBytes
			if v.usage.cpuKnown {
				s.CPUPercent = &v.usage.cpuPercent
			}
		}
	}
	if i.measured {
		v.spent = float64(i.ticks) / clockTick
		s.CPUSeconds = &v.spent
	}
	i.trafficSnapshot(s, now)
}

// bySeverity are the states from the one that needs a look least to the one
// that needs it most.
var bySeverity = []State{
	StateDone, StateReady, StateStopped, StateStopping, StateWaiting,
	StateStarting, StateUnready, StateBackoff, StateFailed,
}

func severity(s State) int { return slices.Index(bySeverity, s) }

// until says a time to wait: "8s", "0.3s".
func until(d time.Duration) string {
	d = max(d, 0)
	if d < time.Second {
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	return d.Round(time.Second).String()
}
