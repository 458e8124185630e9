package proc

import (
	"fmt"
	"os"
	"slices"
	"time"

	"clusterd/internal/config"
	"clusterd/internal/traffic"
)

const (
	// rateWindow is what requests per second are a mean of.
	rateWindow = 3 * time.Second
	// latencyEvery is how often percentiles are computed at most.
	latencyEvery = time.Second
)

// latencyReading is the last percentiles of a slot.
type latencyReading struct {
	at    time.Time
	ok    bool
	value traffic.Percentiles
}

// snapshot builds what readers see.
func (c *Cluster) snapshot(now time.Time) *Snapshot {
	s := &Snapshot{
		Name:     c.config.Name,
		Config:   c.config.Path,
		PID:      os.Getpid(),
		Version:  c.version,
		Uptime:   now.Sub(c.startedAt).Seconds(),
		Stopping: c.stopping,
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
		InstancesWanted: a.config.Instances,
		Listen:          a.way.Listen,
		ListenWhy:       a.way.ListenWhy,
		Count:           a.way.Count,
		CountWhy:        a.way.CountWhy,
		Instances:       make([]InstanceSnapshot, 0, len(a.instances)),
	}
	if a.config.Port != 0 {
		s.Port = &a.config.Port
	}
	var total uint64
	worst := -1
	for i, inst := range a.instances {
		is := inst.snapshot(now)
		if is.State == StateReady {
			s.Ready++
		}
		if is.RequestsTotal != nil {
			total += *is.RequestsTotal
		}
		if worst < 0 || severity(is.State) > severity(s.State) {
			worst = i
			s.State, s.Reason = is.State, is.Reason
			if is.Reason != "" && len(a.instances) > 1 {
				s.Reason = is.ID + ": " + is.Reason
			}
		}
		s.Instances = append(s.Instances, is)
	}
	if a.counts() {
		s.RequestsTotal = &total
		s.RequestsHistory = a.meter.History()
		if rate, ok := a.meter.Rate(now, total, rateWindow); ok {
			s.RequestsPerS = &rate
		}
	}
	return s
}

// counts tells whether the app's requests are known.
func (a *app) counts() bool { return a.way.Count == string(config.CountRelay) }

func (i *instance) snapshot(now time.Time) InstanceSnapshot {
	s := InstanceSnapshot{
		ID:         i.id,
		Index:      i.index,
		State:      i.state,
		Reason:     i.reason,
		Generation: i.generation,
		Restarts:   i.restarts,
		LastExit:   i.lastExit,
	}
	if i.retry != nil {
		s.Reason += ", retry in " + until(i.retryAt.Sub(now))
	}
	if r := i.run; r != nil && r.process != nil && !r.exited {
		pid, up := r.process.PID(), now.Sub(r.launchedAt).Seconds()
		s.PID, s.Uptime = &pid, &up
		if u := i.usage; u.known {
			s.RSSBytes = &u.rssBytes
			if u.cpuKnown {
				s.CPUPercent = &u.cpuPercent
			}
		}
	}
	if n, ok := i.app.way.queue(i.index); ok {
		s.Queue = &n
	}
	if i.app.counts() {
		i.countsSnapshot(&s, now)
	}
	return s
}

// countsSnapshot fills in what the relay counted.
func (i *instance) countsSnapshot(s *InstanceSnapshot, now time.Time) {
	t := i.counters.Totals()
	s.ConnectionsOpen, s.ConnectionsTotal = &t.ConnsOpen, &t.ConnsTotal
	s.RequestsTotal, s.RequestsExact = &t.Requests, t.Unparsed == 0
	s.BytesIn, s.BytesOut = &t.BytesIn, &t.BytesOut
	s.Status = &Classes{t.Classes[0], t.Classes[1], t.Classes[2], t.Classes[3], t.Classes[4]}
	if rate, ok := i.meter.Rate(now, t.Requests, rateWindow); ok {
		s.RequestsPerS = &rate
	}
	if l := &i.latency; now.Sub(l.at) >= latencyEvery {
		l.at = now
		l.value, l.ok = i.counters.Latency()
	}
	if l := i.latency; l.ok {
		ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
		s.Latency = &Latency{P50: ms(l.value.P50), P90: ms(l.value.P90), P99: ms(l.value.P99)}
	}
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
