package proc

import "time"

// message is a fact or a request for the event loop. The types below are all
// there are; the loop's switch names what each of them does.
type message interface{ isMessage() }

// Facts about runs.
type (
	// launchedMsg: the process was started, or could not be.
	launchedMsg struct {
		run     *run
		process process
		silent  <-chan struct{} // closed once all of its output is in the journal
		err     error
	}
	// listeningMsg: the process serves at its place.
	listeningMsg struct {
		run *run
		at  place
	}
	// hintMsg: the process does not listen, and this may be why.
	hintMsg struct {
		run  *run
		text string
	}
	// lateMsg: readyTimeout has passed since the launch.
	lateMsg struct{ run *run }
	// drainedMsg: the process has answered what it had; it may be told to stop.
	drainedMsg struct{ run *run }
	// overdueMsg: stop_timeout has passed since the stop signal.
	overdueMsg struct{ run *run }
	// exitedMsg: the leader has ended.
	exitedMsg struct {
		run    *run
		status exitStatus
	}
	// endedMsg: no process of the run is left.
	endedMsg struct{ run *run }
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
	// usageMsg: what the processes use now.
	usageMsg struct{ readings []usageReading }
)

// Requests.
type (
	snapshotMsg struct{ reply chan<- *Snapshot }
	actionMsg   struct {
		action Action
		reply  chan<- error // buffered
	}
)

func (launchedMsg) isMessage()   {}
func (listeningMsg) isMessage()  {}
func (hintMsg) isMessage()       {}
func (lateMsg) isMessage()       {}
func (drainedMsg) isMessage()    {}
func (overdueMsg) isMessage()    {}
func (exitedMsg) isMessage()     {}
func (endedMsg) isMessage()      {}
func (retryMsg) isMessage()      {}
func (openFailedMsg) isMessage() {}
func (usageMsg) isMessage()      {}
func (snapshotMsg) isMessage()   {}
func (actionMsg) isMessage()     {}
