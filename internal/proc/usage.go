package proc

import (
	"os"
	"time"
)

// usage is what an instance's processes use.
type usage struct {
	known      bool // rssBytes is
	cpuKnown   bool // it takes two readings
	cpuPercent float64
	rssBytes   uint64
	ticks      uint64
	at         time.Time
}

// usageReading is one look at the processes of a run.
type usageReading struct {
	run   *run
	at    time.Time
	ticks uint64
	pages uint64
}

const (
	// clockTick is USER_HZ, in which the kernel shows times; it is 100 on
	// every architecture that Go runs on.
	clockTick = 100
	// usageEvery is how often processes are looked at: once a second, but for
	// big clusters no more often than costs about 1 % of a core.
	usageEvery    = time.Second
	usagePerEntry = 10 * time.Millisecond
)

// onTick reads the totals for rates, and has the processes looked at.
func (c *Cluster) onTick(now time.Time) {
	var running []*run
	oldest := now
	for _, a := range c.apps {
		var total uint64
		for _, inst := range a.instances {
			n := inst.counters.Totals().Requests
			inst.meter.Read(now, n)
			total += n
			if inst.run != nil && inst.run.process != nil && !inst.run.exited {
				running = append(running, inst.run)
				if inst.usage.at.Before(oldest) {
					oldest = inst.usage.at
				}
			}
		}
		a.meter.Read(now, total)
	}
	every := max(usageEvery, time.Duration(len(running))*usagePerEntry)
	if c.measuring || len(running) == 0 || now.Sub(oldest) < every-tick/2 {
		return
	}
	c.measuring = true
	go func() { c.post(usageMsg{measure(running)}) }()
}

func (c *Cluster) onUsage(m usageMsg) {
	c.measuring = false
	for _, r := range m.readings {
		if !r.run.current() {
			continue
		}
		u := &r.run.inst.usage
		if passed := r.at.Sub(u.at).Seconds(); u.known && passed > 0 {
			// An orphan that has ended takes its time along: then nobody knows.
			u.cpuKnown = r.ticks >= u.ticks
			u.cpuPercent = 100 * float64(r.ticks-u.ticks) / clockTick / passed
		}
		u.known, u.ticks, u.at = true, r.ticks, r.at
		u.rssBytes = r.pages * uint64(os.Getpagesize())
	}
}

// measure asks each run's process what it uses. A run that has gone meanwhile
// has no reading.
func measure(runs []*run) []usageReading {
	var out []usageReading
	for _, r := range runs {
		reading := usageReading{run: r, at: time.Now()}
		var ok bool
		if reading.ticks, reading.pages, ok = r.process.Usage(); ok {
			out = append(out, reading)
		}
	}
	return out
}
