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
	// pollTimeout is after how long a cluster that does not answer is lost.
	pollTimeout = 3 * time.Second
	// retryEvery is how often a lost cluster is asked whether it is back.
	retryEvery = time.Second
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
	}
)

func tick() tea.Cmd {
	return tea.Tick(pollEvery, func(time.Time) tea.Msg { return tickMsg{} })
}

// poll asks for a snapshot and for new lines, unless they are on their way.
func (m *model) poll() tea.Cmd { return tea.Batch(m.pollSnapshot(), m.pollLogs()) }

func (m *model) pollSnapshot() tea.Cmd {
	if m.polling || m.now().Before(m.retryAt) {
		return nil
	}
	m.polling = true
	ctx, cluster := m.ctx, m.cluster
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(ctx, pollTimeout)
		defer cancel()
		s, err := cluster.Snapshot(ctx)
		return snapshotMsg{s, err}
	}
}

func (m *model) pollLogs() tea.Cmd {
	l := &m.logs
	if l.asking || l.target == "" || m.lost != nil {
		return nil
	}
	l.asking = true
	ctx, cluster, epoch, q := m.ctx, m.cluster, l.epoch, l.query()
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(ctx, pollTimeout)
		defer cancel()
		page, err := cluster.Logs(ctx, q)
		return logsMsg{epoch, page, err}
	}
}

func (m *model) onTick() tea.Cmd {
	if m.notice.text != "" && m.now().After(m.notice.until) {
		m.notice = notice{}
		m.changed()
	}
	return tea.Batch(tick(), m.poll())
}

func (m *model) onSnapshot(msg snapshotMsg) tea.Cmd {
	m.polling = false
	m.changed()
	if msg.err != nil {
		m.lost = msg.err
		m.retryAt = m.now().Add(retryEvery)
		return nil
	}
	m.setSnapshot(msg.snap)
	if !m.logs.loaded {
		return m.pollLogs()
	}
	return nil
}

func (m *model) onLogs(msg logsMsg) tea.Cmd {
	m.logs.asking = false
	if msg.epoch != m.logs.epoch {
		return m.pollLogs() // it is another log that is shown now
	}
	if msg.err == nil && m.logs.add(msg.page) {
		m.changed()
	}
	return nil
}
