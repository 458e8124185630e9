package proc

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"clusterd/internal/config"
	"clusterd/internal/port"
)

// instance is one slot of an app, and the processes in it, if any. Only the
// event loop touches it.
type instance struct {
	app   *app
	index int
	id    string // "web/0"

	state  State
	since  time.Time // it is in that state
	reason string    // without the time until the next retry
	run    *run      // nil: no process, nor anything left of one

	// While it is being reloaded, there may be other processes beside those of run.
	step    *step  // of the reload; nil: none is under way
	next    *run   // the successor of run, until it is ready; nil: none
	leaving []*run // predecessors, and successors that came to nothing
	// ended is how run ended while its successor was starting; what follows
	// depends on that one. Otherwise nil.
	ended *ending

	hopeless   bool   // while it waits: for what will not come by itself
	unwanted   bool   // to be stopped, when its turn has come
	stopsAfter string // whose turn it is before; "": its own has come
	surplus    bool   // to be removed, once nothing of it runs
	removing   bool   // its slot is being given up
	removed    bool

	generation int  // the newest
	hasRun     bool // a process could be launched
	restarts   int
	history    history
	lastExit   *Exit
	exits      []PastExit // the last ones, newest last

	retry   *time.Timer // not nil in StateBackoff
	retryAt time.Time
	// again asks for a new start as soon as nothing of the run is left; only
	// while it is stopping, or has exited.
	again bool

	meter    meter
	usage    usage
	measured bool   // ticks are known
	ticks    uint64 // of CPU time that all its processes have used
	latency  latencyReading
}

// run is one generation of an instance, from the decision to start it to the
// end of its last process.
type run struct {
	inst     *instance
	config   config.App // by which it was started
	place    place
	access   access
	process  process         // nil while it is being launched
	output   *tail           // what it wrote last
	silent   <-chan struct{} // closed once all of its output is in the journal
	streams  *streams        // what the journal reads from
	notifier *notifier       // nil: it has nothing to say

	paused   bool                // nothing is read from it any more, for the next program to go on
	adoption *port.AdoptionState // packed; nil: not, or there is none
	serve    func()              // goes on with an adoption that was handed over, once; nil: there is none

	launchedAt  time.Time
	readyAt     time.Time // zero: not yet
	listens     bool      // it serves at its place
	asking      bool      // it is being asked whether it is ready
	passed      bool      // the check for that has passed
	late        bool      // not ready in time
	early       *place    // it served there before it was known to be launched
	hint        string    // what seems to keep it from being ready
	ailing      int       // failed health checks in a row
	ailingSince time.Time // the first of them
	suspended   bool      // since them, others get its new connections
	unasked     bool      // its health cannot be checked, as has been said
	fault       string    // why clusterd itself ends it, as a failure; "": it does not
	says        string    // its STATUS, see sd_notify(3)
	leaves      bool      // it has said that it is stopping
	main        member    // what it has named as its main process; pid 0: nothing
	exited      bool      // the leader has ended
	status      exitStatus
	exit        *Exit // nil: not yet
	over        bool  // nothing is left of it

	// alive ends when the leader has ended: what depends on the process
	// (readiness, forwarding) ends with it.
	alive    context.Context
	hasEnded context.CancelFunc
	// arriving ends when it serves at its place, or alive does.
	arriving context.Context
	arrived  context.CancelFunc
	// watched ends when alive does, or it is told to end: nobody asks any more how
	// it is.
	watched context.Context
	unwatch context.CancelFunc
	matched atomic.Bool   // it has written the line that says that it is ready
	fed     chan struct{} // holds something when the watchdog has been heard
	// patience ends when what is left of the run is to be killed.
	patience context.Context
	hurry    context.CancelFunc

	stopping bool // asked to end, by the user or a restart
	signaled bool // stop_signal has been sent
	deadline *time.Timer
}

func newRun(inst *instance, at place) *run {
	r := &run{inst: inst, config: inst.app.config, place: at, output: &tail{}, fed: make(chan struct{}, 1)}
	r.place.members = func() []int { return r.process.Members() }
	r.alive, r.hasEnded = context.WithCancel(context.Background())
	r.arriving, r.arrived = context.WithCancel(r.alive)
	r.watched, r.unwatch = context.WithCancel(r.alive)
	r.patience, r.hurry = context.WithCancel(context.Background())
	return r
}

// settled tells that nothing of the instance runs and nothing is about to. (It
// is starting without a run while it is found out who has its port.)
func (i *instance) settled() bool {
	return len(i.runs()) == 0 && i.state != StateBackoff && i.state != StateStarting && i.state != StateWaiting && !i.removing
}

// runs are all runs of which something is left.
func (i *instance) runs() []*run {
	runs := slices.Clone(i.leaving)
	for _, r := range []*run{i.run, i.next} {
		if r != nil {
			runs = append(runs, r)
		}
	}
	return runs
}

// current tells whether r is the instance's run, and neither one before it nor
// its successor.
func (r *run) current() bool { return r.inst.run == r }

// serving tells whether the run is ready and to stay so.
func (r *run) serving() bool { return !r.readyAt.IsZero() && !r.stopping && !r.exited }

// ran is how long the leader ran.
func (r *run) ran() time.Duration { return r.exit.At.Sub(r.launchedAt) }

// ending is how a run ended that nobody asked to.
func (r *run) ending() ending {
	return ending{
		status:   r.status,
		at:       r.exit.At,
		ran:      r.ran(),
		readyFor: r.readyFor(r.exit.At),
		fault:    r.fault,
		output:   r.output.lines(),
	}
}

// readyFor is how long the run has been ready at a time; 0: never.
func (r *run) readyFor(at time.Time) time.Duration {
	switch {
	case r.readyAt.IsZero():
		return 0
	case !r.ailingSince.IsZero():
		at = r.ailingSince
	}
	return at.Sub(r.readyAt)
}
