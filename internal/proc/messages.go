package proc

import (
	"context"
	"time"

	"clusterd/internal/config"
	"clusterd/internal/handover"
)

// message is a fact or a request for the event loop. The types below are all
// there are; the loop's switch names what each of them does.
type message interface{ isMessage() }

// Facts about runs.
type (
	// launchedMsg: the process was started, or could not be.
	launchedMsg struct {
		run      *run
		process  process
		streams  *streams
		silent   <-chan struct{} // closed once all of its output is in the journal
		notifier *notifier       // nil: it has nothing to say
		err      error
	}
	// listeningMsg: the process serves at its place.
	listeningMsg struct {
		run *run
		at  place
	}
	// refusedMsg: the process cannot be adopted.
	refusedMsg struct {
		run    *run
		reason string
	}
	// hintMsg: the process does not listen, and this may be why.
	hintMsg struct {
		run  *run
		text string
	}
	// passedMsg: the check for readiness has passed.
	passedMsg struct{ run *run }
	// healthMsg: the run was asked how it is; the error says what is wrong.
	healthMsg struct {
		run *run
		err error
	}
	// noticeMsg: a process of the run says something of itself.
	noticeMsg struct {
		run    *run
		notice notice
	}
	// lateMsg: the time for becoming ready has passed since the launch.
	lateMsg struct{ run *run }
	// drainedMsg: the process has answered what it had; it may be told to stop.
	drainedMsg struct{ run *run }
	// overdueMsg: stop_timeout has passed since the stop signal, or since the run
	// said that it was stopping.
	overdueMsg struct{ run *run }
	// exitedMsg: the leader has ended.
	exitedMsg struct {
		run    *run
		status exitStatus
	}
	// endedMsg: no process of the run is left. leftSome: there were when its leader
	// had ended.
	endedMsg struct {
		run      *run
		leftSome bool
	}
)

// Other facts.
type (
	// retryMsg: the backoff is over.
	retryMsg struct {
		inst  *instance
		timer *time.Timer
	}
	// openFailedMsg: the public address of an app could not be had.
	openFailedMsg struct {
		app *app
		err error
	}
	// slotRemovedMsg: the slot of an instance that is not wanted any more is no
	// part of the port any more.
	slotRemovedMsg struct{ inst *instance }
	// filesChangedMsg: files that an app watches have changed.
	filesChangedMsg struct {
		app   *app
		files []string
	}
	// pausedMsg: nothing is read from these runs any more.
	pausedMsg struct{ runs []*run }
	// handOverdueMsg: the handing has waited long enough.
	handOverdueMsg struct{ handing *handing }
	// usageMsg: what the processes use now.
	usageMsg struct{ readings []usageReading }
)

// Requests.
type (
	snapshotMsg struct {
		measured bool // with durations
		reply    chan<- view
	}
	actionMsg struct {
		action Action
		asks   context.Context // ends when nobody waits for the reply any more
		reply  chan<- error    // buffered
	}
	// detailMsg asks for what is known of an app or an instance.
	detailMsg struct {
		target string
		reply  chan<- detailReply // buffered
	}
	// applyMsg asks to run by another config.
	applyMsg struct {
		config *config.Config
		told   chan<- []string // buffered; what is changed
		reply  chan<- error    // buffered
	}
	// handOverMsg asks for the cluster to be packed for the next program.
	handOverMsg struct {
		bag   *handover.Bag
		reply chan<- error // buffered
	}
	// dialMsg asks how to connect to an instance.
	dialMsg struct {
		target string
		reply  chan<- route // buffered
	}
)

func (launchedMsg) isMessage()     {}
func (listeningMsg) isMessage()    {}
func (hintMsg) isMessage()         {}
func (refusedMsg) isMessage()      {}
func (passedMsg) isMessage()       {}
func (healthMsg) isMessage()       {}
func (noticeMsg) isMessage()       {}
func (lateMsg) isMessage()         {}
func (drainedMsg) isMessage()      {}
func (overdueMsg) isMessage()      {}
func (exitedMsg) isMessage()       {}
func (endedMsg) isMessage()        {}
func (retryMsg) isMessage()        {}
func (openFailedMsg) isMessage()   {}
func (slotRemovedMsg) isMessage()  {}
func (usageMsg) isMessage()        {}
func (snapshotMsg) isMessage()     {}
func (actionMsg) isMessage()       {}
func (detailMsg) isMessage()       {}
func (dialMsg) isMessage()         {}
func (filesChangedMsg) isMessage() {}
func (applyMsg) isMessage()        {}
func (pausedMsg) isMessage()       {}
func (handOverMsg) isMessage()     {}
func (handOverdueMsg) isMessage()  {}
