package proc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"clusterd/internal/config"
	"clusterd/internal/port"
	"clusterd/internal/setup"
)

// start begins a new generation. The instance has no run, and waits for
// nothing from here on.
func (c *Cluster) start(inst *instance) {
	c.cancelRetry(inst)
	inst.ended = nil
	a := inst.app
	if err := a.way.Err; err != nil {
		c.fail(inst, "cannot start: "+err.Error())
		return
	}
	if !a.open && !a.refused {
		if err := a.way.open(); err != nil {
			a.refused = true
			go func() { c.post(openFailedMsg{a, port.FindHolders(err)}) }()
		} else {
			a.open, a.held = true, a.config.Port
		}
	}
	if a.refused {
		c.set(inst, StateStarting, "") // onOpenFailed goes on from here
		return
	}
	if a.next != nil {
		c.set(inst, StateStarting, "") // changeWay goes on from here
		return
	}
	inst.run = c.spawn(inst)
	c.set(inst, StateStarting, "")
}

// spawn makes a run of the next generation, and begins to launch it; a
// launchedMsg tells how that went.
func (c *Cluster) spawn(inst *instance) *run {
	inst.generation++
	at, err := inst.app.way.prepare(inst.index, inst.generation)
	r := newRun(inst, at)
	if err == nil {
		r.access, err = inst.app.way.access(at, c.watch(r))
	}
	if err != nil {
		go c.post(launchedMsg{run: r, err: err})
	} else {
		go c.launch(r)
	}
	return r
}

// launch starts the process of a run; it runs in a goroutine of its own.
func (c *Cluster) launch(r *run) {
	defer func() {
		for _, fd := range r.access.inherited {
			unix.Close(fd)
		}
	}()
	s, streams, err := specOf(r)
	if err == nil {
		var p process
		var n *notifier
		if n, err = c.notifier(r, &s); err == nil {
			p, err = c.os.start(s)
		}
		s.stdout.Close()
		s.stderr.Close()
		if err == nil {
			if n != nil {
				go n.serve(p, c.hears(r))
			}
			c.post(launchedMsg{run: r, process: p, streams: streams, notifier: n, silent: streams.follow(c.journal, r, c.seeks(r))})
			return
		}
		streams.close()
	}
	c.post(launchedMsg{run: r, err: err})
}

// notifier opens the socket at which a run can say how it is, until nothing of it
// is left, and tells it where that is; nil: it has nothing to say.
func (c *Cluster) notifier(r *run, s *spec) (*notifier, error) {
	app := r.config
	if !notifies(app) {
		return nil, nil
	}
	n, err := listenNotify()
	if err != nil {
		return nil, err
	}
	context.AfterFunc(r.patience, func() { n.conn.Close() })
	s.env = append(s.env, "NOTIFY_SOCKET="+n.address())
	if app.Health.By == config.ByWatchdog {
		s.env = append(s.env, fmt.Sprintf("WATCHDOG_USEC=%d", app.Health.Interval.Microseconds()))
	}
	return n, nil
}

func (c *Cluster) onLaunched(m launchedMsg) {
	r, inst := m.run, m.run.inst
	if m.err != nil {
		current, successor := r.current(), r == inst.next
		c.dispose(r)
		if refused, ok := errors.AsType[*port.RefusedError](m.err); ok && current && c.refuse(inst.app, refused) {
			inst.again = true
		}
		switch {
		case successor:
			c.failSuccessor(inst, "cannot start: "+m.err.Error())
		case !current:
			c.onLeft(inst, "cannot start: "+m.err.Error())
		case inst.again && !c.stopping:
			inst.again = false
			c.start(inst)
		case r.stopping, inst.unwanted, c.stopping:
			c.rest(inst)
		default:
			c.afterLaunchError(inst, m.err)
		}
		return
	}
	r.process, r.silent, r.streams, r.notifier = m.process, m.silent, m.streams, m.notifier
	r.launchedAt = time.Now()
	inst.hasRun = true
	inst.app.way.launched(r.place)
	started := fmt.Sprintf("started, pid %d", r.process.PID())
	if r == inst.next {
		started = inst.step.label() + "successor " + started
	}
	c.event(inst.id, started)
	go func() { c.post(exitedMsg{r, r.process.Exited()}) }()
	if r.stopping {
		c.signalStop(r)
		if r.patience.Err() != nil { // it was to be killed when there was nothing to kill yet
			c.killRun(r)
		}
		return
	}
	r.deadline = time.AfterFunc(inst.app.config.Ready.Timeout, func() { c.post(lateMsg{r}) })
	if r.early != nil {
		c.onListening(listeningMsg{r, *r.early})
		return
	}
	c.awaitListening(r)
}

// awaitListening waits until a run serves at its place, which a listeningMsg tells.
func (c *Cluster) awaitListening(r *run) {
	listening := r.inst.app.way.listening(r.place)
	if listening == nil {
		c.onListening(listeningMsg{r, r.place})
		return
	}
	go func() {
		at, err := listening(r.arriving, r.process, func(text string) { c.post(hintMsg{r, text}) })
		if err == nil {
			c.post(listeningMsg{r, at})
		}
	}()
}

// watch is what hears from the adoption of a run.
func (c *Cluster) watch(r *run) port.Watch {
	place := r.place
	return port.Watch{
		Listening: func(l port.Listening) {
			at := place
			at.socket = l
			c.post(listeningMsg{r, at})
		},
		Refused: func(reason string) { c.post(refusedMsg{r, reason}) },
	}
}

// afterLaunchError does what follows from a launch that failed. A command that
// never could be executed is a mistake in the config, which stays one; anything
// else may be over soon, as when a program is being replaced, or memory or
// descriptors are short: it is like a crash.
func (c *Cluster) afterLaunchError(inst *instance, err error) {
	if _, mistake := errors.AsType[*CommandError](err); mistake && !inst.hasRun {
		c.fail(inst, "cannot start: "+err.Error())
		return
	}
	c.afterEnding(inst, ending{launch: err, at: time.Now()})
}

func (c *Cluster) onOpenFailed(m openFailedMsg) {
	m.app.refused = false
	for _, inst := range m.app.instances {
		if inst.run == nil && inst.state == StateStarting {
			c.fail(inst, "cannot start: "+m.err.Error())
		}
	}
}

// streams are clusterd's ends of a process's standard output and error.
type streams struct{ stdout, stderr *stream }

// stream is one of them.
type stream struct {
	file   *os.File
	rest   []byte        // what has been read of it, and is no whole line yet; owned by its reader
	ended  chan struct{} // closed when nobody reads it any more
	closed bool          // it has come to its end; read after ended
}

func newStream(f *os.File) *stream { return &stream{file: f, ended: make(chan struct{})} }

// pause has nobody read from the stream any more. What has been read, and is no whole
// line, is left in rest.
func (s *stream) pause() {
	_ = s.file.SetReadDeadline(time.Unix(1, 0))
	<-s.ended
}

// specOf says what to execute for a run. The caller closes the files of the
// spec once the process has them, and either follows or closes the streams.
func specOf(r *run) (spec, *streams, error) {
	app := r.config
	s := spec{args: app.Command.Args(), dir: app.Cwd, run: runName(), access: r.access, cpus: app.Limits.CPU, setup: setupOf(app)}
	s.env = environment(r, s.run)
	stdout, theirs, err := os.Pipe()
	if err != nil {
		return spec{}, nil, err
	}
	stderr, theirErr, err := os.Pipe()
	if err != nil {
		stdout.Close()
		theirs.Close()
		return spec{}, nil, err
	}
	s.stdout, s.stderr = theirs, theirErr
	return s, &streams{newStream(stdout), newStream(stderr)}, nil
}

// follow copies both streams of a run into the journal until their last writer
// is gone, and shows their lines to seek, unless that is nil. Then it closes the
// channel that it returns.
func (s *streams) follow(j *journal, r *run, seek func(lines []string)) <-chan struct{} {
	silent := make(chan struct{})
	var following atomic.Int32
	following.Store(2)
	for name, one := range map[Stream]*stream{StreamOut: s.stdout, StreamErr: s.stderr} {
		go func() {
			defer close(one.ended)
			one.rest = capture(one.file, one.rest, func(lines []string) {
				r.output.add(lines)
				j.append(r.inst.id, name, lines...)
				if seek != nil {
					seek(lines)
				}
			})
			if one.rest != nil {
				return // it is paused
			}
			one.closed = true
			one.file.Close()
			if following.Add(-1) == 0 {
				close(silent)
			}
		}()
	}
	return silent
}

func (s *streams) close() {
	s.stdout.file.Close()
	s.stderr.file.Close()
}

// runs counts the runs of this process, to tell them apart.
var runs atomic.Uint64

func runName() string { return fmt.Sprintf("%s.%d", token, runs.Add(1)) }

// notClusterds are variables by which a supervisor of clusterd speaks to clusterd
// alone.
var notClusterds = []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}

// setupOf says what the processes of an app change of themselves.
func setupOf(a config.App) setup.Order {
	o := setup.Order{Nofile: a.Limits.Nofile, Umask: a.Umask}
	if id := a.RunAs; id != nil {
		o.User = &setup.User{UID: int(id.UID), GID: int(id.GID)}
		for _, g := range id.Groups {
			o.User.Groups = append(o.User.Groups, int(g))
		}
	}
	return o
}

// environment is clusterd's own with what tells who the user is, the app's
// variables and then the instance's. Of a variable that is set twice the last one
// holds.
func environment(r *run, name string) []string {
	vars := map[string]string{}
	for _, kv := range os.Environ() {
		if k, v, ok := strings.Cut(kv, "="); ok {
			vars[k] = v
		}
	}
	for _, k := range notClusterds {
		delete(vars, k)
	}
	if id := r.config.RunAs; id != nil && id.Home != "" {
		vars["USER"], vars["LOGNAME"], vars["HOME"] = id.User, id.User, id.Home
	}
	maps.Copy(vars, r.config.FileEnv)
	maps.Copy(vars, r.config.Env)
	r.inst.own(vars, r.place)
	vars[strings.TrimSuffix(runVariable, "=")] = name

	env := make([]string, 0, len(vars))
	for _, k := range slices.Sorted(maps.Keys(vars)) {
		env = append(env, k+"="+vars[k])
	}
	return env
}
