package tui

import (
	"fmt"
	"strings"
	"time"

	"clusterd/internal/figure"
	"clusterd/internal/proc"
)

// What keys do to the log, from whatever pane.

func (m *model) noLines() string {
	if len(m.logs.view) == 0 {
		return "the log has no lines: " + m.emptyLog()
	}
	return ""
}

func (m *model) noSearch() string {
	if m.logs.search == nil {
		return "nothing has been searched for; 2 and then / searches the log"
	}
	return ""
}

func (m *model) noMarks() string {
	if len(m.logs.marks) == 0 {
		return "the log has no marks; m makes one"
	}
	return ""
}

func (m *model) toggleFollow() cmd {
	m.logs.toggle()
	return nil
}

func (m *model) toggleWrap() cmd {
	m.logs.wrap = !m.logs.wrap
	m.logs.top.row = 0
	return nil
}

func (m *model) nextClock() cmd {
	m.logs.clock = (m.logs.clock + 1) % len(clocks)
	m.say("times in the log: " + clocks[m.logs.clock].name)
	return nil
}

func (m *model) nextStreams() cmd {
	l := &m.logs
	l.stream = (l.stream + 1) % len(streams)
	l.refilter()
	what := string(streams[l.stream]) + " only"
	if l.stream == 0 {
		what = "everything"
	}
	m.say("the log shows " + what)
	return nil
}

func (m *model) nextScope() cmd {
	m.logs.scope = (m.logs.scope + 1) % scopes
	m.showLog()
	m.say("the log is that of " + [scopes]string{"what is selected", "the whole app", "the whole cluster"}[m.logs.scope])
	return nil
}

// showLog has the log pane show what is selected, or more.
func (m *model) showLog() {
	app, _, _ := strings.Cut(m.tree.selected, "/")
	m.logs.show(m.tree.selected, app)
}

// deepen does something once all lines that are kept elsewhere are here, too.
func (m *model) deepen(then func() cmd) cmd {
	l := &m.logs
	if l.deep || l.past || !l.loaded || m.lost != nil || len(l.lines) >= mostLines {
		return then()
	}
	q := l.query()
	q.After, q.Limit = 0, mostLines
	m.logs.pause()
	return m.fetchLogs(q, func(p proc.LogPage) cmd {
		l.before(p)
		return then()
	})
}

// beginSearch asks what to look for in the log.
func (m *model) beginSearch() cmd {
	before := m.logs.search
	text := ""
	if before != nil {
		text = before.text
	}
	p := newPrompt("search the log: ", text)
	p.hint = "regular expression  enter finds it"
	var wrong error
	p.live = func(text string) {
		var s *search
		if s, wrong = newSearch(text); wrong == nil {
			m.logs.setSearch(s)
		}
	}
	p.wrong = func() string {
		if wrong != nil {
			return wrong.Error()
		}
		return ""
	}
	p.cancel = func() { m.logs.setSearch(before) }
	p.done = func(text string) cmd { return m.searchFor(text) }
	m.prompt = p
	return nil
}

func (m *model) searchFor(text string) cmd {
	s, err := newSearch(text)
	if err != nil {
		m.complain("cannot search: " + err.Error())
		return nil
	}
	m.logs.setSearch(s)
	if s == nil {
		return nil
	}
	return m.deepen(func() cmd {
		if m.logs.search != s {
			return nil // given up meanwhile
		}
		if !m.logs.toHit(-1) && !m.logs.toHit(1) {
			m.say(fmt.Sprintf("nothing in %s matches %s", figure.Plural(len(m.logs.lines), "line"), text))
		}
		return nil
	})
}

func nextHit(by int) func(*model) cmd {
	return func(m *model) cmd {
		m.focus = paneLogs
		s := m.logs.search
		return m.deepen(func() cmd {
			if m.logs.search == s && !m.logs.toHit(by) {
				m.say([]string{"no match before this one", "", "no match after this one"}[by+1])
			}
			return nil
		})
	}
}

func (m *model) toggleMatches() cmd {
	l := &m.logs
	l.only = !l.only
	if l.search.at != 0 && l.paused {
		l.top = spot{seq: l.search.at}
	}
	l.refilter()
	return nil
}

// askTime asks for the time to jump to.
func (m *model) askTime() cmd {
	p := newPrompt("jump to: ", "")
	p.hint = "15:04, 15:04:05, or 5m for so long ago"
	p.done = func(text string) cmd { return m.jumpTo(text) }
	m.prompt = p
	return nil
}

func (m *model) jumpTo(text string) cmd {
	when, err := moment(text, m.now())
	if err != nil {
		m.complain(err.Error())
		return nil
	}
	return m.deepen(func() cmd {
		l := &m.logs
		if len(l.view) == 0 {
			return nil
		}
		m.focus = paneLogs
		i := 0
		for i < len(l.view)-1 && l.view[i].At.Before(when) {
			i++
		}
		l.pause()
		l.top = spot{seq: l.view[i].Seq}
		if first := l.view[0].At; i == 0 && first.After(when) {
			m.say("the oldest line here is of " + first.Local().Format("15:04:05"))
		}
		return nil
	})
}

// moment reads a time of day, of the last 24 hours, or how long ago it is.
func moment(text string, now time.Time) (time.Time, error) {
	text = strings.TrimSpace(text)
	if d, err := time.ParseDuration(strings.TrimPrefix(text, "-")); err == nil {
		return now.Add(-d), nil
	}
	now = now.Local()
	for _, layout := range []string{"15:04:05", "15:04"} {
		t, err := time.ParseInLocation(layout, text, now.Location())
		if err != nil {
			continue
		}
		t = time.Date(now.Year(), now.Month(), now.Day(), t.Hour(), t.Minute(), t.Second(), 0, now.Location())
		if t.After(now) {
			t = t.AddDate(0, 0, -1)
		}
		return t, nil
	}
	if t, err := time.ParseInLocation("2006-01-02 15:04", text, now.Location()); err == nil {
		return t, nil
	}
	return now, fmt.Errorf("%q is no time; write 15:04, 15:04:05, 2006-01-02 15:04, or 5m for so long ago", text)
}

// mark puts a line into the log, after the newest one.
func (m *model) mark() cmd {
	l := &m.logs
	l.marks[l.view[len(l.view)-1].Seq] = m.now()
	return nil
}

// toMark goes to the mark above what is at the top, or to the last one.
func (m *model) toMark() cmd {
	l := &m.logs
	top := l.shown().seq
	var above, last uint64
	for seq := range l.marks {
		last = max(last, seq)
		if seq < top {
			above = max(above, seq)
		}
	}
	if above == 0 {
		above = last
	}
	m.focus = paneLogs
	return m.deepen(func() cmd { // it may be further back than what was fetched
		l.pause()
		l.top = spot{seq: above}
		return nil
	})
}

func (m *model) toggleSelect() cmd {
	m.focus = paneLogs
	if m.logs.selecting() {
		m.logs.endSelection()
	} else {
		m.logs.beginSelection()
	}
	return nil
}

// copyLines gives lines to the terminal's clipboard.
func (m *model) copyLines() cmd {
	lines := m.logs.picked()
	text, n := clipText(lines)
	m.logs.endSelection()
	said := "copied " + figure.Plural(n, "line") + ", if the terminal lets programs copy (OSC 52)"
	if n < len(lines) {
		said = fmt.Sprintf("copied the last %d of %d lines: a terminal's clipboard takes no more", n, len(lines))
	}
	return func() msg { return copiedMsg{said, m.copy(text)} }
}

// askSave asks for the file to save the log to.
func (m *model) askSave() cmd {
	name := "cluster"
	if m.logs.target != "" {
		name = strings.ReplaceAll(m.logs.target, "/", "-")
	}
	p := newPrompt("save to: ", fmt.Sprintf("%s-%s.log", name, m.now().Local().Format("20060102-150405")))
	p.hint = "enter saves  esc does not"
	p.done = func(text string) cmd { return m.saveTo(text) }
	m.prompt = p
	return nil
}

func (m *model) saveTo(path string) cmd {
	if path == "" {
		m.say("nothing is saved: there is no name for the file")
		return nil
	}
	return m.deepen(func() cmd {
		lines := m.logs.view
		if m.logs.selecting() {
			lines = m.logs.picked()
		}
		text, n := fileText(lines), len(lines)
		return func() msg { return savedMsg{path, n, saveFile(path, text)} }
	})
}
