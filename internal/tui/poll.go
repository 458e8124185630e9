package tui

import (
	"context"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"clusterd/internal/proc"
)

const (
	// pollEvery is how old what is on the screen may get: fast enough to look
	// live, slow enough to cost nothing.
	pollEvery = 250 * time.Millisecond
	// detailEvery is how many ticks there are to a look at the details, and to one at
	// a cluster that is calm.
	detailEvery = 4
	// calmAfter is after how many looks that have found nothing new, and as many ticks
	// without a key, it is: a cluster that nobody asks anything costs a fourth. Its log
	// may grow all the same, and is then read at every tick; with the lines comes word
	// of new states.
	calmAfter = 8
	// pollTimeout is after how long a cluster that does not answer is lost.
	pollTimeout = 3 * time.Second
)

type (
	tickMsg     struct{}
	snapshotMsg struct {
		snap *proc.Snapshot
		err  error
	}
	logsMsg struct {
		epoch int
		page  proc.LogPage
		err   error
		then  func(proc.LogPage) cmd // what the lines are for; nil: for those who follow
	}
	detailMsg struct {
		target string
		detail *proc.Detail
		err    error
	}
)

// tick tells the event loop every now and then that time has passed, until ctx
// ends. It is no command of Bubble Tea's, which would take several goroutines to
// run each time.
func tick(ctx context.Context, send func(tea.Msg)) {
	t := time.NewTicker(pollEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			send(tickMsg{})
		}
	}
}

// poll asks for a snapshot, unless it is on its way. That tells whether there are
// new lines to ask for.
func (m *model) poll() cmd { return m.pollSnapshot() }

func (m *model) pollSnapshot() cmd {
	if m.polling || m.now().Before(m.retryAt) {
		return nil
	}
	m.polling, m.looked = true, m.ticks
	ctx, cluster := m.ctx, m.cluster
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(ctx, pollTimeout)
		defer cancel()
		s, err := cluster.Snapshot(ctx)
		return snapshotMsg{s, err}
	}
}

func (m *model) pollLogs() cmd {
	l := &m.logs
	if l.asking || l.past || l.target == "" && !l.all || m.lost != nil {
		return nil
	}
	l.asking = true
	return m.fetchLogs(l.query(), nil)
}

// fetchLogs asks for lines of the log that is shown now.
func (m *model) fetchLogs(q proc.LogQuery, then func(proc.LogPage) cmd) cmd {
	ctx, cluster, epoch := m.ctx, m.cluster, m.logs.epoch
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(ctx, pollTimeout)
		defer cancel()
		page, err := cluster.Logs(ctx, q)
		return logsMsg{epoch, page, err, then}
	}
}

// pollDetail asks for the details, where they are on the screen.
func (m *model) pollDetail() cmd {
	d := &m.detail
	d.show(m.tree.selected)
	if d.asking || d.target == "" || m.lost != nil || m.arrange().detail.h == 0 {
		return nil
	}
	d.asking = true
	ctx, cluster, target := m.ctx, m.cluster, d.target
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(ctx, pollTimeout)
		defer cancel()
		detail, err := cluster.Detail(ctx, target)
		return detailMsg{target, detail, err}
	}
}

// pollNew asks for the log and the details of what has just been selected.
func (m *model) pollNew() cmd {
	var cmds []cmd
	if !m.logs.loaded {
		cmds = append(cmds, m.pollLogs())
	}
	if m.detail.known == nil && m.detail.err == nil {
		cmds = append(cmds, m.pollDetail())
	}
	return tea.Batch(cmds...)
}

func (m *model) onTick() cmd {
	if m.notice.text != "" && m.now().After(m.notice.until) {
		m.notice = notice{}
		m.changed()
	}
	return m.pollAll()
}

// pollAll asks for whatever it is time to ask for.
func (m *model) pollAll() cmd {
	if m.ticks++; m.ticks%detailEvery == 0 {
		return tea.Batch(m.poll(), m.pollDetail())
	}
	switch {
	case m.calm < calmAfter:
		return m.poll()
	case m.talking:
		return m.pollLogs()
	}
	return nil
}

// rouse has the cluster looked at as often as can be, from now on.
func (m *model) rouse() { m.calm = 0 }

// same tells whether nothing has happened between two snapshots: nobody has asked
// anything, and only the log, clocks and what processes use differ.
func same(a, b *proc.Snapshot) bool {
	if a == nil || len(a.Apps) != len(b.Apps) {
		return false
	}
	for i := range a.Apps {
		one, other := a.Apps[i].Instances, b.Apps[i].Instances
		if len(one) != len(other) || a.Apps[i].Reason != b.Apps[i].Reason {
			return false
		}
		for j := range one {
			x, y := &one[j], &other[j]
			if x.State != y.State || x.Reason != y.Reason || x.Generation != y.Generation ||
				!equal(x.RequestsTotal, y.RequestsTotal) || !equal(x.ConnectionsTotal, y.ConnectionsTotal) ||
				!equal(x.ConnectionsOpen, y.ConnectionsOpen) || !equal(x.Queue, y.Queue) ||
				!equal(x.RequestsPerS, y.RequestsPerS) {
				return false
			}
		}
	}
	return true
}

// equal compares figures that may be unknown.
func equal[T comparable](a, b *T) bool { return a == b || a != nil && b != nil && *a == *b }

func (m *model) onSnapshot(msg snapshotMsg) cmd {
	m.polling = false
	if msg.err != nil {
		m.rouse()
		m.onNoSnapshot(msg.err)
		return nil
	}
	m.changed()
	if m.calm++; !same(m.snap, msg.snap) {
		m.rouse()
	}
	m.talking = m.snap != nil && msg.snap.LogSeq > m.snap.LogSeq
	m.setSnapshot(msg.snap)
	if m.logs.loaded && msg.snap.LogSeq > m.logs.next {
		return tea.Batch(m.pollLogs(), m.pollNew())
	}
	return m.pollNew()
}

func (m *model) onLogs(msg logsMsg) cmd {
	if msg.then != nil {
		m.changed()
		switch {
		case msg.err != nil:
			m.complain("cannot read older lines: " + msg.err.Error())
			return nil
		case msg.epoch != m.logs.epoch:
			m.say("given up, since another log is shown now")
			return nil
		}
		return msg.then(msg.page)
	}
	m.logs.asking = false
	if msg.epoch != m.logs.epoch {
		return m.pollLogs() // it is another log that is shown now
	}
	if msg.err == nil && m.logs.add(msg.page) {
		m.changed()
	}
	if msg.err == nil && m.snap != nil && msg.page.Changes != m.snap.Changes && m.looked != m.ticks {
		return m.poll()
	}
	return nil
}

func (m *model) onDetail(msg detailMsg) cmd {
	m.detail.asking = false
	if msg.target != m.detail.target {
		return m.pollDetail() // something else is selected now
	}
	if msg.err == nil || m.detail.known == nil {
		m.detail.known, m.detail.err = msg.detail, msg.err
		m.changed()
	}
	return nil
}
