package tui

import (
	"strings"
	"time"

	"clusterd/internal/proc"
)

// row is one line of the tree: an app, or an instance of it.
type row struct {
	id       string // "web" or "web/2"
	app      int    // index in Snapshot.Apps
	instance int    // index in AppSnapshot.Instances; -1: the app
}

// tree is the pane of apps and instances. What is selected is remembered by
// name, so that it stays selected whatever comes and goes around it.
type tree struct {
	rows     []row
	selected string // row.id, or "" when there are no rows
	index    int    // of selected in rows
	top      int    // first row on the screen
	shut     map[string]bool
	filter   string
	names    int   // cells of the widest name
	loose    bool  // scrolled by the wheel, maybe away from what is selected
	process  bool  // columns of what processes use are dropped last
	order    int   // index in orders
	ranks    ranks // of the last time that it was sorted
	shares   map[string][]int
}

func newTree() tree { return tree{shut: map[string]bool{}, shares: map[string][]int{}} }

// rebuild works out the rows anew.
func (t *tree) rebuild(s *proc.Snapshot, now time.Time) {
	t.rows = t.rows[:0]
	t.names = 0
	clear(t.shares)
	filter := strings.ToLower(t.filter)
	t.ranks.sort(s, t.order, now)
	for _, i := range t.ranks.apps {
		a := &s.Apps[i]
		t.names = max(t.names, width(a.Name))
		whole := filter == "" || strings.Contains(strings.ToLower(a.Name), filter)
		at := len(t.rows)
		t.rows = append(t.rows, row{a.Name, i, -1})
		for _, k := range t.ranks.instances[i] {
			id := a.Instances[k].ID
			t.names = max(t.names, 1+width(id))
			if !whole && !strings.Contains(strings.ToLower(id), filter) {
				continue
			}
			if t.shut[a.Name] && filter == "" {
				continue
			}
			t.rows = append(t.rows, row{id, i, k})
		}
		if !whole && len(t.rows) == at+1 {
			t.rows = t.rows[:at] // neither it nor one of its instances
		}
		t.shares[a.Name] = shares(a.Instances)
	}
	t.reselect()
}

// reselect finds what was selected, or else what is nearest to it now: its app,
// or what is in its place.
func (t *tree) reselect() {
	if len(t.rows) == 0 {
		t.index = 0
		return
	}
	parent, _, _ := strings.Cut(t.selected, "/")
	found := -1
	for i := range t.rows {
		if t.rows[i].id == t.selected {
			found = i
			break
		}
		if t.rows[i].id == parent {
			found = i
		}
	}
	if found < 0 {
		found = min(max(t.index, 0), len(t.rows)-1)
	}
	t.to(found)
}

// to selects the row at index i, or the nearest that there is.
func (t *tree) to(i int) {
	if len(t.rows) == 0 {
		return
	}
	t.index = min(max(i, 0), len(t.rows)-1)
	t.selected = t.rows[t.index].id
}

// scroll keeps the selected row among the h rows on the screen.
func (t *tree) scroll(h int) {
	if !t.loose {
		t.top = min(t.top, t.index)
		t.top = max(t.top, t.index-h+1)
	}
	t.top = max(min(t.top, len(t.rows)-h), 0)
}

// move selects the row so many rows further down, and has it shown.
func (t *tree) move(by int) {
	t.loose = false
	t.to(t.index + by)
}

// wheel scrolls without selecting anything else.
func (t *tree) wheel(by int) {
	t.loose = true
	t.top += by // within bounds when it is next drawn
}

// current is the selected row.
func (t *tree) current() (row, bool) {
	if t.index < 0 || t.index >= len(t.rows) {
		return row{}, false
	}
	return t.rows[t.index], true
}

// fold closes or opens the app of the selected row, and selects the app.
func (t *tree) fold(s *proc.Snapshot, shut bool, now time.Time) {
	r, ok := t.current()
	if !ok {
		return
	}
	name := s.Apps[r.app].Name
	if shut {
		t.shut[name] = true
		t.selected = name
	} else {
		delete(t.shut, name)
	}
	t.loose = false
	t.rebuild(s, now)
}

// folded tells whether an app's instances are hidden.
func (t *tree) folded(app string) bool { return t.shut[app] && t.filter == "" }
