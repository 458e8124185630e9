package proc

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"clusterd/internal/config"
	"clusterd/internal/port"
	"clusterd/internal/watch"
)

// Cluster runs all apps of one config. Make it with New, run it once with Run;
// every other method may be called by any goroutine while Run runs.
type Cluster struct {
	path    string // of the config file
	version string
	os      system
	starter *launcher // nil in tests without processes
	journal *journal
	private *port.Private
	kernel  *kernelCounts
	opens   opens
	changes atomic.Uint64 // of states and their reasons

	serveMetrics func(net.Listener) // see OnMetrics; nil: nobody asks for them

	// Owned by the event loop.
	config     *config.Config // what is to run; an app's own config is what it runs by
	unwatch    func()         // ends the watch of the config file; nil: there is none
	apps       []*app
	startedAt  time.Time
	stopping   bool
	operations []*operation
	measuring  bool          // a reading of usage is under way
	handing    *handing      // nil: nobody takes over
	left       bool          // it has been handed over
	taken      *clusterState // what was handed over by the program before; nil: nothing was

	messages chan message
	started  chan struct{}   // closed when Run has taken the ports
	done     chan struct{}   // closed when Run has returned, and the cluster has not been handed over
	killed   context.Context // ended by Kill
	killNow  context.CancelFunc
	checks   sync.WaitGroup // of readiness and health
	flushing sync.WaitGroup // answers on their way to clients, of ports already closed

	background sync.WaitGroup  // watches of files
	ending     context.Context // ended when Run comes to its end; for what is in background
	endAll     context.CancelFunc
}

// system is what the supervisor asks of the operating system. Tests replace it.
type system struct {
	start   func(spec) (process, error)
	run     func(context.Context, spec) (exitStatus, []string, error) // a command to its end, or ctx's, see launcher.run
	sweep   func() []int                                              // ends what is left of instances that have ended, and tells what does not
	jitter  func() float64
	machine func() Machine // what instances may be done to
	// watch calls changed for each burst of changes of files, until ctx ends.
	watch func(ctx context.Context, o watch.Options, report func(string), changed func(files []string))
}

// New returns a Cluster for cfg, which is not changed by anyone from here on.
// version is shown in snapshots. Only one Cluster may be made in a process:
// it becomes the reaper of all orphans below it. Until Close, a guardian stands by
// to end what is left if this process is killed, and holds the given files open
// until it has.
func New(cfg *config.Config, version string, held ...*os.File) (*Cluster, error) {
	l, err := newLauncher(held...)
	if err != nil {
		return nil, err
	}
	c := newCluster(cfg, version, l.system())
	c.starter = l
	return c, nil
}

// system is this machine, with l to start processes.
func (l *launcher) system() system {
	return system{start: l.start, run: l.run, sweep: l.sweep, jitter: rand.Float64, machine: ThisMachine, watch: watchUntil}
}

// Close lets the guardian go. Run has returned, or was never called.
func (c *Cluster) Close() { c.starter.guard.close() }

func newCluster(cfg *config.Config, version string, sys system) *Cluster {
	c := &Cluster{
		config:   cfg,
		path:     cfg.Path,
		version:  version,
		os:       sys,
		journal:  newJournal(),
		messages: make(chan message, 64),
		started:  make(chan struct{}),
		done:     make(chan struct{}),
	}
	c.killed, c.killNow = context.WithCancel(context.Background())
	c.ending, c.endAll = context.WithCancel(context.Background())
	var public []int
	for _, a := range cfg.Apps {
		public = append(public, a.Port)
	}
	c.private = port.NewPrivate(public)
	c.kernel = &kernelCounts{log: func(text string) { c.event("", text) }}
	return c
}

// plan makes the apps, unless that has been done. It finds out what the machine
// allows, which takes a moment.
func (c *Cluster) plan() {
	if c.apps != nil {
		return
	}
	for _, a := range c.config.Apps {
		c.apps = append(c.apps, c.newApp(a))
	}
}

// tick is how often totals are read for rates.
const tick = time.Second

// Run starts the cluster and blocks until it is down again: because ctx ended
// (a graceful stop), or Kill was called, or, with untilDone, every instance is
// done or has failed. The error says why it could not start, or which instances
// have failed in the last case. After Run nothing that the cluster started is
// alive.
func (c *Cluster) Run(ctx context.Context, untilDone bool) error {
	defer func() {
		if !c.left { // else whoever waits for an answer is to get none: the next program gives it
			close(c.done)
		}
	}()
	if c.taken == nil {
		c.startedAt = time.Now()
	}
	c.plan()
	defer c.closeLogs()
	if err := c.setOut(); err != nil {
		return err
	}
	close(c.started)
	defer c.endWatches()
	c.watchConfig()
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
		if c.left {
			return ErrHandedOver
		}
	}
	c.closeAll()
	c.flushing.Wait()
	c.awaitChecks()
	c.kernel.close()
	for _, pid := range c.os.sweep() {
		c.event("", fmt.Sprintf("pid %d, which an instance left behind, cannot be killed", pid))
	}
	if c.stopping {
		return nil
	}
	return c.failures()
}

// setOut starts what is to run, or goes on with what was handed over.
func (c *Cluster) setOut() error {
	if c.taken != nil {
		c.goOn()
		return nil
	}
	if err := c.preflight(); err != nil {
		return err
	}
	if err := c.openAll(); err != nil {
		return err
	}
	for _, a := range c.inOrder() {
		c.launchApp(a)
	}
	return nil
}

// launchApp begins to run an app as its config has it, and returns the instances
// that are started.
func (c *Cluster) launchApp(a *app) []*instance {
	c.watchFiles(a)
	if a.config.Schedule.Set() {
		c.awaitSchedule(a, time.Now())
		return nil
	}
	if !a.config.Autostart {
		return nil
	}
	for _, inst := range a.instances {
		if inst.state == StateStopped { // else another app has needed it
			c.want(inst)
		}
	}
	return a.instances
}

// awaitChecks blocks until no check is under way, of runs that are all gone. What
// they have to say does not matter any more.
func (c *Cluster) awaitChecks() {
	ended := make(chan struct{})
	go func() {
		c.checks.Wait()
		close(ended)
	}()
	for {
		select {
		case <-c.messages:
		case <-ended:
			return
		}
	}
}

// handle is the whole of what can happen to the cluster.
func (c *Cluster) handle(m message) {
	if c.declines(m) {
		return
	}
	switch m := m.(type) {
	case launchedMsg:
		c.onLaunched(m)
	case listeningMsg:
		c.onListening(m)
	case refusedMsg:
		c.onRefused(m)
	case hintMsg:
		c.onHint(m)
	case passedMsg:
		c.onPassed(m)
	case healthMsg:
		c.onHealth(m)
	case noticeMsg:
		c.onNotice(m)
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
	case applyMsg:
		c.onApply(m)
	case filesChangedMsg:
		c.onFilesChanged(m)
	case usageMsg:
		c.onUsage(m)
	case slotRemovedMsg:
		c.onSlotRemoved(m)
	case snapshotMsg:
		c.onSnapshot(m)
	case actionMsg:
		c.onAction(m)
	case detailMsg:
		m.reply <- c.detail(m.target, time.Now())
	case handOverMsg:
		c.onHandOver(m)
	case handOverdueMsg:
		c.onHandOverdue(m)
	case pausedMsg:
		c.onPaused(m)
	case dialMsg:
		m.reply <- c.routeTo(m.target)
	}
}

// post hands a message to the loop; after Run it goes nowhere.
func (c *Cluster) post(m message) {
	select {
	case c.messages <- m:
	case <-c.done:
	}
}

// review does what follows from the new state of things, after each message:
// reloads go on, instances that are not wanted any more disappear, ports of apps
// that serve no more are let go, and operations end.
func (c *Cluster) review() {
	c.reviewApps()
	for c.reviewOperations() {
		c.reviewApps()
	}
	c.reviewHanding()
}

func (c *Cluster) reviewApps() {
	for _, a := range c.apps {
		if a.next != nil {
			c.changeWay(a)
		}
		c.reloadChanged(a)
		if a.reload != nil {
			c.advance(a.reload)
		}
		if a.changed != nil && a.reload == nil { // until now
			c.reloadChanged(a)
			if a.reload != nil {
				c.advance(a.reload)
			}
		}
		c.reviewWaiting(a)
		c.reviewUnwanted(a)
		c.shrink(a)
		if a.open && a.settled() {
			c.closePort(a)
		}
	}
	c.dropRemoved()
}

func (c *Cluster) onStop() {
	c.stopping = true
	c.event("", "stopping")
	for _, a := range c.apps {
		for _, inst := range a.instances {
			c.interruptStep(inst, "stopped")
			c.unwant(inst)
		}
	}
}

func (c *Cluster) onKill() {
	c.stopping = true
	c.event("", "killing everything that still runs")
	for _, a := range c.apps {
		for _, inst := range a.instances {
			c.interruptStep(inst, "killed")
			c.stop(inst, 0)
			for _, r := range inst.runs() {
				c.killRun(r)
			}
		}
	}
}

// event tells the user something about an instance, or with "" about the
// cluster.
func (c *Cluster) event(instance, text string) { c.journal.append(instance, StreamEvent, text) }
