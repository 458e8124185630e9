package tui

// What keys do that move something: the selection of the tree, the log, or the
// details, whichever has the focus.

func by(n int) func(*model) cmd {
	return func(m *model) cmd {
		m.scrollPane(m.focus, n)
		return nil
	}
}

// page moves by half of what is seen.
func page(n int) func(*model) cmd {
	return func(m *model) cmd {
		s := m.arrange()
		h := s.tree.h - 1
		switch m.focus {
		case paneLogs:
			h = m.logs.h
		case paneDetail:
			h = s.detail.h
		}
		m.scrollPane(m.focus, n*max(h/2, 1))
		return nil
	}
}

// scrollPane moves in a pane by rows.
func (m *model) scrollPane(p pane, rows int) {
	switch p {
	case paneTree:
		m.tree.move(rows)
		m.moved()
	case paneLogs:
		if m.logs.selecting() {
			m.logs.extend(rows)
		} else {
			m.logs.scroll(rows)
		}
	case paneDetail:
		m.detail.top = max(m.detail.top+rows, 0) // not beyond its end, when it is drawn
	}
	m.changed()
}

func (m *model) toFirst() cmd {
	switch m.focus {
	case paneTree:
		m.tree.move(-len(m.tree.rows))
		m.moved()
	case paneLogs:
		return m.deepen(func() cmd { m.logs.toFirst(); return nil })
	case paneDetail:
		m.detail.top = 0
	}
	return nil
}

func (m *model) toLast() cmd {
	switch m.focus {
	case paneTree:
		m.tree.move(len(m.tree.rows))
		m.moved()
	case paneLogs:
		m.logs.follow()
	case paneDetail:
		m.detail.top = detailMost
	}
	return nil
}

// panStep is how many cells one key scrolls sideways.
const panStep = 8

func (m *model) left() cmd  { return m.sideways(-panStep, true) }
func (m *model) right() cmd { return m.sideways(panStep, false) }

func (m *model) sideways(cells int, shut bool) cmd {
	if m.focus == paneLogs {
		m.logs.panBy(cells)
		return nil
	}
	m.tree.fold(m.snap, shut, m.now())
	m.moved()
	return nil
}

func (m *model) noSideways() string {
	switch {
	case m.focus == paneDetail:
		return "the details have nothing to the side; 1 goes to the apps, 2 to the log"
	case m.focus == paneLogs && m.logs.wrap:
		return "long lines are wrapped; w puts each on one row, which scrolls sideways"
	case m.focus == paneTree:
		return m.noRow()
	}
	return ""
}

func (m *model) noRow() string {
	if _, ok := m.target(); !ok {
		return "nothing is selected: " + m.emptyTree()
	}
	return ""
}

func (m *model) toggleFold() cmd {
	if r, ok := m.tree.current(); ok {
		m.tree.fold(m.snap, !m.tree.folded(m.snap.Apps[r.app].Name), m.now())
		m.moved()
	}
	return nil
}

func toPane(p pane) func(*model) cmd {
	return func(m *model) cmd {
		m.focus = p
		return m.pollDetail()
	}
}

// nextPane goes through the panes that are on the screen.
func (m *model) nextPane() cmd {
	s := m.arrange()
	switch {
	case m.focus == paneTree:
		m.focus = paneLogs
	case m.focus == paneLogs && s.detail.h > 0:
		m.focus = paneDetail
	default:
		m.focus = paneTree
	}
	return m.pollDetail()
}

func (m *model) toggleZoom() cmd {
	m.zoom = !m.zoom
	return nil
}

// back undoes the last step into something: a selection, the zoom, the pane, the
// search, the filter.
func (m *model) back() cmd {
	switch {
	case m.logs.selecting():
		m.logs.endSelection()
	case m.zoom:
		m.zoom = false
	case m.focus != paneTree:
		m.focus = paneTree
	case m.logs.search != nil:
		m.logs.setSearch(nil)
	case m.tree.filter != "":
		m.setFilter("")
	default:
		m.say("there is nothing to go back from; q leaves")
	}
	return nil
}

func (m *model) nextOrder() cmd {
	m.setOrder((m.tree.order + 1) % len(orders))
	return nil
}

func (m *model) setOrder(i int) {
	m.tree.order = i
	if m.snap != nil {
		m.tree.rebuild(m.snap, m.now())
		m.tree.loose = false
	}
	what := "by " + orders[i].name
	if i == 0 {
		what = "as in the file"
	}
	m.say("apps and instances are sorted " + what)
}

func (m *model) toggleColumns() cmd {
	m.tree.process = !m.tree.process
	if m.tree.process {
		m.say("where columns do not fit, those of requests go first")
	} else {
		m.say("where columns do not fit, those of CPU, memory and uptime go first")
	}
	return nil
}

func (m *model) toggleSecrets() cmd {
	m.detail.revealed = !m.detail.revealed
	return nil
}

func (m *model) noDetail() string {
	if m.arrange().detail.h == 0 {
		return "secrets are in the details; enter opens them"
	}
	return ""
}
