package proc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"clusterd/internal/config"
	"clusterd/internal/port"
	"clusterd/internal/watch"
)

// fakeOS starts fake processes, and fails the test when a slot ever has two, or
// three where they may overlap.
type fakeOS struct {
	t        *testing.T
	overlaps bool
	// behave is called for each process, numbered from 1 among all of them,
	// before it is given to the supervisor. An error means that it could not
	// be started. It may block.
	behave func(n int, p *fakeProcess) error
	// check is called for each command that is run beside a process.
	check func(ctx context.Context, s spec) (exitStatus, error)

	mu        sync.Mutex
	processes []*fakeProcess
	living    map[*fakeProcess]bool
}

// fakeProcess ends when it is told to: by exit, by a signal, or by Kill.
type fakeProcess struct {
	os   *fakeOS
	pid  int
	slot string // "a/0"
	at   time.Time
	spec spec

	deaf   bool // signals do nothing
	lasts  bool // leaves processes behind, which end with Kill only
	over   chan struct{}
	status exitStatus

	pages    uint64          // of memory; 0: unknown
	leftover <-chan struct{} // not nil: what it leaves behind is there until it is closed
	serves   <-chan struct{} // not nil: on a street, it is ready once it is closed
	mute     bool            // on a street, it never is ready

	mu      sync.Mutex
	signals []syscall.Signal
	kills   int
}

// firstPID is one that the kernel gives to nobody (PID_MAX_LIMIT is 4194304).
const firstPID = 9_000_001

func (f *fakeOS) start(s spec) (process, error) {
	slot := variable(s.env, "CLUSTERD_APP") + "/" + variable(s.env, "CLUSTERD_INSTANCE")
	p := &fakeProcess{os: f, slot: slot, at: time.Now(), spec: s, over: make(chan struct{})}
	f.mu.Lock()
	others := 0
	for other := range f.living {
		if other.slot == slot {
			others++
		}
	}
	if others > 1 || others == 1 && !f.overlaps {
		f.t.Errorf("%s is started while %d others still have the slot", slot, others)
	}
	f.living[p] = true
	f.processes = append(f.processes, p)
	n := len(f.processes)
	p.pid = firstPID + n - 1
	f.mu.Unlock()
	if f.behave == nil {
		return p, nil
	}
	if err := f.behave(n, p); err != nil {
		f.let(p)
		return nil, err
	}
	return p, nil
}

func (f *fakeOS) run(ctx context.Context, s spec) (exitStatus, []string, error) {
	status, err := f.check(ctx, s)
	return status, nil, err
}

func (f *fakeOS) let(p *fakeProcess) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.living, p)
}

// started are all processes so far.
func (f *fakeOS) started() []*fakeProcess {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.processes)
}

// last is the newest process of a slot.
func (f *fakeOS) last(slot string) *fakeProcess {
	for _, p := range slices.Backward(f.started()) {
		if p.slot == slot {
			return p
		}
	}
	f.t.Fatalf("%s was never started", slot)
	return nil
}

func variable(env []string, name string) string {
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			return v
		}
	}
	return ""
}

// exit ends the leader; only the first end of a process counts.
func (p *fakeProcess) exit(code int) { p.end(exitStatus{code: code}) }

func (p *fakeProcess) end(s exitStatus) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.over:
	default:
		p.status = s
		close(p.over)
	}
}

// exitAfter ends the leader after it has run for d.
func (p *fakeProcess) exitAfter(d time.Duration, code int) {
	time.AfterFunc(d, func() { p.exit(code) })
}

func (p *fakeProcess) PID() int { return p.pid }

func (p *fakeProcess) Exited() exitStatus {
	<-p.over
	return p.status
}

func (p *fakeProcess) Signal(sig syscall.Signal) error {
	p.mu.Lock()
	p.signals = append(p.signals, sig)
	p.mu.Unlock()
	if !p.deaf {
		p.end(exitStatus{code: -1, signal: sig})
	}
	return nil
}

func (p *fakeProcess) Members() []int { return []int{p.pid} }

func (p *fakeProcess) Usage() (ticks, pages uint64, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return 0, p.pages, p.pages > 0
}

func (p *fakeProcess) Kill() {
	p.mu.Lock()
	p.kills++
	p.mu.Unlock()
	p.end(exitStatus{code: -1, signal: syscall.SIGKILL})
}

func (p *fakeProcess) End(ctx context.Context) {
	if p.lasts {
		<-ctx.Done()
	}
	if p.leftover != nil {
		<-p.leftover
	}
	p.os.let(p)
}

// received are the signals so far, and how often it was killed.
func (p *fakeProcess) received() ([]syscall.Signal, int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.signals), p.kills
}

// fakeCluster is a cluster of fake processes. It lives in a synctest bubble,
// so that its clock stands still while anything happens, and jumps otherwise.
type fakeCluster struct {
	*Cluster
	t      *testing.T
	os     *fakeOS
	begun  time.Time
	stop   context.CancelFunc // the graceful stop
	result chan error         // of Run
}

// runFake runs a cluster until the test ends it, or its end.
func runFake(t *testing.T, untilDone bool, behave func(n int, p *fakeProcess) error, apps ...config.App) *fakeCluster {
	f := newFake(t, behave, apps...)
	f.run(untilDone)
	return f
}

func newFake(t *testing.T, behave func(n int, p *fakeProcess) error, apps ...config.App) *fakeCluster {
	t.Helper()
	os := &fakeOS{t: t, behave: behave, living: map[*fakeProcess]bool{}}
	cfg := &config.Config{Name: "test", Path: "/test/cluster.toml", Dir: "/test", Apps: apps}
	sys := system{start: os.start, run: os.run, sweep: func() []int { return nil }, jitter: func() float64 { return 0.5 }, machine: func() Machine {
		return Machine{Machine: port.Machine{Filter: errors.New("not in tests")}, Counting: errors.New("not in tests")}
	}}
	// Files do not change in a bubble, whose clock a wait for them would stop.
	sys.watch = func(ctx context.Context, _ watch.Options, _ func(string), _ func([]string)) { <-ctx.Done() }
	c := newCluster(cfg, "v0", sys)
	c.plan()
	return &fakeCluster{Cluster: c, t: t, os: os}
}

func (f *fakeCluster) run(untilDone bool) {
	ctx, stop := context.WithCancel(context.Background())
	f.stop, f.result, f.begun = stop, make(chan error, 1), time.Now()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f.result <- f.Run(ctx, untilDone)
	}()
	f.t.Cleanup(func() {
		stop()
		f.Kill()
		<-ended
		if n := len(f.os.living); n != 0 {
			f.t.Errorf("%d processes are left after Run", n)
		}
	})
	synctest.Wait()
}

// after lets time pass until d after the start, and everything happen that is
// to happen by then.
func (f *fakeCluster) after(d time.Duration) {
	f.t.Helper()
	passed := time.Since(f.begun)
	if d < passed {
		f.t.Fatalf("%s have passed already", passed)
	}
	time.Sleep(d - passed)
	synctest.Wait()
}

// do is Do, which has to be over without any time passing.
func (f *fakeCluster) do(verb Verb, targets ...string) error {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Nanosecond)
	defer cancel()
	err := f.Do(ctx, Action{Verb: verb, Targets: targets})
	if errors.Is(err, context.DeadlineExceeded) {
		f.t.Errorf("%s %v takes its time", verb, targets)
	}
	synctest.Wait()
	return err
}

// begins is Do in the background; the answer arrives in the channel.
func (f *fakeCluster) begins(verb Verb, targets ...string) <-chan error {
	answer := make(chan error, 1)
	go func() { answer <- f.Do(context.Background(), Action{Verb: verb, Targets: targets}) }()
	synctest.Wait()
	return answer
}

// instance is what a snapshot says of one.
func (f *fakeCluster) instance(id string) InstanceSnapshot {
	f.t.Helper()
	s, err := f.Snapshot(context.Background())
	if err != nil {
		f.t.Fatal(err)
	}
	for _, a := range s.Apps {
		for _, i := range a.Instances {
			if i.ID == id {
				return i
			}
		}
	}
	f.t.Fatalf("the snapshot has no %s", id)
	return InstanceSnapshot{}
}

// is checks the state of an instance and its reason.
func (f *fakeCluster) is(id string, state State, reason string) {
	f.t.Helper()
	if i := f.instance(id); i.State != state || i.Reason != reason {
		f.t.Errorf("%s is %s (%s), want %s (%s)", id, i.State, i.Reason, state, reason)
	}
}

// events are those of the cluster so far: "1.2s a/0 started, pid 9000001".
func (f *fakeCluster) events() []string {
	var out []string
	for _, l := range f.journal.page(LogQuery{Limit: 1 << 20}).Lines {
		if l.Stream == StreamEvent {
			out = append(out, strings.Join(strings.Fields(fmt.Sprint(l.At.Sub(f.begun), " ", l.Instance, " ", l.Text)), " "))
		}
	}
	return out
}

// readyTimeout is after how long an instance is called late.
const readyTimeout = 30 * time.Second

// worker is an app without a port, as a config with nothing set has it.
func worker(name string, instances int) config.App {
	return config.App{
		Name:          name,
		Command:       config.Command{Argv: []string{"/bin/sh"}},
		Instances:     instances,
		Cwd:           "/",
		Restart:       config.RestartAlways,
		SuccessCodes:  []int{0},
		BackoffMin:    100 * time.Millisecond,
		BackoffMax:    30 * time.Second,
		BackoffReset:  10 * time.Second,
		MaxRestarts:   10,
		RestartWindow: time.Minute,
		StopSignal:    syscall.SIGTERM,
		StopTimeout:   10 * time.Second,
		Ready:         config.Probe{Interval: 250 * time.Millisecond, Timeout: readyTimeout},
		Health:        config.Probe{Interval: 10 * time.Second, Timeout: 2 * time.Second, Failures: 3},
		Autostart:     true,
	}
}

// gate is the way of a worker that is ready when the test says so.
type gate struct {
	noPort
	admitted chan struct{}
}

func (g gate) listening(at place) func(context.Context, process, func(string)) (place, error) {
	return func(ctx context.Context, _ process, _ func(string)) (place, error) {
		select {
		case <-g.admitted:
			return at, nil
		case <-ctx.Done():
			return at, ctx.Err()
		}
	}
}
