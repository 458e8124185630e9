package tui

import (
	"unicode/utf8"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"clusterd/internal/proc"
)

// panStep is how many cells one key scrolls sideways.
const panStep = 8

// Init implements tea.Model.
func (m *model) Init() tea.Cmd { return tea.Batch(m.poll(), tick()) }

// Update implements tea.Model. It never blocks.
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.w, m.h = msg.Width, msg.Height
		m.changed()
	case tea.KeyMsg:
		return m, m.onKeys(msg)
	case tickMsg:
		return m, m.onTick()
	case snapshotMsg:
		return m, m.onSnapshot(msg)
	case logsMsg:
		return m, m.onLogs(msg)
	case actDoneMsg:
		return m, m.onActDone(msg)
	}
	return m, nil
}

// onKeys handles keys one by one.
func (m *model) onKeys(msg tea.KeyMsg) tea.Cmd {
	var cmds []tea.Cmd
	for _, k := range splitKeys(msg) {
		cmds = append(cmds, m.onKey(k))
	}
	// What is selected may be another now, whose log is wanted at once.
	if !m.logs.loaded {
		cmds = append(cmds, m.pollLogs())
	}
	return tea.Batch(cmds...)
}

func (m *model) onKey(k tea.KeyMsg) tea.Cmd {
	switch {
	case key.Matches(k, m.keys.interrupt):
		if !m.attached {
			m.outcome = Shutdown
		}
		return tea.Quit
	case key.Matches(k, m.keys.suspend):
		return m.suspend()
	case m.tree.typing:
		m.onFilterKey(k)
		return nil
	case k.Paste:
		m.say("pasted text is not taken for keys")
		return nil
	case m.ask != nil:
		return m.answer(k.String())
	case m.help.open:
		return m.onHelpKey(k.String())
	}
	if m.notice.text != "" {
		m.notice = notice{}
		m.changed()
	}
	return m.onCommand(k)
}

// onCommand handles the keys that mean the same in every pane, and passes the
// others on to the pane with the focus.
func (m *model) onCommand(k tea.KeyMsg) tea.Cmd {
	keys := &m.keys
	switch {
	case key.Matches(k, keys.quit):
		if m.attached {
			return tea.Quit
		}
		m.ask = m.confirmShutdown()
	case key.Matches(k, keys.shutdown):
		if m.lost != nil {
			m.say("cannot stop the cluster: it does not answer")
			return nil
		}
		m.ask = m.confirmShutdown()
	case key.Matches(k, keys.help):
		m.help.open = true
	case key.Matches(k, keys.next):
		m.focus = 1 - m.focus
	case key.Matches(k, keys.toTree):
		m.focus = paneTree
	case key.Matches(k, keys.toLogs):
		m.focus = paneLogs
	case key.Matches(k, keys.zoom):
		m.zoom = !m.zoom
	case key.Matches(k, keys.back):
		m.back()
	case key.Matches(k, keys.filter):
		m.focus = paneTree
		m.tree.typing, m.tree.before = true, m.tree.filter
	case key.Matches(k, keys.follow):
		m.logs.toggleFollow()
	case key.Matches(k, keys.wrap):
		m.logs.toggleWrap()
	case key.Matches(k, keys.restart):
		return m.request(proc.VerbRestart)
	case key.Matches(k, keys.start):
		return m.request(proc.VerbStart)
	case key.Matches(k, keys.stop):
		return m.request(proc.VerbStop)
	case key.Matches(k, keys.kill):
		return m.request(proc.VerbKill)
	case m.focus == paneLogs:
		m.onLogsKey(k)
	default:
		m.onTreeKey(k)
	}
	m.changed()
	return nil
}

// back undoes the last step into something: the zoom, the log, the filter.
func (m *model) back() {
	switch {
	case m.zoom:
		m.zoom = false
	case m.focus == paneLogs:
		m.focus = paneTree
	case m.tree.filter != "":
		m.setFilter("")
	}
}

func (m *model) onTreeKey(k tea.KeyMsg) {
	if m.snap == nil {
		return
	}
	t, keys := &m.tree, &m.keys
	page := max((m.arrange().tree.h-1)/2, 1)
	switch {
	case key.Matches(k, keys.up):
		t.to(t.index - 1)
	case key.Matches(k, keys.down):
		t.to(t.index + 1)
	case key.Matches(k, keys.halfUp):
		t.to(t.index - page)
	case key.Matches(k, keys.halfDown):
		t.to(t.index + page)
	case key.Matches(k, keys.top):
		t.to(0)
	case key.Matches(k, keys.bottom):
		t.to(len(t.rows) - 1)
	case key.Matches(k, keys.toggle):
		if r, ok := t.current(); ok {
			t.fold(m.snap, !t.folded(m.snap.Apps[r.app].Name))
		}
	case key.Matches(k, keys.fold):
		t.fold(m.snap, true)
	case key.Matches(k, keys.unfold):
		t.fold(m.snap, false)
	}
	m.moved()
}

func (m *model) onLogsKey(k tea.KeyMsg) {
	l, keys := &m.logs, &m.keys
	switch {
	case key.Matches(k, keys.up):
		l.scroll(-1)
	case key.Matches(k, keys.down):
		l.scroll(1)
	case key.Matches(k, keys.halfUp):
		l.scroll(-max(l.h/2, 1))
	case key.Matches(k, keys.halfDown):
		l.scroll(max(l.h/2, 1))
	case key.Matches(k, keys.top):
		l.toFirst()
	case key.Matches(k, keys.bottom):
		l.follow()
	case key.Matches(k, keys.left):
		l.panBy(-panStep)
	case key.Matches(k, keys.right):
		l.panBy(panStep)
	}
}

// onFilterKey edits the filter; the tree follows each key.
func (m *model) onFilterKey(k tea.KeyMsg) {
	t := &m.tree
	m.changed()
	switch k.Type {
	case tea.KeyEnter:
		t.typing = false
	case tea.KeyEsc:
		t.typing = false
		m.setFilter("")
	case tea.KeyBackspace:
		if t.filter == "" {
			t.typing = false
			return
		}
		_, n := utf8.DecodeLastRuneInString(t.filter)
		m.setFilter(t.filter[:len(t.filter)-n])
	case tea.KeyCtrlU:
		m.setFilter("")
	case tea.KeyUp:
		t.to(t.index - 1)
		m.moved()
	case tea.KeyDown:
		t.to(t.index + 1)
		m.moved()
	case tea.KeyRunes, tea.KeySpace:
		m.setFilter(t.filter + m.theme.line(string(k.Runes)))
	}
}

func (m *model) setFilter(filter string) {
	m.tree.filter = filter
	if m.snap != nil {
		m.tree.rebuild(m.snap)
		m.moved()
	}
}

// suspend gives the terminal back to the shell for a while. That is for a
// dashboard that is attached only: the shell stops the whole process, and with
// it the supervisor and its relay.
func (m *model) suspend() tea.Cmd {
	if m.attached {
		return tea.Suspend
	}
	m.say("ctrl-z would halt the cluster, too: it runs in this process; q stops it, clusterd dash shows it elsewhere")
	return nil
}
