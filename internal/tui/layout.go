package tui

// The smallest screen that the dashboard fits on.
const (
	minWidth  = 60
	minHeight = 12
)

// From this size on there is room for the details of what is selected beside the
// tree. On a smaller screen they have it alone, when they are asked for.
const (
	detailFromWidth  = 150
	detailFromHeight = 30
)

// pane is one of the parts that can have the focus.
type pane int

const (
	paneTree pane = iota
	paneLogs
	paneDetail
)

// rect is a part of the screen, in cells.
type rect struct{ x, y, w, h int }

func (r rect) has(x, y int) bool { return r.x <= x && x < r.x+r.w && r.y <= y && y < r.y+r.h }

// arrangement is what the layout depends on besides the size of the screen.
type arrangement struct {
	rows   int  // of the tree, without its heading
	detail int  // lines the details would like to have
	footer int  // lines of the footer, at least 1
	zoom   bool // the pane with the focus takes all the room
	focus  pane
}

// screen says where everything goes. A part that is not shown has no height.
type screen struct {
	tooSmall                          bool
	header, tree, detail, log, footer rect
}

// at is the pane at a place of the screen.
func (s screen) at(x, y int) (pane, rect, bool) {
	for p, r := range map[pane]rect{paneTree: s.tree, paneLogs: s.log, paneDetail: s.detail} {
		if r.has(x, y) {
			return p, r, true
		}
	}
	return 0, rect{}, false
}

// layout divides a screen of w by h cells. The tree takes what it needs, up to
// three fifths of the room, and the log the rest.
func layout(w, h int, a arrangement) screen {
	if w < minWidth || h < minHeight {
		return screen{tooSmall: true}
	}
	foot := min(max(a.footer, 1), 3)
	body := h - 1 - foot
	s := screen{
		header: rect{0, 0, w, 1},
		footer: rect{0, h - foot, w, foot},
	}
	beside := w >= detailFromWidth && h >= detailFromHeight
	if a.zoom || a.focus == paneDetail && !beside {
		whole := rect{0, 1, w, body}
		switch a.focus {
		case paneTree:
			s.tree = whole
		case paneLogs:
			s.log = whole
		case paneDetail:
			s.detail = whole
		}
		return s
	}
	most := body * 3 / 5
	treeH := min(1+max(a.rows, 2), most)
	treeW := w
	if beside {
		treeH = min(max(treeH, a.detail), most)
		treeW = max(w*3/5, 110)
		s.detail = rect{treeW + 1, 1, w - treeW - 1, treeH}
	}
	s.tree = rect{0, 1, treeW, treeH}
	s.log = rect{0, 1 + treeH, w, body - treeH}
	return s
}
