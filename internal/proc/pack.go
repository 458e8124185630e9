package proc

import (
	"errors"
	"fmt"
	"os"

	"clusterd/internal/handover"
)

// pack puts all that the cluster has into b. With an error, some of it is lost in the
// next program, which goes on with the rest.
func (c *Cluster) pack(b *handover.Bag) error {
	st := clusterState{
		Version: c.version, Config: c.config, StartedAt: c.startedAt,
		Token: token, Runs: runs.Load(), Private: c.private.HandOver(),
	}
	var errs []error
	var err error
	for _, a := range c.apps {
		as, err := a.pack(b)
		errs = append(errs, err)
		st.Apps = append(st.Apps, as)
	}
	st.Kernel, err = c.kernel.handOver(b)
	errs = append(errs, err)
	st.Guard, err = c.starter.guard.handOver(b)
	errs = append(errs, err)
	if err := errors.Join(errs...); err != nil {
		c.event("", fmt.Sprintf("not everything can be handed over: %v", err))
	}
	c.closeLogs()
	st.Journal = c.journal.state()
	return b.Pack(partCluster, st)
}

func (a *app) pack(b *handover.Bag) (appState, error) {
	st := appState{
		Config: a.config, Plan: a.way.state(), Open: a.open, Held: a.held, Wanted: a.wanted,
		Changed: a.changed, NextRun: a.nextRun, Meter: a.meter.State(),
	}
	var errs []error
	var err error
	st.Way, err = a.way.handOver(b)
	errs = append(errs, err)
	for slot := range a.counters {
		st.Counters = append(st.Counters, a.counters[slot].State())
		st.Ledgers = append(st.Ledgers, a.ledgers[slot].State())
	}
	for _, inst := range a.instances {
		is, err := inst.pack(b)
		errs = append(errs, err)
		st.Instances = append(st.Instances, is)
	}
	return st, errors.Join(errs...)
}

func (i *instance) pack(b *handover.Bag) (instanceState, error) {
	st := instanceState{
		State: i.state, Since: i.since, Reason: i.reason, Hopeless: i.hopeless,
		Generation: i.generation, HasRun: i.hasRun, Restarts: i.restarts,
		Streak: i.history.streak, Exited: i.history.exits, Failures: i.history.failures,
		LastExit: i.lastExit, Exits: i.exits,
		Meter: i.meter.State(), Measured: i.measured, Ticks: i.ticks,
	}
	if i.retry != nil {
		st.RetryAt = i.retryAt
	}
	if i.run == nil {
		return st, nil
	}
	run, err := i.run.pack(b)
	st.Run = &run
	return st, err
}

func (r *run) pack(b *handover.Bag) (runState, error) {
	p := r.process.(*leader)
	st := runState{
		Slot: r.place.slot, Generation: r.place.generation, Port: r.place.port, Private: r.place.private, Socket: r.place.socket,
		PID: p.pid, Name: p.run, Seen: p.known(), Output: r.output.lines(), Notify: -1, Adoption: r.adoption,
		LaunchedAt: r.launchedAt, ReadyAt: r.readyAt, Listens: r.listens, Passed: r.passed, Matched: r.matched.Load(), Late: r.late,
		Hint: r.hint, Ailing: r.ailing, AilingSince: r.ailingSince, Suspended: r.suspended, Unasked: r.unasked, Says: r.says,
		MainPID: r.main.pid, MainStart: r.main.start,
	}
	var outErr, errErr, notifyErr error
	st.Stdout, outErr = r.streams.stdout.pack(b)
	st.Stderr, errErr = r.streams.stderr.pack(b)
	if r.notifier != nil {
		var dup *os.File
		if dup, notifyErr = r.notifier.conn.File(); notifyErr == nil {
			st.Notify, notifyErr = b.KeepFile(dup)
			keptOpen = append(keptOpen, dup)
		}
	}
	return st, errors.Join(outErr, errErr, notifyErr)
}

func (s *stream) pack(b *handover.Bag) (streamState, error) {
	if s.closed {
		return streamState{FD: -1}, nil
	}
	fd, err := b.KeepFile(s.file)
	keptOpen = append(keptOpen, s.file)
	return streamState{fd, s.rest}, err
}

func (k *kernelCounts) handOver(b *handover.Bag) (*kernelState, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.counter == nil {
		return nil, nil
	}
	st, err := k.counter.HandOver(b)
	return &kernelState{st, k.used}, err
}

func (noPort) handOver(*handover.Bag) (wayState, error) { return wayState{}, nil }

func (w *directWay) handOver(b *handover.Bag) (st wayState, err error) {
	st.Counted = map[int]int{}
	for slot, s := range w.counted.slots {
		st.Counted[slot] = s.id
	}
	var errs []error
	if w.watch != nil {
		watch, err := w.watch.watch.HandOver(b)
		errs = append(errs, err)
		st.Watch = &watch
	}
	if w.front == nil {
		return st, errors.Join(errs...)
	}
	front, err := w.front.HandOver(b)
	errs = append(errs, err)
	orphans, err := w.orphans.HandOver(b)
	errs = append(errs, err)
	st.Front, st.Orphans, st.Serving = &front, &orphans, w.serving
	return st, errors.Join(errs...)
}

func (w *relayWay) handOver(b *handover.Bag) (st wayState, err error) {
	p := w.public
	if p == nil {
		return st, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	r, err := p.relay.HandOver(b)
	st.Relay = &r
	for at, g := range p.groups {
		st.Groups = append(st.Groups, groupState{at, g.HandOver(b)})
	}
	return st, err
}
