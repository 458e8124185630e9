package proc

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"clusterd/internal/config"
	"clusterd/internal/port"
	"clusterd/internal/traffic"
)

// Cluster runs all apps of one config. Make it with New, run it once with Run;
// every other method may be called by any goroutine while Run runs.
type Cluster struct {
	config  *config.Config
	version string
	os      system
	journal *journal
	private *port.Private

	// Owned by the event loop.
	apps       []*app
	startedAt  time.Time
	stopping   bool
	operations []*operation
	measuring  bool // a reading of usage is under way

	messages chan message
	started  chan struct{}   // closed when Run has taken the ports
	done     chan struct{}   // closed when Run has returned
	killed   context.Context // ended by Kill
	killNow  context.CancelFunc
	flushing sync.WaitGroup // answers on their way to clients, of ports already closed
}

// system is what the supervisor asks of the operating system. Tests replace it.
type system struct {
	start  func(spec) (process, error)
	sweep  func() []int // ends what is left of instances that have ended, and tells what does not
	jitter func() float64
}

// New returns a Cluster for cfg, which is not changed by anyone from here on.
// version is shown in snapshots. Only one Cluster may be made in a process:
// it becomes the reaper of all orphans below it.
func New(cfg *config.Config, version string) (*Cluster, error) {
	l, err := newLauncher()
	if err != nil {
		return nil, err
	}
	return newCluster(cfg, version, system{start: l.start, sweep: l.sweep, jitter: rand.Float64}), nil
}

func newCluster(cfg *config.Config, version string, sys system) *Cluster {
	c := &Cluster{
		config:   cfg,
		version:  version,
		os:       sys,
		journal:  newJournal(),
		messages: make(chan message, 64),
		started:  make(chan struct{}),
		done:     make(chan struct{}),
	}
	c.killed, c.killNow = context.WithCancel(context.Background())
	var public []int
	for _, a := range cfg.Apps {
		public = append(public, a.Port)
	}
	c.private = port.NewPrivate(public)
	for _, a := range cfg.Apps {
		c.apps = append(c.apps, c.newApp(a))
	}
	return c
}

func (c *Cluster) newApp(cfg config.App) *app {
	a := &app{config: cfg, policy: policyOf(cfg)}
	var counters []*traffic.Counters
	for i := range cfg.Instances {
		inst := &instance{
			app:      a,
			index:    i,
			id:       fmt.Sprintf("%s/%d", cfg.Name, i),
			state:    StateStopped,
			counters: &traffic.Counters{},
		}
		a.instances = append(a.instances, inst)
		counters = append(counters, inst.counters)
	}
	a.way = choose(cfg, counters, c.private, func(text string) { c.journal.append(cfg.Name, StreamEvent, text) })
	return a
}

// tick is how often totals are read for rates.
const tick = time.Second

// Run starts the cluster and blocks until it is down again: because ctx ended
// (a graceful stop), or Kill was called, or, with untilDone, every instance is
// done or has failed. The error says why it could not start, or which instances
// have failed in the last case. After Run nothing that the cluster started is
// alive.
func (c *Cluster) Run(ctx context.Context, untilDone bool) error {
	defer close(c.done)
	c.startedAt = time.Now()
	if err := c.preflight(); err != nil {
		return err
	}
	if err := c.openAll(); err != nil {
		return err
	}
	close(c.started)
	for _, a := range c.apps {
		if !a.config.Autostart {
			continue
		}
		for _, inst := range a.instances {
			c.start(inst)
		}
	}
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	stop, kill := ctx.Done(), c.killed.Done()
	for !c.over(untilDone) {
		select {
		case m := <-c.messages:
			c.handle(m)
		case now := <-ticker.C:
			c.onTick(now)
		case <-stop:
			stop = nil
			c.onStop()
		case <-kill:
			kill = nil
			c.onKill()
		}
		c.review()
	}
	c.closeAll()
	c.flushing.Wait()
	for _, pid := range c.os.sweep() {
		c.event("", fmt.Sprintf("pid %d, which an instance left behind, cannot be killed", pid))
	}
	if c.stopping {
		return nil
	}
	return c.failures()
}

// failures says which instances have failed; nil when none has.
func (c *Cluster) failures() error {
	var errs []error
	for _, a := range c.apps {
		for _, inst := range a.instances {
			if inst.state == StateFailed {
				errs = append(errs, fmt.Errorf("%s failed: %s", inst.id, inst.reason))
			}
		}
	}
	return errors.Join(errs...)
}

// handle is the whole of what can happen to the cluster.
func (c *Cluster) handle(m message) {
	switch m := m.(type) {
	case launchedMsg:
		c.onLaunched(m)
	case listeningMsg:
		c.onListening(m)
	case hintMsg:
		c.onHint(m)
	case lateMsg:
		c.onLate(m)
	case drainedMsg:
		c.onDrained(m)
	case overdueMsg:
		c.onOverdue(m)
	case exitedMsg:
		c.onExited(m)
	case endedMsg:
		c.onEnded(m)
	case retryMsg:
		c.onRetry(m)
	case openFailedMsg:
		c.onOpenFailed(m)
	case usageMsg:
		c.onUsage(m)
	case snapshotMsg:
		m.reply <- c.snapshot(time.Now())
	case actionMsg:
		c.onAction(m)
	}
}

// post hands a message to the loop; after Run it goes nowhere.
func (c *Cluster) post(m message) {
	select {
	case c.messages <- m:
	case <-c.done:
	}
}

// openAll takes the public addresses of all apps that start by themselves.
func (c *Cluster) openAll() error {
	var errs []error
	for _, a := range c.apps {
		if !a.config.Autostart || len(a.instances) == 0 {
			continue
		}
		if err := a.way.open(); err != nil {
			errs = append(errs, fmt.Errorf("start %s: %w", a.config.Name, port.FindHolders(err)))
			continue
		}
		a.open = true
	}
	if errs != nil {
		c.closeAll()
	}
	return errors.Join(errs...)
}

func (c *Cluster) closeAll() {
	for _, a := range c.apps {
		if a.open {
			c.closePort(a)
		}
	}
}

// flushFor is how long clients have to take the answers of instances that have
// ended, before their connections are closed.
const flushFor = 5 * time.Second

func (c *Cluster) closePort(a *app) {
	flush := a.way.close()
	a.open = false
	c.flushing.Go(func() {
		ctx, cancel := context.WithTimeout(c.killed, flushFor)
		defer cancel()
		flush(ctx)
	})
}

// over tells whether Run is to return. A cluster without a single instance is
// not done: it waits to be told what to do.
func (c *Cluster) over(untilDone bool) bool {
	instances := 0
	for _, a := range c.apps {
		for _, inst := range a.instances {
			if !inst.settled() {
				return false
			}
			if !c.stopping && (!untilDone || inst.state == StateStopped) {
				return false
			}
		}
		instances += len(a.instances)
	}
	return c.stopping || untilDone && instances > 0
}

// review does what follows from the new state of things, after each message:
// ports of apps that serve no more are let go, and operations end.
func (c *Cluster) review() {
	for _, a := range c.apps {
		if a.open && a.settled() {
			c.closePort(a)
		}
	}
	c.reviewOperations()
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

func (c *Cluster) onStop() {
	c.stopping = true
	c.event("", "stopping")
	for _, a := range c.apps {
		for _, inst := range a.instances {
			c.stop(inst, stopDrain)
		}
	}
}

func (c *Cluster) onKill() {
	c.stopping = true
	c.event("", "killing everything that still runs")
	for _, a := range c.apps {
		for _, inst := range a.instances {
			c.stop(inst, 0)
			if inst.run != nil {
				c.killRun(inst.run)
			}
		}
	}
}

// Kill ends the cluster without waiting for anyone: SIGKILL to every process.
func (c *Cluster) Kill() { c.killNow() }

// ErrDown says that the cluster is not running any more.
var ErrDown = errors.New("the cluster is down")

// Started is closed once Run has taken the ports of all apps: it will not fail
// to start any more.
func (c *Cluster) Started() <-chan struct{} { return c.started }

// Snapshot returns the cluster as it is now. It waits for the event loop,
// which never waits itself.
func (c *Cluster) Snapshot(ctx context.Context) (*Snapshot, error) {
	reply := make(chan *Snapshot, 1)
	return ask(ctx, c, snapshotMsg{reply}, reply)
}

// Logs returns kept log lines.
func (c *Cluster) Logs(_ context.Context, q LogQuery) (LogPage, error) { return c.journal.page(q), nil }

// LogsChanged returns a channel that is closed once there are lines after seq.
func (c *Cluster) LogsChanged(seq uint64) <-chan struct{} { return c.journal.wait(seq) }

// Do does what a asks and blocks until it is done, cannot be done, or ctx ends
// (which takes nothing back). The error is a sentence for the user.
func (c *Cluster) Do(ctx context.Context, a Action) error {
	reply := make(chan error, 1)
	outcome, err := ask(ctx, c, actionMsg{a, reply}, reply)
	if err != nil {
		return err
	}
	return outcome
}

func ask[T any](ctx context.Context, c *Cluster, m message, reply <-chan T) (T, error) {
	var none T
	select {
	case c.messages <- m:
	case <-c.done:
		return none, ErrDown
	case <-ctx.Done():
		return none, ctx.Err()
	}
	select {
	case answer := <-reply:
		return answer, nil
	case <-c.done:
		select {
		case answer := <-reply: // the last thing that Run did
			return answer, nil
		default:
			return none, ErrDown
		}
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

// event tells the user something about an instance, or with "" about the
// cluster.
func (c *Cluster) event(instance, text string) { c.journal.append(instance, StreamEvent, text) }
