package proc

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"clusterd/internal/config"
)

func TestDecide(t *testing.T) {
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	ago := func(ds ...time.Duration) (out []time.Time) {
		for _, d := range ds {
			out = append(out, noon.Add(-d))
		}
		return out
	}
	always := policy{
		restart:      config.RestartAlways,
		successCodes: []int{0, 3},
		backoff:      backoff{min: 100 * time.Millisecond, max: 30 * time.Second},
		reset:        10 * time.Second,
		maxRestarts:  3,
		window:       time.Minute,
	}
	onFailure, never, forEver := always, always, always
	onFailure.restart = config.RestartOnFailure
	never.restart = config.RestartNever
	forEver.maxRestarts = 0
	code := func(n int) exitStatus { return exitStatus{code: n} }
	sigkill := exitStatus{code: -1, signal: syscall.SIGKILL}

	for _, x := range []struct {
		name    string
		policy  policy
		history history
		ending  ending
		want    decision
		after   history
	}{
		{
			name:   "a healthy instance's first crash is answered at once",
			policy: always,
			ending: ending{status: code(1), ran: time.Hour, readyFor: time.Hour},
			want:   decision{next: StateBackoff, reason: "exit 1", event: "exited with code 1 after 1h0m0s; restarting at once"},
			after:  history{streak: 1, failures: ago(0)},
		},
		{
			name:   "one that never was ready waits",
			policy: always,
			ending: ending{status: code(1), ran: 3200 * time.Millisecond},
			want: decision{next: StateBackoff, delay: 50 * time.Millisecond, reason: "exit 1",
				event: "exited with code 1 after 3.2s; restarting in 50ms (1st failure)"},
			after: history{streak: 1, failures: ago(0)},
		},
		{
			name:    "the second failure in a row waits twice as long",
			policy:  always,
			history: history{streak: 1, failures: ago(time.Second)},
			ending:  ending{status: sigkill, ran: time.Second, readyFor: time.Second},
			want: decision{next: StateBackoff, delay: 100 * time.Millisecond, reason: "SIGKILL",
				event: "was killed by SIGKILL after 1s; restarting in 100ms (2nd failure)"},
			after: history{streak: 2, failures: ago(time.Second, 0)},
		},
		{
			name:    "a long time ready ends the streak, not the window",
			policy:  always,
			history: history{streak: 2, failures: ago(40*time.Second, 30*time.Second)},
			ending:  ending{status: code(1), ran: 12 * time.Second, readyFor: 11 * time.Second},
			want:    decision{next: StateBackoff, reason: "exit 1", event: "exited with code 1 after 12s; restarting at once"},
			after:   history{streak: 1, failures: ago(40*time.Second, 30*time.Second, 0)},
		},
		{
			name:    "too many within the window",
			policy:  always,
			history: history{streak: 3, failures: ago(50*time.Second, 9*time.Second, time.Second)},
			ending:  ending{status: code(7), ran: time.Second},
			want: decision{next: StateFailed, reason: "exit 7, gave up after 4 failures in 50s",
				event: "exited with code 7 after 1s; giving up: 4 failures in 50s"},
		},
		{
			name:    "old failures leave the window",
			policy:  always,
			history: history{streak: 3, failures: ago(61*time.Second, 9*time.Second, time.Second)},
			ending:  ending{status: code(7), ran: time.Second},
			want: decision{next: StateBackoff, delay: 400 * time.Millisecond, reason: "exit 7",
				event: "exited with code 7 after 1s; restarting in 400ms (4th failure)"},
			after: history{streak: 4, failures: ago(9*time.Second, time.Second, 0)},
		},
		{
			name:    "max_restarts = 0 never gives up",
			policy:  forEver,
			history: history{streak: 40, failures: ago(3*time.Second, 2*time.Second, time.Second)},
			ending:  ending{status: code(1), ran: time.Second},
			want: decision{next: StateBackoff, delay: 15 * time.Second, reason: "exit 1",
				event: "exited with code 1 after 1s; restarting in 15s (41st failure)"},
			after: history{streak: 41, failures: ago(3*time.Second, 2*time.Second, time.Second, 0)},
		},
		{
			name:   "always restarts after success, too",
			policy: always,
			ending: ending{status: code(0), ran: time.Minute, readyFor: time.Minute},
			want:   decision{next: StateBackoff, reason: "exit 0", event: "exited with code 0 after 1m0s; restarting at once"},
			after:  history{streak: 1, exits: 1},
		},
		{
			name:    "success never counts as a failure, but waits",
			policy:  always,
			history: history{streak: 5, exits: 2, failures: ago(3*time.Second, 2*time.Second, time.Second)},
			ending:  ending{status: code(3), ran: time.Second, readyFor: time.Second},
			want: decision{next: StateBackoff, delay: 1600 * time.Millisecond, reason: "exit 3",
				event: "exited with code 3 after 1s; restarting in 1.6s (3rd exit)"},
			after: history{streak: 6, exits: 3, failures: ago(3*time.Second, 2*time.Second, time.Second)},
		},
		{
			name:    "nor is it part of the count of failures",
			policy:  always,
			history: history{streak: 5, exits: 4, failures: ago(time.Second)},
			ending:  ending{status: code(1), ran: time.Second, readyFor: time.Second},
			want: decision{next: StateBackoff, delay: 1600 * time.Millisecond, reason: "exit 1",
				event: "exited with code 1 after 1s; restarting in 1.6s (2nd failure)"},
			after: history{streak: 6, exits: 4, failures: ago(time.Second, 0)},
		},
		{
			name:   "what could not be launched is a failure, whatever the codes",
			policy: always,
			ending: ending{launch: errors.New("no memory")},
			want: decision{next: StateBackoff, delay: 50 * time.Millisecond, reason: "cannot start: no memory",
				event: "cannot start: no memory; restarting in 50ms (1st failure)"},
			after: history{streak: 1, failures: ago(0)},
		},
		{
			name:   "on-failure is done after success",
			policy: onFailure,
			ending: ending{status: code(3), ran: time.Second, readyFor: time.Second},
			want:   decision{next: StateDone, reason: "exit 3", event: "exited with code 3 after 1s; done"},
		},
		{
			name:   "a signal is no success",
			policy: onFailure,
			ending: ending{status: sigkill, ran: time.Second, readyFor: time.Second},
			want:   decision{next: StateBackoff, reason: "SIGKILL", event: "was killed by SIGKILL after 1s; restarting at once"},
			after:  history{streak: 1, failures: ago(0)},
		},
		{
			name:   "never is done after success",
			policy: never,
			ending: ending{status: code(0), ran: time.Second, readyFor: time.Second},
			want:   decision{next: StateDone, reason: "exit 0", event: "exited with code 0 after 1s; done"},
		},
		{
			name:   "never fails after a failure",
			policy: never,
			ending: ending{status: code(1), ran: time.Second, readyFor: time.Second},
			want: decision{next: StateFailed, reason: `exit 1, restart = "never"`,
				event: `exited with code 1 after 1s; not restarting (restart = "never")`},
		},
	} {
		t.Run(x.name, func(t *testing.T) {
			x.ending.at = noon
			got, after := decide(x.policy, x.history, x.ending, 0)
			if d := cmp.Diff(x.want, got, cmp.AllowUnexported(decision{})); d != "" {
				t.Errorf("decision (-want +got):\n%s", d)
			}
			if d := cmp.Diff(x.after, after, cmp.AllowUnexported(history{})); d != "" {
				t.Errorf("history (-want +got):\n%s", d)
			}
		})
	}
}

func TestBackoff(t *testing.T) {
	b := backoff{min: 100 * time.Millisecond, max: 30 * time.Second}
	for n, want := range map[int]time.Duration{1: 100, 2: 200, 5: 1600, 9: 25600, 10: 30000, 1000: 30000} {
		want *= time.Millisecond
		if low := b.delay(n, 0); low != want/2 {
			t.Errorf("failure %d without jitter: %s, want %s", n, low, want/2)
		}
		if high := b.delay(n, 0.999); high <= want*98/100 || high > want {
			t.Errorf("failure %d with all jitter: %s, want just below %s", n, high, want)
		}
	}
}

func TestOrdinal(t *testing.T) {
	for n, want := range map[int]string{1: "1st", 2: "2nd", 3: "3rd", 4: "4th", 11: "11th", 12: "12th", 13: "13th", 21: "21st", 102: "102nd", 111: "111th"} {
		if got := ordinal(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
}
