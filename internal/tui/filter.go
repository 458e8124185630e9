package tui

// beginFilterOrSearch asks what names to show, or in the log what to search for.
func (m *model) beginFilterOrSearch() cmd {
	if m.focus == paneLogs {
		return m.beginSearch()
	}
	m.focus = paneTree
	p := newPrompt("/", m.tree.filter)
	p.hint = "enter keep  esc show all"
	p.live = m.setFilter
	p.done = m.filterBy
	p.cancel = func() { m.setFilter("") }
	p.pick = func(by int) {
		m.tree.move(by)
		m.moved()
	}
	m.prompt = p
	return nil
}

// filterBy shows only what has text in its name.
func (m *model) filterBy(text string) cmd {
	m.setFilter(text)
	return nil
}

func (m *model) setFilter(filter string) {
	m.tree.filter = filter
	m.tree.loose = false
	if m.snap != nil {
		m.tree.rebuild(m.snap, m.now())
		m.moved()
	}
}
