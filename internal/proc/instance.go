package proc

import (
	"context"
	"time"

	"clusterd/internal/config"
	"clusterd/internal/traffic"
)

// app is the loop's view of one app.
type app struct {
	config    config.App
	policy    policy
	way       chosen
	open      bool // the public address is held
	refused   bool // it could not be had, and it is being found out who has it
	instances []*instance
	meter     traffic.Meter
}

// instance is one slot of an app, and the process in it, if any. Only the
// event loop touches it.
type instance struct {
	app   *app
	index int
	id    string // "web/0"

	state  State
	reason string // without the time until the next retry
	run    *run   // nil: no process, nor anything left of one

	generation int
	hasRun     bool // a process could be launched
	restarts   int
	history    history
	lastExit   *Exit

	retry   *time.Timer // not nil in StateBackoff
	retryAt time.Time
	// again asks for a new start as soon as nothing of the run is left; only
	// while it is stopping, or has exited.
	again bool

	counters *traffic.Counters
	meter    traffic.Meter
	usage    usage
	latency  latencyReading
}

// run is one generation of an instance, from the decision to start it to the
// end of its last process.
type run struct {
	inst       *instance
	generation int
	place      place
	process    process         // nil while it is being launched
	silent     <-chan struct{} // closed once all of its output is in the journal

	launchedAt time.Time
	readyAt    time.Time // zero: not yet
	late       bool      // not ready within readyTimeout
	exited     bool      // the leader has ended
	status     exitStatus

	// alive ends when the leader has ended: what depends on the process
	// (readiness, forwarding) ends with it.
	alive    context.Context
	hasEnded context.CancelFunc
	// patience ends when what is left of the run is to be killed.
	patience context.Context
	hurry    context.CancelFunc

	stopping bool // asked to end, by the user or a restart
	signaled bool // stop_signal has been sent
	deadline *time.Timer
}

func newRun(inst *instance, at place) *run {
	r := &run{inst: inst, generation: inst.generation, place: at}
	r.alive, r.hasEnded = context.WithCancel(context.Background())
	r.patience, r.hurry = context.WithCancel(context.Background())
	return r
}

// settled tells that nothing of the instance runs and nothing is about to. (It
// is starting without a run while it is found out who has its port.)
func (i *instance) settled() bool {
	return i.run == nil && i.state != StateBackoff && i.state != StateStarting
}

// current tells whether r is still the instance's run: messages of earlier
// ones come too late.
func (r *run) current() bool { return r.inst.run == r }

// readyFor is how long the run has been ready at a time; 0: never.
func (r *run) readyFor(at time.Time) time.Duration {
	if r.readyAt.IsZero() {
		return 0
	}
	return at.Sub(r.readyAt)
}
