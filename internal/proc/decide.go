package proc

import (
	"fmt"
	"slices"
	"time"

	"clusterd/internal/config"
)

// policy is what decide needs of an app's config.
type policy struct {
	restart      config.Restart
	successCodes []int
	backoff      backoff
	reset        time.Duration // ready for this long: failures before do not count
	maxRestarts  int           // 0: never give up
	window       time.Duration
}

func policyOf(a config.App) policy {
	return policy{
		restart:      a.Restart,
		successCodes: a.SuccessCodes,
		backoff:      backoff{min: a.BackoffMin, max: a.BackoffMax},
		reset:        a.BackoffReset,
		maxRestarts:  a.MaxRestarts,
		window:       a.RestartWindow,
	}
}

// ending is a run that no user asked to end, or that could not be launched.
type ending struct {
	launch   error // why it could not; nil: it ran, and ended with status
	status   exitStatus
	at       time.Time
	ran      time.Duration
	readyFor time.Duration // 0: it never was ready
	output   []string      // the last lines that it wrote
	fault    string        // why clusterd ended it; "": it did not
	leftSome bool          // processes that went on when the leader had ended
}

// history is what a slot remembers between runs.
type history struct {
	streak   int         // ends in a row, none of them after a long time ready
	exits    int         // those of the streak that were successes
	failures []time.Time // within the restart window, oldest first
}

// decision is what to do after an ending.
type decision struct {
	next   State         // StateBackoff, StateFailed or StateDone
	delay  time.Duration // of StateBackoff; 0: at once
	reason string        // for the state: "exit 1, retry in 8s"
	event  string        // for the log: "exited with code 1 after 3.2s; restarting in 8s (4th failure)"
}

// decide says what follows an ending, and what to remember. It is a pure
// function: jitter in [0,1) is the only chance in it.
//
// A run that was ready for long counts as healthy: its end starts a new streak,
// and the first end of a streak is answered at once. The following ones wait,
// twice as long each time. More than maxRestarts failures within window are a
// crash loop, and the end. An exit with one of the successCodes is no failure,
// but part of the streak, so that a program that only ever succeeds at once does
// not keep a core busy.
func decide(p policy, h history, e ending, jitter float64) (decision, history) {
	what, brief := fmt.Sprintf("%s after %s", e.status, round(e.ran)), short(e.status)
	success := e.status.signal == 0 && slices.Contains(p.successCodes, e.status.code)
	if e.fault != "" {
		what, brief, success = e.fault+"; "+what, e.fault, false
	}
	if e.launch != nil {
		what = "cannot start: " + e.launch.Error()
		brief, success = what, false
	}
	switch {
	case p.restart == config.RestartNever && success,
		p.restart == config.RestartOnFailure && success:
		return decision{next: StateDone, reason: brief, event: what + "; done"}, history{}
	case p.restart == config.RestartNever:
		return decision{
			next:   StateFailed,
			reason: brief + `, restart = "never"`,
			event:  what + `; not restarting (restart = "never")`,
		}, history{}
	}

	if e.readyFor >= p.reset {
		h.streak, h.exits = 0, 0
	}
	h.streak++
	since := e.at.Add(-p.window)
	h.failures = slices.DeleteFunc(slices.Clone(h.failures), func(t time.Time) bool { return t.Before(since) })
	var nth string
	if success {
		h.exits++
		nth = ordinal(h.exits) + " exit"
	} else {
		h.failures = append(h.failures, e.at)
		nth = ordinal(h.streak-h.exits) + " failure"
	}

	if n := len(h.failures); p.maxRestarts > 0 && n > p.maxRestarts {
		span := round(e.at.Sub(h.failures[0]))
		return decision{
			next:   StateFailed,
			reason: fmt.Sprintf("%s, gave up after %d failures in %s", brief, n, span),
			event:  fmt.Sprintf("%s; giving up: %d failures in %s", what, n, span),
		}, history{}
	}

	delay := p.backoff.delay(h.streak, jitter)
	if h.streak == 1 && e.readyFor > 0 {
		delay = 0
	}
	d := decision{next: StateBackoff, delay: delay, reason: brief}
	if delay == 0 {
		d.event = what + "; restarting at once"
	} else {
		d.event = fmt.Sprintf("%s; restarting in %s (%s)", what, round(delay), nth)
	}
	return d, h
}

// backoff grows from min to max, twice as long at each end.
type backoff struct{ min, max time.Duration }

// delay is what to wait after the nth end in a row, n from 1: half of it is
// fixed, half is spread by jitter in [0,1), so that instances that failed
// together do not come back together.
func (b backoff) delay(n int, jitter float64) time.Duration {
	d := b.min
	for i := 1; i < n && d < b.max; i++ {
		d *= 2
	}
	d = min(d, b.max)
	return d/2 + time.Duration(jitter*float64(d/2))
}

// short says an exit in a few letters: "exit 1", "SIGKILL".
func short(s exitStatus) string {
	if s.signal != 0 {
		return signalName(s.signal)
	}
	return fmt.Sprintf("exit %d", s.code)
}

// round makes a duration short to read: three significant digits or so.
func round(d time.Duration) time.Duration {
	switch {
	case d < 10*time.Millisecond:
		return d.Round(100 * time.Microsecond)
	case d < time.Second:
		return d.Round(time.Millisecond)
	case d < time.Minute:
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Second)
}

func ordinal(n int) string {
	suffix := "th"
	switch {
	case n%100 >= 11 && n%100 <= 13:
	case n%10 == 1:
		suffix = "st"
	case n%10 == 2:
		suffix = "nd"
	case n%10 == 3:
		suffix = "rd"
	}
	return fmt.Sprintf("%d%s", n, suffix)
}
