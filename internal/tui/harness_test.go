package tui

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"go.uber.org/goleak"

	"clusterd/internal/proc"
)

func TestMain(m *testing.M) {
	if childRun() {
		return
	}
	if signal.Ignored(syscall.SIGHUP) { // as under nohup, which children would inherit
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	}
	goleak.VerifyTestMain(m)
}

// now is the time in every test.
var now = time.Date(2026, 5, 4, 15, 4, 5, 0, time.UTC)

// fakeCluster answers from what it is given and remembers what it was asked.
type fakeCluster struct {
	snap    *proc.Snapshot
	err     error // of Snapshot
	details map[string]*proc.Detail
	pages   map[string]proc.LogPage
	asked   []proc.LogQuery
	did     []proc.Action
	doErr   error
	logErr  error
	looks   int // snapshots asked for
	changes uint64
}

func (c *fakeCluster) Snapshot(context.Context) (*proc.Snapshot, error) {
	c.looks++
	if c.snap == nil {
		return nil, c.err
	}
	s := *c.snap
	s.Changes = c.changes
	for _, p := range c.pages {
		if n := len(p.Lines); n > 0 {
			s.LogSeq = max(s.LogSeq, p.Lines[n-1].Seq)
		}
	}
	return &s, c.err
}

func (c *fakeCluster) Detail(_ context.Context, target string) (*proc.Detail, error) {
	if d, ok := c.details[target]; ok {
		return d, nil
	}
	return nil, fmt.Errorf("nothing is known of %s", target)
}

func (c *fakeCluster) Logs(_ context.Context, q proc.LogQuery) (proc.LogPage, error) {
	c.asked = append(c.asked, q)
	if c.logErr != nil {
		return proc.LogPage{}, c.logErr
	}
	p := c.pages[strings.Join(q.Targets, " ")]
	p.Next, p.Changes = q.After, c.changes
	if n := len(p.Lines); q.After == 0 && n > q.Limit {
		p.Lines = p.Lines[n-q.Limit:]
	}
	i := slices.IndexFunc(p.Lines, func(l proc.Line) bool { return l.Seq > q.After })
	if i < 0 {
		p.Lines = nil
		return p, nil
	}
	p.Lines = p.Lines[i:]
	p.Next = p.Lines[len(p.Lines)-1].Seq
	return p, nil
}

func (c *fakeCluster) Do(_ context.Context, a proc.Action) error {
	c.did = append(c.did, a)
	return c.doErr
}

// dash is a dashboard without a terminal.
type dash struct {
	*model
	t       *testing.T
	cluster *fakeCluster
	quit    bool
	copied  string
}

// terminal is an environment.
type terminal map[string]string

func (e terminal) get(name string) string { return e[name] }

var utf8NoColor = terminal{"LANG": "C.UTF-8", "NO_COLOR": "1"}

// newDash shows a cluster's first snapshot on a screen of w by h cells.
func newDash(t *testing.T, c *fakeCluster, w, h int, env terminal) *dash {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	d := &dash{model: newModel(ctx, c, false, newTheme(env.get)), t: t, cluster: c}
	d.now = func() time.Time { return now }
	d.model.copy = func(text string) error { d.copied = text; return nil }
	d.size(w, h)
	d.poll()
	return d
}

// size is what the terminal says when it is resized.
func (d *dash) size(w, h int) { d.send(tea.WindowSizeMsg{Width: w, Height: h}) }

// poll is a tick without the wait.
func (d *dash) poll() { d.run(d.model.poll()) }

func (d *dash) send(msg tea.Msg) {
	_, cmd := d.Update(msg)
	d.run(cmd)
}

// run does what commands say, and what follows from that, at once.
func (d *dash) run(cmd tea.Cmd) {
	if cmd == nil {
		return
	}
	switch msg := cmd().(type) {
	case nil:
	case tea.QuitMsg:
		d.quit = true
	case tea.BatchMsg:
		for _, c := range msg {
			d.run(c)
		}
	default:
		d.send(msg)
	}
}

var namedKeys = map[string]tea.KeyType{
	"enter": tea.KeyEnter, "esc": tea.KeyEsc, "tab": tea.KeyTab, "up": tea.KeyUp,
	"down": tea.KeyDown, "left": tea.KeyLeft, "right": tea.KeyRight, "home": tea.KeyHome,
	"end": tea.KeyEnd, "pgup": tea.KeyPgUp, "pgdown": tea.KeyPgDown, "ctrl+c": tea.KeyCtrlC,
	"ctrl+s": tea.KeyCtrlS, "shift+tab": tea.KeyShiftTab, "ctrl+d": tea.KeyCtrlD, "ctrl+u": tea.KeyCtrlU, "ctrl+z": tea.KeyCtrlZ,
	"backspace": tea.KeyBackspace, "space": tea.KeySpace,
}

// press sends keys by name; anything without a name is typed as it is, in one
// message.
func (d *dash) press(keys ...string) {
	for _, k := range keys {
		if named, ok := namedKeys[k]; ok {
			msg := tea.KeyMsg{Type: named}
			if named == tea.KeySpace {
				msg.Runes = []rune{' '}
			}
			d.send(msg)
			continue
		}
		d.send(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(k)})
	}
}

// screen is what is shown, checked for its size.
func (d *dash) screen() string {
	d.t.Helper()
	s := d.View()
	lines := strings.Split(s, "\n")
	if d.w >= minWidth && d.h >= minHeight && len(lines) != d.h {
		d.t.Errorf("%d lines on a screen of %d", len(lines), d.h)
	}
	for i, l := range lines {
		if width(l) > d.w {
			d.t.Errorf("line %d has %d cells on a screen of %d: %q", i+1, width(l), d.w, l)
		}
	}
	return s
}

// shows fails unless all the texts are on the screen.
func (d *dash) shows(texts ...string) {
	d.t.Helper()
	s := d.screen()
	for _, text := range texts {
		if !strings.Contains(s, text) {
			d.t.Errorf("not on the screen: %q\n%s", text, s)
		}
	}
}

// hides fails if one of the texts is on the screen.
func (d *dash) hides(texts ...string) {
	d.t.Helper()
	s := d.screen()
	for _, text := range texts {
		if strings.Contains(s, text) {
			d.t.Errorf("on the screen: %q\n%s", text, s)
		}
	}
}

// lose has the cluster not answer any more, and that noticed so much later.
func (d *dash) lose(after time.Duration) {
	d.cluster.err = errLost
	at := d.now().Add(after)
	d.now = func() time.Time { return at }
	d.poll()
}

var errLost = errors.New("the cluster went away")

func ptr[T any](v T) *T { return &v }

// ready is an instance that serves.
func ready(app string, i int, requests uint64) proc.InstanceSnapshot {
	return proc.InstanceSnapshot{
		ID: fmt.Sprintf("%s/%d", app, i), Index: i, State: proc.StateReady, PID: ptr(4000 + i),
		Generation: 1, Uptime: ptr(8070.0), CPUPercent: ptr(3.2), RSSBytes: ptr(uint64(31 << 20)),
		Queue: ptr(uint64(0)), ConnectionsOpen: ptr(uint64(3)), ConnectionsTotal: ptr(requests / 10),
		RequestsTotal: &requests, RequestsExact: true, RequestsKind: proc.Exact, RequestsPerS: ptr(float64(requests) / 1000),
		Status:  &proc.Classes{Success: requests},
		Latency: &proc.Latency{P50: 0.812, P90: 2.1, P99: 7.5},
		BytesIn: ptr(requests * 80), BytesOut: ptr(requests * 900),
	}
}

func app(name string, port int, instances ...proc.InstanceSnapshot) proc.AppSnapshot {
	a := proc.AppSnapshot{
		Name: name, Command: "bin/" + name + " --serve", State: proc.StateReady,
		InstancesWanted: len(instances), Instances: instances,
		ListenWhy: "a worker: it has no port",
	}
	if port != 0 {
		a.Port = &port
		a.Listen, a.ListenWhy = "relay", "it serves everything that listens on $PORT"
		a.Count, a.CountWhy = "relay", "the relay follows every request"
		a.RequestsTotal, a.RequestsPerS, a.RequestsKind = ptr(uint64(0)), ptr(0.0), proc.Exact
		a.Queue, a.ConnectionsOpen, a.ConnectionsTotal = ptr(uint64(0)), ptr(uint64(0)), ptr(uint64(0))
		a.Status, a.Latency = &proc.Classes{}, &proc.Latency{P50: 0.9, P90: 2.3, P99: 7.9}
		for i := range 120 {
			a.RequestsHistory = append(a.RequestsHistory, float64((i*7)%23*40))
		}
	}
	for _, in := range instances {
		if in.State == proc.StateReady {
			a.Ready++
		}
		if port != 0 && in.RequestsTotal != nil {
			*a.RequestsTotal += *in.RequestsTotal
			*a.RequestsPerS += *in.RequestsPerS
			*a.ConnectionsOpen += *in.ConnectionsOpen
			*a.ConnectionsTotal += *in.ConnectionsTotal
			a.Status.Success += in.Status.Success
		}
	}
	return a
}

// worker is an instance without a port.
func worker(app string, i int) proc.InstanceSnapshot {
	in := ready(app, i, 0)
	in.Queue, in.ConnectionsOpen, in.ConnectionsTotal, in.RequestsTotal = nil, nil, nil, nil
	in.RequestsPerS, in.Status, in.Latency, in.BytesIn, in.BytesOut = nil, nil, nil, nil, nil
	in.RequestsExact, in.RequestsKind = false, proc.Unknown
	return in
}

func cluster(apps ...proc.AppSnapshot) *proc.Snapshot {
	return &proc.Snapshot{Name: "shop", Config: "/srv/shop/cluster.toml", PID: 812, Uptime: 8074, Apps: apps}
}

// mixed has something of everything.
func mixed() *proc.Snapshot {
	crashed := ready("api", 2, 9_400)
	crashed.State, crashed.Reason = proc.StateBackoff, "exit 1, retry in 8s"
	crashed.PID, crashed.Uptime, crashed.CPUPercent, crashed.RSSBytes, crashed.Restarts = nil, nil, nil, nil, 7
	crashed.RequestsPerS = ptr(0.0)
	crashed.LastExit = &proc.Exit{Code: 1, At: now.Add(-2 * time.Second), After: 3.2}
	restarted := ready("api", 1, 1_402_110)
	restarted.Restarts = 1
	restarted.LastExit = &proc.Exit{Code: -1, Signal: "SIGSEGV", At: now.Add(-3 * time.Minute), After: 600}
	stopped := worker("mail", 0)
	stopped.State, stopped.PID, stopped.Uptime, stopped.CPUPercent, stopped.RSSBytes = proc.StateStopped, nil, nil, nil, nil
	api := app("api", 8080, ready("api", 0, 1_350_200), restarted, crashed, ready("api", 3, 1_290_000))
	api.State = proc.StateBackoff
	mail := app("mail", 0, stopped)
	mail.State = proc.StateStopped
	return cluster(api, app("web", 3000, ready("web", 0, 610), ready("web", 1, 590)), app("jobs", 0, worker("jobs", 0)), mail)
}

// lines makes log lines of an instance, from seq on.
func lines(instance string, seq uint64, n int) []proc.Line {
	var out []proc.Line
	for i := range n {
		s := seq + uint64(i)
		stream := proc.StreamOut
		if s%5 == 0 {
			stream = proc.StreamErr
		}
		out = append(out, proc.Line{Seq: s, At: now, Instance: instance, Stream: stream, Text: fmt.Sprintf("GET /v1/users/%d 200 3ms", s)})
	}
	return out
}

func withLogs(s *proc.Snapshot) *fakeCluster {
	c := &fakeCluster{snap: s, pages: map[string]proc.LogPage{}, details: map[string]*proc.Detail{}}
	for i := range s.Apps {
		a := &s.Apps[i]
		c.pages[a.Name] = proc.LogPage{Lines: lines(a.Name+"/0", 1, 40)}
		c.details[a.Name] = detailOf(a.Name, a.Port != nil)
		for k := range a.Instances {
			id := a.Instances[k].ID
			c.details[id] = detailOf(id, a.Port != nil)
			c.pages[id] = proc.LogPage{Lines: append(lines(id, 100, 8),
				proc.Line{Seq: 200, At: now, Instance: id, Stream: proc.StreamEvent, Text: "exited with code 1 after 3.2s; restarting in 200ms (2nd failure)"})}
		}
	}
	return c
}

// detailOf is what is known of a target beyond the snapshot.
func detailOf(id string, serves bool) *proc.Detail {
	d := &proc.Detail{
		Target: id, Cwd: "/srv/shop",
		Env: []proc.Variable{{Name: "API_KEY", Value: "sk-12345"}, {Name: "DATABASE", Value: "postgres://joe:hunter2@db/x"}, {Name: "LOG_LEVEL", Value: "info"}},
		Exits: []proc.PastExit{
			{Instance: id, Generation: 8, Exit: proc.Exit{Code: 1, At: now.Add(-2 * time.Second), After: 3.2}},
			{Instance: id, Generation: 7, Exit: proc.Exit{Code: -1, Signal: "SIGSEGV", At: now.Add(-3 * time.Minute), After: 600}},
		},
	}
	if serves {
		d.Latency = []proc.Bucket{{Upto: 0.5}, {Upto: 1, Count: 70}, {Upto: 2, Count: 20}, {Upto: 5}, {Upto: 10, Count: 1}, {}}
		for i := range 120 {
			d.History = append(d.History, float64((i*5)%17*20))
		}
	}
	return d
}
