package proc

import (
	"fmt"
	"time"

	"clusterd/internal/config"
	"clusterd/internal/traffic"
)

// app is the loop's view of one app.
type app struct {
	config    config.App
	policy    policy
	way       chosen
	log       func(string) // says something about the app; from any goroutine
	open      bool         // the public address is held
	refused   bool         // it could not be had, and it is being found out who has it
	next      *chosen      // the way to change to once nothing runs any more; nil: none
	wanted    int          // instances; there are more while some are on their way out
	instances []*instance
	counters  []*traffic.Counters // by slot; those of slots that were removed stay, as part of the total
	ledgers   []*traffic.Ledger   // by slot; what was counted for it before it had its present source
	exits     []PastExit          // the last ones of instances that were removed, newest first
	meter     meter
	reload    *reload   // nil: none is under way
	watching  *watching // nil: of no files
	changed   []string  // files for which it is to be reloaded, once nothing else is under way
	removing  bool      // it is on its way out
	removed   bool
	held      int       // the public port, while open
	nextRun   time.Time // by its schedule; zero: it has none
}

func (c *Cluster) newApp(cfg config.App) *app {
	a := &app{config: cfg, policy: policyOf(cfg), wanted: cfg.Instances}
	a.log = func(text string) { c.journal.append(cfg.Name, StreamEvent, text) }
	var machine Machine
	if cfg.Port != 0 {
		machine = c.os.machine()
	}
	a.way = choose(cfg, PlanOf(cfg, machine), c.private, c.kernel, a.log)
	c.keepLog(cfg)
	for range cfg.Instances {
		_, _ = a.grow() // nothing is held yet, so nothing can fail
	}
	return a
}

// grow adds an instance, and a slot for it.
func (a *app) grow() (*instance, error) {
	i := len(a.instances)
	if i == len(a.counters) {
		a.counters = append(a.counters, &traffic.Counters{})
		a.ledgers = append(a.ledgers, &traffic.Ledger{})
	}
	if err := a.way.addSlot(i, a.counters[i]); err != nil {
		return nil, err
	}
	inst := &instance{
		app:   a,
		index: i,
		id:    fmt.Sprintf("%s/%d", a.config.Name, i),
		state: StateStopped,
		since: time.Now(),
	}
	a.instances = append(a.instances, inst)
	return inst, nil
}

// settled tells that no instance of the app runs or will by itself.
func (a *app) settled() bool {
	for _, inst := range a.instances {
		if !inst.settled() {
			return false
		}
	}
	return true
}

// requests is how many all slots have served, also those that are no more.
func (a *app) requests() (total uint64) {
	for slot := range a.counters {
		total += a.totals(slot).Requests
	}
	return total
}

// totals is what a slot has served, as far as anybody has counted.
func (a *app) totals(slot int) traffic.Totals {
	if s := a.way.source(slot); s != nil {
		return a.ledgers[slot].Totals(s)
	}
	return a.ledgers[slot].Totals(a.counters[slot])
}

// counts tells whether the app's requests are known.
func (a *app) counts() bool { return a.way.Count != "" && a.way.Count != string(config.CountOff) }
