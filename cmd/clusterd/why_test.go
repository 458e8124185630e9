package main

import (
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"

	"clusterd/internal/proc"
)

func TestParagraph(t *testing.T) {
	words := strings.Repeat("ünïcødé ", 30)
	got := paragraph("  label  ", words)
	if strings.Join(strings.Fields(got), " ") != "label "+strings.TrimSpace(words) {
		t.Errorf("the words have changed:\n%s", got)
	}
	lines := strings.Split(strings.TrimSuffix(got, "\n"), "\n")
	for i, line := range lines {
		if width := ansi.StringWidth(line); width > pageWidth || i < len(lines)-1 && width+8 <= pageWidth {
			t.Errorf("a line of %d cells: %q", width, line)
		}
		if i > 0 && !strings.HasPrefix(line, "         ü") {
			t.Errorf("not indented: %q", line)
		}
	}
	long := strings.Repeat("x", 2*pageWidth)
	if got, want := paragraph("a ", "b "+long+" c"), "a b\n  "+long+"\n  c\n"; got != want {
		t.Errorf("with a word that is too long: %q", got)
	}
	if got := paragraph("label ", ""); got != "label\n" {
		t.Errorf("without words: %q", got)
	}
}

func TestAccount(t *testing.T) {
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.Local)
	before := func(d time.Duration) time.Time { return noon.Add(-d) }
	port, pid, up := 8080, 913, 90.0
	retry := noon.Add(8 * time.Second)
	bad := proc.InstanceSnapshot{
		ID: "web/1", State: proc.StateBackoff, Reason: "exit 1, retry in 8s", Since: before(12 * time.Second), RetryAt: &retry,
		Generation: 4, Restarts: 3, LastExit: &proc.Exit{Code: 1, At: before(12 * time.Second), After: 0.0215},
	}
	good := proc.InstanceSnapshot{
		ID: "web/0", State: proc.StateReady, Since: before(90 * time.Second), PID: &pid, Uptime: &up, Generation: 1,
		LastExit: &proc.Exit{Code: -1, Signal: "SIGKILL", At: before(48 * time.Hour), After: 3661},
	}
	web := proc.AppSnapshot{
		Name: "web", Port: &port, State: proc.StateBackoff, Ready: 1, InstancesWanted: 2,
		Listen: "relay", ListenWhy: "it cannot be adopted: its process may not be looked into; instances must listen on $PORT",
		Count: "off", CountWhy: `count = "off"`,
		Instances: []proc.InstanceSnapshot{good, bad},
	}
	worker := proc.AppSnapshot{Name: "job", State: proc.StateStopped, ListenWhy: "a worker: it has no port"}
	for _, x := range []struct {
		name string
		account
		want string
	}{
		{"an app", account{
			app: web, whole: true, in: &bad,
			output: []proc.Line{{At: before(13 * time.Second), Instance: "web/1", Stream: proc.StreamErr, Text: "\x1b[31mno database\x1b[0m"}},
			events: []proc.Line{{At: before(12 * time.Second), Instance: "web/1", Stream: proc.StreamEvent, Text: "exited with code 1 after 21ms; restarting in 20s (3rd failure)"}},
		}, `web is backoff: 1 of 2 ready
The instance that needs a look most:

web/1 is backoff since 11:59:48 (12s ago): its process has ended, and it is
started again by itself.

  reason      exit 1, retry in 8s
  next start  at 12:00:08
  process     none; generation 4, 3 restarts without being asked
  last exit   with code 1 after 22ms, at 11:59:48 (12s ago)
  port        8080, by relay: it cannot be adopted: its process may not be
              looked into; instances must listen on $PORT
  requests    not counted: count = "off"

Last output
  11:59:47 no database

Last events
  11:59:48 web/1 exited with code 1 after 21ms; restarting in 20s (3rd failure)

The other instances
  web/0  ready for 1m30s
`},
		{"an instance", account{app: web, in: &good}, `web/0 is ready since 11:58:30 (1m30s ago): all is well.

  process     pid 913, up 1m30s; generation 1, 0 restarts without being asked
  last exit   by SIGKILL after 1h01m, at 2025-12-31 12:00:00 (2d0h ago)
  port        8080, by relay: it cannot be adopted: its process may not be
              looked into; instances must listen on $PORT
  requests    not counted: count = "off"
`},
		{"an app without instances", account{app: worker, whole: true}, `job is stopped: 0 of 0 ready
It has no instance; this gives it one: clusterd scale job=1

  port        a worker: it has no port
`},
	} {
		x.now = noon
		if diff := cmp.Diff(x.want, x.account.String()); diff != "" {
			t.Errorf("%s:\n%s", x.name, diff)
		}
	}
}

// Every state has its meaning.
func TestEveryStateHasAMeaning(t *testing.T) {
	for _, s := range []proc.State{
		proc.StateWaiting, proc.StateStarting, proc.StateReady, proc.StateUnready, proc.StateStopping,
		proc.StateStopped, proc.StateBackoff, proc.StateFailed, proc.StateDone,
	} {
		if meaning(&proc.InstanceSnapshot{ID: "a/0", State: s}) == "" {
			t.Errorf("%s has none", s)
		}
	}
}
