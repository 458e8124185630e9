package tui

import (
	"context"
	"time"

	"clusterd/internal/proc"
)

// model is the whole dashboard. Only the event loop touches it.
type model struct {
	ctx      context.Context // ends with the dashboard; all commands hang on it
	cluster  Cluster
	attached bool
	now      func() time.Time
	copy     func(text string) error // to the terminal's clipboard; beside the event loop
	theme    *theme
	keys     keyMap
	times    int // how often the key that is being handled has come

	w, h int

	snap    *proc.Snapshot // the last one there was, or nil
	snapAt  time.Time
	lost    error // why there has been no newer one for a while, or nil
	polling bool  // a snapshot is on its way
	retryAt time.Time
	ticks   int
	looked  int  // in which of the ticks a snapshot was last asked for
	calm    int  // looks in a row that have found nothing new but lines
	talking bool // the last look has found lines
	recent  recent

	tree   tree
	logs   logPane
	detail detailPane
	focus  pane
	zoom   bool
	mouse  bool // its clicks come here, and not to the terminal

	help    helpView
	ask     *question // waiting for an answer, or nil
	prompt  *prompt   // a line that is being typed, or nil
	palette *palettePane

	acting []act // what is being done right now, oldest first
	acts   int   // how many there have been
	notice notice

	outcome Outcome

	frame string // what View returned last
	stale bool   // something visible has changed since
}

func newModel(ctx context.Context, c Cluster, attached bool, t *theme) *model {
	return &model{
		ctx:      ctx,
		cluster:  c,
		attached: attached,
		now:      time.Now,
		copy:     func(string) error { return nil },
		theme:    t,
		keys:     newKeyMap(t, attached),
		tree:     newTree(),
		logs:     newLogPane(),
		stale:    true,
	}
}

// changed says that View has to build a new frame.
func (m *model) changed() { m.stale = true }

// arrange is the layout of what is to be shown right now.
func (m *model) arrange() screen {
	return layout(m.w, m.h, arrangement{
		rows:   len(m.tree.rows),
		detail: detailLines,
		footer: m.footerLines(),
		zoom:   m.zoom,
		focus:  m.focus,
	})
}

// setSnapshot takes over a new picture of the cluster.
func (m *model) setSnapshot(s *proc.Snapshot) {
	m.notePassing(m.snap, s)
	m.snap, m.snapAt, m.lost = s, m.now(), nil
	m.recent.add(m.snapAt, s)
	m.tree.rebuild(s, m.snapAt)
	m.showLog()
	m.detail.show(m.tree.selected) // what was selected may be gone
}

// moved keeps the log and the details on what the tree has selected.
func (m *model) moved() {
	m.showLog()
	m.detail.show(m.tree.selected)
	m.changed()
}

// target is what a key acts on: an app, or one of its instances.
type target struct {
	id       string
	app      *proc.AppSnapshot
	instance *proc.InstanceSnapshot // nil: the whole app
}

// instances are the instances that an act on the target reaches.
func (t target) instances() []proc.InstanceSnapshot {
	if t.instance != nil {
		return []proc.InstanceSnapshot{*t.instance}
	}
	return t.app.Instances
}

// target is what the tree has selected.
func (m *model) target() (target, bool) {
	if m.snap == nil || m.tree.index < 0 || m.tree.index >= len(m.tree.rows) {
		return target{}, false
	}
	r := m.tree.rows[m.tree.index]
	t := target{id: r.id, app: &m.snap.Apps[r.app]}
	if r.instance >= 0 {
		t.instance = &t.app.Instances[r.instance]
	}
	return t, true
}

// targetNamed is the app or instance of that name.
func (m *model) targetNamed(id string) (target, bool) {
	if m.snap == nil {
		return target{}, false
	}
	for i := range m.snap.Apps {
		a := &m.snap.Apps[i]
		if a.Name == id {
			return target{id: id, app: a}, true
		}
		for k := range a.Instances {
			if a.Instances[k].ID == id {
				return target{id: id, app: a, instance: &a.Instances[k]}, true
			}
		}
	}
	return target{}, false
}

// size is how many apps and running or wanted instances the cluster has.
func (m *model) size() (apps, instances int) {
	if m.snap == nil {
		return 0, 0
	}
	for i := range m.snap.Apps {
		instances += m.snap.Apps[i].InstancesWanted
	}
	return len(m.snap.Apps), instances
}
