package proc

import (
	"fmt"
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
	// unreachable: it is ready, and has closed its listening sockets.
	unreachable bool
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
	var running []look
	oldest := now
	for _, a := range c.apps {
		for _, inst := range a.instances {
			if a.counts() {
				inst.meter.Read(now, a.totals(inst.index).Requests)
			}
			if inst.run != nil && inst.run.process != nil && !inst.run.exited {
				running = append(running, c.lookAt(inst.run))
				if inst.usage.at.Before(oldest) {
					oldest = inst.usage.at
				}
			}
		}
		if a.counts() {
			a.meter.Read(now, a.requests())
		}
		c.runScheduled(a, now)
		c.reviewStuck(a, now)
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
		c.reviewReach(r.run, r.unreachable)
		u := &r.run.inst.usage
		if passed := r.at.Sub(u.at).Seconds(); u.known && passed > 0 {
			// An orphan that has ended takes its time along: then nobody knows.
			u.cpuKnown = r.ticks >= u.ticks
			u.cpuPercent = 100 * float64(r.ticks-u.ticks) / clockTick / passed
		}
		// Of a new process, all is new: u is empty.
		r.run.inst.measured = true
		r.run.inst.ticks += r.ticks - min(r.ticks, u.ticks)
		u.known, u.ticks, u.at = true, r.ticks, r.at
		u.rssBytes = r.pages * uint64(os.Getpagesize())
		c.reviewMemory(r.run, u.rssBytes)
	}
}

// reviewMemory ends a run that uses more memory than its app's limit.
func (c *Cluster) reviewMemory(r *run, used uint64) {
	if limit := r.inst.app.config.Limits.Memory; limit > 0 && used > uint64(limit) {
		c.condemn(r, fmt.Sprintf("used %s of memory, more than its limit of %s", inBytes(used), inBytes(uint64(limit))))
	}
}

// inBytes is a number of bytes for people.
func inBytes(n uint64) string {
	units := []string{"bytes", "KiB", "MiB", "GiB", "TiB"}
	f, i := float64(n), 0
	for f >= 1024 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	if f < 10 && i > 0 {
		return fmt.Sprintf("%.1f %s", f, units[i])
	}
	return fmt.Sprintf("%.0f %s", f, units[i])
}

// look is what is to be found out about a run outside the event loop.
type look struct {
	run       *run
	process   process
	reachable func() bool // nil: it is not asked
}

func (c *Cluster) lookAt(r *run) look {
	l := look{run: r, process: r.process}
	if !r.readyAt.IsZero() && !r.stopping {
		l.reachable = r.inst.app.way.reachable(r.place)
	}
	return l
}

// measure looks at the process of each run. One that has gone meanwhile has no
// reading.
func measure(looks []look) []usageReading {
	var out []usageReading
	for _, l := range looks {
		reading := usageReading{run: l.run, at: time.Now()}
		var ok bool
		if reading.ticks, reading.pages, ok = l.process.Usage(); ok {
			reading.unreachable = l.reachable != nil && !l.reachable()
			out = append(out, reading)
		}
	}
	return out
}
