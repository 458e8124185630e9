package tui

import (
	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"
)

// Names for Bubble Tea's, so that few files need to know them.
type (
	cmd = tea.Cmd
	msg = tea.Msg
)

// quit ends the dashboard.
var quit cmd = tea.Quit

// Init implements tea.Model.
func (m *model) Init() cmd { return m.poll() }

// Update implements tea.Model. It never blocks.
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.w, m.h = msg.Width, msg.Height
		m.changed()
	case tea.KeyMsg:
		m.rouse()
		return m, m.onKeys(msg)
	case tea.MouseMsg:
		m.rouse()
		return m, m.onMouse(msg)
	case tea.ResumeMsg:
		m.changed()
		return m, m.captureMouse() // suspending has given it back
	case tickMsg:
		return m, m.onTick()
	case snapshotMsg:
		return m, m.onSnapshot(msg)
	case logsMsg:
		return m, m.onLogs(msg)
	case detailMsg:
		return m, m.onDetail(msg)
	case actDoneMsg:
		m.rouse()
		return m, m.onActDone(msg)
	case copiedMsg:
		m.onCopied(msg)
	case savedMsg:
		m.onSaved(msg)
	}
	return m, nil
}

// onKeys handles keys one by one, but for those of which several come to one command:
// what they would begin runs side by side, in any order.
func (m *model) onKeys(msg tea.KeyMsg) cmd {
	var cmds []cmd
	keys := splitKeys(msg)
	for i, k := range keys {
		m.times++
		if i+1 < len(keys) && k.String() == keys[i+1].String() && m.takesTimes(k) {
			continue
		}
		cmds = append(cmds, m.onKey(k))
		m.times = 0
	}
	return tea.Batch(append(cmds, m.pollNew())...)
}

// takesTimes tells whether a key is for a command that several of it are one for.
func (m *model) takesTimes(k tea.KeyMsg) bool {
	if m.prompt != nil || m.ask != nil || m.help.open || k.Paste {
		return false
	}
	c := m.keys.find(k)
	return c != nil && c.times
}

// onKey gives a key to whatever has the keys now.
func (m *model) onKey(k tea.KeyMsg) cmd {
	switch {
	case key.Matches(k, m.keys.interrupt):
		return m.onInterrupt()
	case key.Matches(k, m.keys.suspend):
		return m.onSuspend()
	case m.prompt != nil:
		return m.onPromptKey(k)
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
	}
	m.changed()
	c := m.keys.find(k)
	if c == nil {
		m.say(m.theme.line(k.String()) + " does nothing; ? lists the keys")
		return nil
	}
	return m.perform(c)
}

// perform runs a command, or says why it does nothing now.
func (m *model) perform(c *command) cmd {
	m.changed()
	if c.inert != nil {
		if why := c.inert(m); why != "" {
			m.say(why)
			return nil
		}
	}
	return c.run(m)
}

// onPromptKey edits the line that is being typed.
func (m *model) onPromptKey(k tea.KeyMsg) cmd {
	p := m.prompt
	m.changed()
	switch {
	case k.Type == tea.KeyEsc, k.Type == tea.KeyBackspace && p.text() == "":
		m.prompt = nil
		if p.cancel != nil {
			p.cancel()
		}
		return nil
	case k.Type == tea.KeyEnter:
		m.prompt = nil
		return p.done(p.text())
	case p.pick != nil && (k.Type == tea.KeyUp || k.Type == tea.KeyCtrlP || k.Type == tea.KeyShiftTab):
		p.pick(-1)
		return nil
	case p.pick != nil && (k.Type == tea.KeyDown || k.Type == tea.KeyCtrlN || k.Type == tea.KeyTab):
		p.pick(1)
		return nil
	case len(k.Runes) > 0:
		k.Runes = []rune(m.theme.line(string(k.Runes)))
	}
	before := p.text()
	p.input, _ = p.input.Update(k) // its command would only have the cursor blink
	if text := p.text(); text != before && p.live != nil {
		p.live(text)
	}
	return nil
}

func (m *model) onInterrupt() cmd {
	if !m.attached {
		m.outcome = Shutdown
	}
	return tea.Quit
}

// onSuspend gives the terminal back to the shell for a while. That is for a
// dashboard that is attached only: the shell stops the whole process, and with
// it the supervisor and its relay.
func (m *model) onSuspend() cmd {
	if m.attached {
		return tea.Suspend
	}
	m.say("ctrl-z would halt the cluster, too: it runs in this process; q stops it, clusterd dash shows it elsewhere")
	return nil
}

// quit leaves, where the cluster goes on without the dashboard.
func (m *model) quit() cmd {
	if m.attached {
		return tea.Quit
	}
	return m.askShutdown()
}

func (m *model) askShutdown() cmd {
	m.ask = m.confirmShutdown()
	return nil
}

func (m *model) noAnswer() string {
	if m.lost != nil {
		return "cannot stop the cluster: it does not answer"
	}
	return ""
}
