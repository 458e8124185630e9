package proc

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"clusterd/internal/port"
)

// start begins a new generation. The instance has no run, and waits for
// nothing from here on.
func (c *Cluster) start(inst *instance) {
	c.cancelRetry(inst)
	a := inst.app
	if !a.open && !a.refused {
		if err := a.way.open(); err != nil {
			a.refused = true
			go func() { c.post(openFailedMsg{a, port.FindHolders(err)}) }()
		} else {
			a.open = true
		}
	}
	if a.refused {
		c.set(inst, StateStarting, "") // onOpenFailed goes on from here
		return
	}
	at, err := a.way.prepare()
	inst.generation++
	r := newRun(inst, at)
	inst.run = r
	c.set(inst, StateStarting, "")
	if err != nil {
		go c.post(launchedMsg{run: r, err: err})
		return
	}
	go c.launch(r)
}

// launch starts the process of a run; it runs in a goroutine of its own.
func (c *Cluster) launch(r *run) {
	s, streams, err := specOf(r)
	if err == nil {
		var p process
		p, err = c.os.start(s)
		s.stdout.Close()
		s.stderr.Close()
		if err == nil {
			c.post(launchedMsg{run: r, process: p, silent: streams.follow(c.journal, r.inst.id)})
			return
		}
		streams.close()
	}
	c.post(launchedMsg{run: r, err: err})
}

func (c *Cluster) onLaunched(m launchedMsg) {
	r, inst := m.run, m.run.inst
	if m.err != nil {
		c.dispose(r)
		switch {
		case r.stopping && inst.again && !c.stopping:
			inst.again = false
			c.start(inst)
		case r.stopping:
			c.set(inst, StateStopped, "")
		default:
			c.afterLaunchError(inst, m.err)
		}
		return
	}
	r.process, r.silent = m.process, m.silent
	r.launchedAt = time.Now()
	inst.hasRun = true
	c.event(inst.id, fmt.Sprintf("started, pid %d", r.process.PID()))
	go func() { c.post(exitedMsg{r, r.process.Exited()}) }()
	if r.stopping {
		c.signalStop(r)
		if r.patience.Err() != nil { // it was to be killed when there was nothing to kill yet
			c.killRun(r)
		}
		return
	}
	listening := inst.app.way.listening(r.place)
	go func() {
		at, err := listening(r.alive, r.process, func(text string) { c.post(hintMsg{r, text}) })
		if err == nil {
			c.post(listeningMsg{r, at})
		}
	}()
	r.deadline = time.AfterFunc(readyTimeout, func() { c.post(lateMsg{r}) })
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
type streams struct{ stdout, stderr *os.File }

// specOf says what to execute for a run. The caller closes the files of the
// spec once the process has them, and either follows or closes the streams.
func specOf(r *run) (spec, streams, error) {
	app := r.inst.app.config
	s := spec{args: app.Command.Args(), dir: app.Cwd, run: runName()}
	s.env = environment(r, s.run)
	var ours streams
	var err error
	if ours.stdout, s.stdout, err = os.Pipe(); err != nil {
		return spec{}, streams{}, err
	}
	if ours.stderr, s.stderr, err = os.Pipe(); err != nil {
		ours.stdout.Close()
		s.stdout.Close()
		return spec{}, streams{}, err
	}
	return s, ours, nil
}

// follow copies both streams into the journal until their last writer is gone.
// Then it closes the channel that it returns.
func (s streams) follow(j *journal, id string) <-chan struct{} {
	var following sync.WaitGroup
	for stream, f := range map[Stream]*os.File{StreamOut: s.stdout, StreamErr: s.stderr} {
		following.Go(func() {
			defer f.Close()
			capture(f, func(lines []string) { j.append(id, stream, lines...) })
		})
	}
	ended := make(chan struct{})
	go func() {
		following.Wait()
		close(ended)
	}()
	return ended
}

func (s streams) close() {
	s.stdout.Close()
	s.stderr.Close()
}

// runs counts the runs of this process, to tell them apart.
var runs atomic.Uint64

func runName() string { return fmt.Sprintf("%d.%d", os.Getpid(), runs.Add(1)) }

// environment is clusterd's own with the app's variables and then the
// instance's. Of a variable that is set twice the last one holds.
func environment(r *run, name string) []string {
	inst := r.inst
	vars := map[string]string{}
	for _, kv := range os.Environ() {
		if k, v, ok := strings.Cut(kv, "="); ok {
			vars[k] = v
		}
	}
	maps.Copy(vars, inst.app.config.Env)
	index := strconv.Itoa(inst.index)
	if r.place.port != 0 {
		vars["PORT"] = strconv.Itoa(r.place.port)
	}
	vars["CLUSTERD_APP"] = inst.app.config.Name
	vars["CLUSTERD_INSTANCE"] = index
	vars["CLUSTERD_GENERATION"] = strconv.Itoa(r.generation)
	vars["NODE_APP_INSTANCE"] = index
	vars[strings.TrimSuffix(runVariable, "=")] = name

	env := make([]string, 0, len(vars))
	for _, k := range slices.Sorted(maps.Keys(vars)) {
		env = append(env, k+"="+vars[k])
	}
	return env
}
