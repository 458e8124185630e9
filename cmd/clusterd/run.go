package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/term"

	"clusterd/internal/config"
	"clusterd/internal/control"
	"clusterd/internal/handover"
	"clusterd/internal/metrics"
	"clusterd/internal/port"
	"clusterd/internal/proc"
	"clusterd/internal/tui"
)

// load reads the config file, or says what is wrong with it.
func (o options) load() (*config.Config, error) {
	cfg, err := config.Load(o.config)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &exitError{exitUsage, fmt.Errorf("there is no file %s; name the config file with -c", o.config)}
	}
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	return cfg, nil
}

// runFlags say how the cluster is to be run.
type runFlags struct {
	noTUI    bool
	detach   bool
	detached bool // as the daemon that detach has started
	theme    string
	taken    *handover.Bag // what another daemon has handed over to this one; nil: nothing was
}

func (f runFlags) run(o options) error {
	if f.detach {
		return detach(o)
	}
	return runCluster(o, f)
}

// runCluster runs the cluster in this process until it is down again.
func runCluster(o options, how runFlags) error {
	if err := tui.CheckTheme(how.theme); err != nil {
		return &exitError{exitUsage, err}
	}
	d, err := o.daemon(how.taken)
	if err != nil {
		return err
	}
	defer d.lock.Release()
	cluster, cfg := d.cluster, d.config
	defer cluster.Close()
	end := newEnding(cluster)
	defer end.begin()
	stopSignals := onSignals(end.ctx, end.begin, cluster.Kill)
	defer stopSignals()
	scrapes := metrics.NewServer(cluster)
	defer scrapes.Close()
	cluster.OnMetrics(scrapes.Serve)
	if cfg.Metrics != "" {
		l, err := proc.ListenForMetrics(cfg.Metrics)
		switch {
		case err == nil:
			scrapes.Serve(l)
		case how.taken == nil:
			return failed(port.FindHolders(err))
		default: // somebody has taken the port during the upgrade: the instances matter more
			fmt.Fprintln(os.Stderr, "clusterd:", port.FindHolders(err))
		}
	}
	up := &upgrader{cluster: cluster, lock: d.lock, out: make(chan uint64, 1)}
	if up.server, err = d.serve(control.Hooks{Down: end.begin, Upgrade: up.upgrade}); err != nil {
		return failed(err)
	}
	defer up.server.Close()

	if how.detached {
		return failed(runDetached(end, up))
	}
	if how.noTUI || !canShowDashboard() {
		return failed(runPlain(end.ctx, up, longestName(cfg), d.state.Printed))
	}
	return failed(runDashboard(end, up, how.theme))
}

// daemon is what a cluster runs in.
type daemon struct {
	place   control.Place
	lock    *control.Lock
	cluster *proc.Cluster
	config  *config.Config
	taken   *handover.Bag // nil: it was started in the usual way
	state   daemonState   // of the one before
}

// daemon makes the daemon of the config file's cluster, or goes on with what another
// one has handed over.
func (o options) daemon(taken *handover.Bag) (*daemon, error) {
	if taken != nil {
		d, err := takeDaemon(taken)
		return d, failed(err)
	}
	cfg, err := o.load()
	if err != nil {
		return nil, err
	}
	d := &daemon{config: cfg}
	if d.place, err = control.PlaceOf(cfg.Path); err != nil {
		return nil, failed(err)
	}
	d.lock, err = d.place.Lock()
	if _, running := errors.AsType[*control.RunningError](err); running {
		return nil, failed(fmt.Errorf("%w; see it with: clusterd dash -c %s", err, o.config))
	}
	if err != nil {
		return nil, failed(err)
	}
	if d.cluster, err = proc.New(cfg, version, d.lock.File()); err != nil {
		d.lock.Release()
		return nil, failed(err)
	}
	return d, nil
}

func takeDaemon(b *handover.Bag) (*daemon, error) {
	d := &daemon{taken: b}
	err := b.Unpack(partDaemon, &d.state)
	if err != nil {
		return nil, err
	}
	if d.lock, err = control.TakeLock(d.state.Lock, b); err != nil {
		return nil, err
	}
	if d.cluster, err = proc.Take(b, version, d.lock.File()); err != nil {
		return nil, err
	}
	d.config = d.cluster.Config()
	return d, nil
}

// serve answers clients, and closes what was handed over and nobody wanted.
func (d *daemon) serve(h control.Hooks) (*control.Server, error) {
	if d.taken == nil {
		return control.Serve(d.place, d.cluster, h)
	}
	h.Came = d.state.came()
	defer d.taken.Close()
	return control.Take(d.state.Socket, d.taken, d.cluster, h)
}

// ending is the stop of a cluster, which many may ask for.
type ending struct {
	ctx   context.Context // ends with begin
	begin func()          // returns when ctx has ended
	from  uint64          // where the log was then; read it after begin
}

func newEnding(cluster *proc.Cluster) *ending {
	ctx, cancel := context.WithCancel(context.Background())
	e := &ending{ctx: ctx}
	e.begin = sync.OnceFunc(func() {
		page, _ := cluster.Logs(ctx, proc.LogQuery{Limit: 1}) // of a running cluster: no error
		e.from = page.Next
		cancel()
	})
	return e
}

// runPlain runs the cluster with its logs on stdout, behind names of at most so
// many cells, and events on stderr. It ends when nothing is left that could run again, too.
func runPlain(ctx context.Context, up *upgrader, names int, printed uint64) error {
	p := newPrinter(up.cluster, names)
	p.after = printed
	ended := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.follow(ended)
	}()
	err := up.cluster.Run(ctx, true)
	close(ended)
	awaitPrinted(done)
	if errors.Is(err, proc.ErrHandedOver) {
		up.stay(p.after)
	}
	return err
}

// longestName is how long the names of instances get.
func longestName(cfg *config.Config) int {
	n := 0
	for _, a := range cfg.Apps {
		n = max(n, len(a.Name)+len("/")+len(strconv.Itoa(max(a.Instances-1, 0))))
	}
	return n
}

// awaitPrinted waits until everything is out, but not for long: nobody may be
// reading.
func awaitPrinted(printed <-chan struct{}) {
	const patience = 2 * time.Second
	select {
	case <-printed:
	case <-time.After(patience):
	}
}

// runDashboard runs the cluster behind a dashboard of that theme, and shows in plain text how
// it ends.
func runDashboard(end *ending, up *upgrader, theme string) error {
	cluster := up.cluster
	result := make(chan error, 1)
	over, ended := context.WithCancel(context.Background())
	go func() {
		result <- cluster.Run(end.ctx, false)
		ended()
	}()
	select {
	case <-cluster.Started():
	case err := <-result: // it could not start: no dashboard for that
		return err
	}
	_, tuiErr := tui.Run(leaveWhenStopping(end.ctx, over), cluster, tui.Options{Env: os.Getenv, Theme: theme})

	// The dashboard is gone: because the user wants the cluster to stop,
	// because it stops already, or because the terminal has gone away.
	end.begin()
	p := newPrinter(cluster, 0)
	p.after = end.from
	p.eventsOnly = true
	printed := make(chan struct{})
	go func() {
		defer close(printed)
		p.follow(over.Done())
	}()
	err := <-result
	awaitPrinted(printed)
	if errors.Is(err, proc.ErrHandedOver) {
		up.stay(p.after)
	}
	if err == nil && tuiErr != nil {
		err = fmt.Errorf("the dashboard: %w", tuiErr)
	}
	return err
}

// leaveWhenStopping is a context that ends when either does: a dashboard has
// to leave the screen both when the cluster is told to stop and when it ended.
func leaveWhenStopping(stopping, over context.Context) context.Context {
	ctx, cancel := context.WithCancel(stopping)
	context.AfterFunc(over, cancel)
	return ctx
}

// canShowDashboard tells whether there is a terminal that can show it.
func canShowDashboard() bool { return onTerminal() && !dumbTerminal() }

func onTerminal() bool {
	return term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stdout.Fd()))
}

// dumbTerminal tells that the terminal cannot move its cursor.
func dumbTerminal() bool { return os.Getenv("TERM") == "dumb" }
