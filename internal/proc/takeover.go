package proc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"clusterd/internal/config"
	"clusterd/internal/handover"
	"clusterd/internal/port"
	"clusterd/internal/relay"
	"clusterd/internal/traffic"
	"clusterd/internal/traffic/ebpf"
)

// Take is New for the program that replaces another one: it returns the cluster that
// this has handed over in b, which goes on with Run. With an error, the processes of
// the cluster are still there, and end with this one.
func Take(b *handover.Bag, version string, held ...*os.File) (*Cluster, error) {
	var st clusterState
	if err := b.Unpack(partCluster, &st); err != nil {
		return nil, err
	}
	token = st.Token
	runs.Store(st.Runs)
	g, err := takeGuard(st.Guard, b, held)
	if err != nil {
		return nil, err
	}
	l, err := launcherWith(g)
	if err != nil {
		return nil, err
	}
	c := newCluster(st.Config, version, l.system())
	c.starter, c.taken, c.startedAt = l, &st, st.StartedAt
	c.journal = takeJournal(st.Journal)
	var public []int
	for _, a := range st.Apps {
		public = append(public, a.Config.Port)
	}
	c.private = port.TakePrivate(public, st.Private)
	c.kernel.take(st.Kernel, b)
	for _, as := range st.Apps {
		a, err := c.takeApp(as, b)
		if err != nil {
			return nil, fmt.Errorf("take %s over: %w", as.Config.Name, err)
		}
		c.apps = append(c.apps, a)
	}
	l.begin()
	return c, nil
}

// Config is what the cluster runs by. It must not be called while Run runs.
func (c *Cluster) Config() *config.Config { return c.config }

func (c *Cluster) takeApp(st appState, b *handover.Bag) (*app, error) {
	a := &app{
		config: st.Config, policy: policyOf(st.Config), open: st.Open, held: st.Held, wanted: st.Wanted,
		changed: st.Changed, nextRun: st.NextRun,
	}
	a.meter.Meter = traffic.TakeMeter(st.Meter)
	a.log = func(text string) { c.journal.append(st.Config.Name, StreamEvent, text) }
	for slot := range st.Counters {
		counters := &traffic.Counters{}
		counters.Restore(st.Counters[slot])
		a.counters = append(a.counters, counters)
		a.ledgers = append(a.ledgers, traffic.TakeLedger(st.Ledgers[slot]))
	}
	a.way = choose(st.Config, st.Plan.plan(), c.private, c.kernel, a.log)
	if err := a.way.takeOver(st.Way, a, b); err != nil {
		return nil, err
	}
	c.keepLog(st.Config)
	for i, is := range st.Instances {
		inst := a.takeInstance(i, is)
		a.instances = append(a.instances, inst)
		if is.Run == nil {
			continue
		}
		run, err := c.takeRun(inst, *is.Run, b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", inst.id, err)
		}
		inst.run = run
	}
	return a, nil
}

func (p planState) plan() Plan {
	plan := Plan{Listen: p.Listen, ListenWhy: p.ListenWhy, Count: p.Count, CountWhy: p.CountWhy, adopts: p.Adopts, grip: p.Grip}
	if p.Err != "" {
		plan.Err = errors.New(p.Err)
	}
	return plan
}

func (a *app) takeInstance(index int, st instanceState) *instance {
	i := &instance{
		app: a, index: index, id: fmt.Sprintf("%s/%d", a.config.Name, index),
		state: st.State, since: st.Since, reason: st.Reason, hopeless: st.Hopeless,
		generation: st.Generation, hasRun: st.HasRun, restarts: st.Restarts,
		history:  history{st.Streak, st.Exited, st.Failures},
		lastExit: st.LastExit, exits: st.Exits, retryAt: st.RetryAt,
		measured: st.Measured, ticks: st.Ticks,
	}
	i.meter.Meter = traffic.TakeMeter(st.Meter)
	return i
}

// takeRun makes a run of what was handed over of it. It is watched again from goOn on.
func (c *Cluster) takeRun(inst *instance, st runState, b *handover.Bag) (*run, error) {
	r := newRun(inst, place{slot: st.Slot, generation: st.Generation, port: st.Port, private: st.Private, socket: st.Socket})
	p := &leader{pid: st.PID, run: st.Name, launcher: c.starter, seen: st.Seen}
	var err error
	if p.pidfd, err = pollable(st.PID, -1); err != nil { // it is not reaped: the number is its own
		return nil, err
	}
	c.starter.leaders[st.PID] = p
	r.process = p
	r.output.add(st.Output)
	r.launchedAt, r.readyAt = st.LaunchedAt, st.ReadyAt
	r.listens, r.passed, r.late, r.hint = st.Listens, st.Passed, st.Late, st.Hint
	r.matched.Store(st.Matched)
	r.ailing, r.ailingSince, r.suspended, r.unasked, r.says = st.Ailing, st.AilingSince, st.Suspended, st.Unasked, st.Says
	if m, err := readStat(st.MainPID); st.MainPID != 0 && err == nil && m.start == st.MainStart {
		r.main = member{st.MainPID, m}
	}
	if r.listens {
		r.arrived()
	}
	r.streams = &streams{}
	if r.streams.stdout, err = takeStream(st.Stdout, b); err != nil {
		return nil, err
	}
	if r.streams.stderr, err = takeStream(st.Stderr, b); err != nil {
		return nil, err
	}
	if st.Notify >= 0 {
		if r.notifier, err = takeNotifier(st.Notify, b); err != nil {
			return nil, err
		}
		context.AfterFunc(r.patience, func() { r.notifier.conn.Close() })
	}
	if st.Adoption != nil {
		err = c.takeAdoption(r, p, *st.Adoption, b)
	}
	return r, err
}

// takeAdoption goes on to answer what the processes of a run ask.
func (c *Cluster) takeAdoption(r *run, p *leader, st port.AdoptionState, b *handover.Bag) error {
	access, err := r.inst.app.way.access(r.place, c.watch(r))
	if err != nil || access.adopt == nil {
		return err
	}
	p.adoption = access.adopt(p.Members)
	listener, err := port.TakeAdoption(st, p.adoption, b)
	if err != nil || listener == nil {
		p.adoption = nil
		return err
	}
	r.serve = func() { _ = p.adoption.Serve(listener, p.claim) }
	return nil
}

// takeStream is a stream of which nobody reads yet. One that has ended is at its end
// again, with the first look.
func takeStream(st streamState, b *handover.Bag) (*stream, error) {
	if st.FD < 0 {
		null, err := os.Open(os.DevNull)
		return newStream(null), err
	}
	fd, err := b.Take(st.FD)
	if err != nil {
		return nil, err
	}
	s := newStream(os.NewFile(uintptr(fd), "stream"))
	s.rest = st.Rest
	return s, nil
}

func takeNotifier(fd int, b *handover.Bag) (*notifier, error) {
	fd, err := b.Take(fd)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "notify")
	defer f.Close()
	conn, err := net.FilePacketConn(f)
	if err != nil {
		return nil, err
	}
	return &notifier{conn.(*net.UnixConn), make(chan struct{})}, nil
}

// goOn watches all that runs again. It is the event loop's.
func (c *Cluster) goOn() {
	for _, a := range c.apps {
		c.watchFiles(a)
		for _, inst := range a.instances {
			if !inst.retryAt.IsZero() && inst.state == StateBackoff {
				c.retryAt(inst)
			}
			if inst.run != nil {
				c.goOnWith(inst.run)
			}
		}
		a.way.goOn()
	}
	text := fmt.Sprintf("version %s goes on, pid %d", c.version, os.Getpid())
	if c.taken.Version != c.version {
		text = fmt.Sprintf("version %s has taken over from %s, pid %d", c.version, c.taken.Version, os.Getpid())
	}
	c.event("", text)
	c.taken = nil
}

func (c *Cluster) goOnWith(r *run) {
	inst := r.inst
	r.silent = r.streams.follow(c.journal, r, c.seeks(r))
	if r.notifier != nil {
		go r.notifier.serve(r.process, c.hears(r))
	}
	if r.serve != nil {
		go r.serve()
	}
	go func() { c.post(exitedMsg{r, r.process.Exited()}) }()
	inst.app.way.launched(r.place)
	if inst.state == StateReady || r.ailing > 0 && !r.suspended {
		alive := r.alive
		inst.app.way.admit(r.place, func() bool { return alive.Err() == nil })
	}
	if !r.readyAt.IsZero() {
		c.watchHealth(r)
		return
	}
	r.deadline = time.AfterFunc(time.Until(r.launchedAt.Add(inst.app.config.Ready.Timeout)), func() { c.post(lateMsg{r}) })
	if r.listens {
		c.seekReady(r)
		return
	}
	c.awaitListening(r)
}

func (k *kernelCounts) take(st *kernelState, b *handover.Bag) {
	if st == nil {
		return
	}
	k.used = st.Used
	counter, err := ebpf.TakeCounter(st.Counter, b)
	if err == nil {
		k.counter = counter
		return
	}
	k.log(fmt.Sprintf("requests are counted anew, beside those of before: %v", err))
	k.lost = &st.Counter
	k.used = 0
}

func (noPort) takeOver(wayState, *app, *handover.Bag) error { return nil }
func (noPort) goOn()                                        {}
func (noPort) launched(place)                               {}

func (w *directWay) takeOver(st wayState, a *app, b *handover.Bag) error {
	if w.watch != nil && st.Watch != nil && st.Front == nil {
		if err := w.watch.take(nil, w.app.Port, *st.Watch, b); err != nil {
			return err
		}
	}
	if w.kernel != nil {
		if err := w.counted.take(st.Counted, w.kernel, a.ledgers); err != nil {
			w.log(fmt.Sprintf("requests are not counted: %v", err))
		}
	}
	if st.Front == nil {
		return nil
	}
	orphans, err := relay.Take(relay.Options{Log: w.log}, *st.Orphans, b)
	if err != nil {
		return err
	}
	orphans.AddSlot(anySlot, nil, &traffic.Counters{})
	w.orphans, w.serving = orphans, st.Serving
	if w.serving == nil {
		w.serving = map[int]int{}
	}
	there := make(chan struct{}) // the Front is
	if len(w.serving) > 0 {
		orphans.Admit(anySlot, relay.Instance{Dial: func(ctx context.Context) (net.Conn, error) {
			<-there
			return w.front.DialAny(ctx)
		}})
	}
	orphans.Start()
	defer close(there)
	if w.front, err = port.TakeFront(w.frontOptions(orphans), *st.Front, b); err != nil {
		return err
	}
	if w.kernel != nil && w.kernel.lost != nil {
		w.front.EachHeld(w.hold)
	}
	if w.watch != nil && st.Watch != nil {
		return w.watch.take(w.front, w.app.Port, *st.Watch, b)
	}
	return nil
}

func (w *directWay) goOn() {}

func (w *directWay) launched(at place) {
	if w.watch != nil {
		w.watch.join(at.owner(), at.members)
	}
}

func (w *relayWay) takeOver(st wayState, a *app, b *handover.Bag) error {
	w.counters = a.counters[:len(a.counters):len(a.counters)]
	if st.Relay == nil {
		return nil
	}
	p := &relayPort{number: w.app.Port, fixed: w.app.Host != "", groups: map[port.Addr]*port.Group{}, counters: a.counters[:len(a.counters):len(a.counters)]}
	for _, gs := range st.Groups {
		g, err := port.TakeGroup(gs.Group, b)
		if err != nil {
			return err
		}
		p.groups[gs.At] = g
	}
	var err error
	if p.relay, err = relay.Take(relayOptions(w.app, w.log), *st.Relay, b); err != nil {
		return err
	}
	for slot, c := range p.counters {
		p.relay.AddSlot(slot, nil, c)
	}
	w.public = p
	return nil
}

func (w *relayWay) launched(place) {}

func (w *relayWay) goOn() {
	if w.public != nil {
		w.public.relay.Start()
	}
}

// take goes on with slots, or counts them anew where their counts are lost, which go
// to the ledgers.
func (c *countedSlots) take(ids map[int]int, k *kernelCounts, ledgers []*traffic.Ledger) error {
	var errs []error
	for slot, id := range ids {
		if k.lost == nil {
			if c.slots == nil {
				c.slots = map[int]kernelSlot{}
			}
			c.slots[slot] = kernelSlot{k.counter, id, k.counter.Source(id)}
			continue
		}
		if slot < len(ledgers) {
			ledgers[slot].Close(k.lost.Past(id))
		}
		errs = append(errs, c.add(slot, k))
	}
	return errors.Join(errs...)
}
