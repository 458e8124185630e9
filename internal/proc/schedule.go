package proc

import (
	"fmt"
	"time"
)

// awaitSchedule has the instances of an app run by its schedule, if it has one.
// Until then they are done.
func (c *Cluster) awaitSchedule(a *app, now time.Time) {
	if a.reschedule(now); a.nextRun.IsZero() {
		return
	}
	for _, inst := range a.instances {
		if inst.run == nil {
			c.set(inst, StateDone, "")
		}
	}
}

// reschedule finds out when the instances of an app run next.
func (a *app) reschedule(now time.Time) {
	a.nextRun = time.Time{}
	if !a.config.Schedule.Set() {
		return
	}
	// The clock on the wall, which may be set, and does not stop while the
	// machine sleeps.
	a.nextRun = a.config.Schedule.Next(now.Round(0))
}

// runScheduled starts what is to run now. What has been stopped stays so, and what
// still runs is not started beside itself.
func (c *Cluster) runScheduled(a *app, now time.Time) {
	if a.nextRun.IsZero() || now.Round(0).Before(a.nextRun) || c.stopping {
		return
	}
	due := a.nextRun
	a.reschedule(now)
	for _, inst := range a.instances {
		switch {
		case inst.surplus || inst.state == StateStopped:
		case inst.settled():
			inst.history = history{}
			c.want(inst)
		default:
			c.event(inst.id, fmt.Sprintf("the run of %s is skipped: the last one still goes on", due.Format("15:04:05")))
		}
	}
}

// awaitsTime tells whether the instance rests until the next time of its schedule.
func (i *instance) awaitsTime() bool {
	return !i.app.nextRun.IsZero() && (i.state == StateDone || i.state == StateFailed)
}

// nextRunOf says when an instance that is at rest runs by itself, or "".
func (i *instance) nextRunOf(now time.Time) string {
	if !i.awaitsTime() {
		return ""
	}
	layout := "15:04:05"
	if i.app.nextRun.Sub(now) >= 24*time.Hour {
		layout = "2 Jan 15:04"
	}
	return "next run at " + i.app.nextRun.Format(layout)
}
