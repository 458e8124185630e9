package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"clusterd/internal/config"
	"clusterd/internal/control"
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

// runCluster runs the cluster in the foreground until it is down again.
func runCluster(o options, noTUI bool) error {
	cfg, err := o.load()
	if err != nil {
		return err
	}
	place, err := control.PlaceOf(cfg.Path)
	if err != nil {
		return failed(err)
	}
	lock, err := place.Lock()
	if _, running := errors.AsType[*control.RunningError](err); running {
		return failed(fmt.Errorf("%w; see it with: clusterd dash -c %s", err, o.config))
	}
	if err != nil {
		return failed(err)
	}
	defer lock.Release()

	cluster, err := proc.New(cfg, version)
	if err != nil {
		return failed(err)
	}
	end := newEnding(cluster)
	defer end.begin()
	stopSignals := onSignals(end.ctx, end.begin, cluster.Kill)
	defer stopSignals()
	server, err := control.Serve(place, cluster, end.begin)
	if err != nil {
		return failed(err)
	}
	defer server.Close()

	if noTUI || !canShowDashboard() {
		return failed(runPlain(end.ctx, cluster))
	}
	return failed(runDashboard(end, cluster))
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

// runPlain runs the cluster with its logs on stdout and events on stderr. It
// ends when nothing is left that could run again, too.
func runPlain(ctx context.Context, cluster *proc.Cluster) error {
	p := newPrinter(cluster)
	ended := make(chan struct{})
	printed := make(chan struct{})
	go func() {
		defer close(printed)
		p.follow(ended)
	}()
	err := cluster.Run(ctx, true)
	close(ended)
	awaitPrinted(printed)
	return err
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

// runDashboard runs the cluster behind a dashboard, and shows in plain text how
// it ends.
func runDashboard(end *ending, cluster *proc.Cluster) error {
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
	_, tuiErr := tui.Run(leaveWhenStopping(end.ctx, over), cluster, tui.Options{Env: os.Getenv})

	// The dashboard is gone: because the user wants the cluster to stop,
	// because it stops already, or because the terminal has gone away.
	end.begin()
	p := newPrinter(cluster)
	p.after = end.from
	p.eventsOnly = true
	printed := make(chan struct{})
	go func() {
		defer close(printed)
		p.follow(over.Done())
	}()
	err := <-result
	awaitPrinted(printed)
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
func canShowDashboard() bool {
	return term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stdout.Fd())) && os.Getenv("TERM") != "dumb"
}
