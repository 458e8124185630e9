package tui

// column is one of the columns of the tree between the name and the note.
type column int

const (
	colState column = iota
	colPort         // an app's port and, unless dropped, its instances' PIDs
	colUp
	colRestarts
	colCPU
	colMemory
	colOpen
	colQueue
	colRequests
	colRate
	colP50
	colP99
	colErrors // how many answers were 5xx; of an app, the share of them
	colShare
	colCount
	columns
)

var columnTitles = [columns]string{
	colState: "STATE", colPort: "PORT/PID", colUp: "UP", colRestarts: "RST",
	colCPU: "CPU%", colMemory: "MEM", colOpen: "CONN", colQueue: "Q",
	colRequests: "REQ", colRate: "REQ/S", colP50: "P50", colP99: "P99", colErrors: "5XX",
	colShare: "SHARE", colCount: "COUNT",
}

var columnWidths = [columns]int{
	colState: 10, colPort: 8, colUp: 5, colRestarts: 3, colCPU: 5, colMemory: 5,
	colOpen: 4, colQueue: 3, colRequests: 5, colRate: 5, colP50: 5, colP99: 5, colErrors: 5,
	colShare: 5, colCount: 6,
}

// The name of an instance is never narrower or wider than this.
const (
	minName = 8
	maxName = 32
)

// grid says which columns there is room for and how wide they are.
type grid struct {
	name   int // cells of the name
	gap    int // between columns
	widths [columns]int
	pid    bool // PIDs are shown
	bar    int  // cells of the share bar
	trend  int  // cells of the sparkline
	note   int  // cells after the last column, for all of the following
	text   int  // cells of the reason; equal to note where it takes turns with the chart
}

// split tells whether the chart and the reason have their own places.
func (g grid) split() bool { return g.text < g.note }

// Cells that the note has at least: with every column there is, and where
// columns have to go for it (a short bar, or a short trend).
const (
	roomyNote = 26
	minNote   = 5
)

// drop leaves a column out.
func drop(c column) func(*grid) { return func(g *grid) { g.widths[c] = 0 } }

// noPIDs leaves only the apps' ports in their column.
func noPIDs(g *grid) { g.pid, g.widths[colPort] = false, 6 }

// dropping is what is left out, one thing more at each step, until there is room
// for the note. State, name and rate are never left out. Which half of the rest
// goes first is up to the user.
var dropping = map[bool][]func(*grid){
	false: { // what the processes use goes first
		drop(colCount), // in the place of an app's share then
		drop(colP50), drop(colMemory), drop(colOpen), drop(colQueue), drop(colCPU), drop(colUp),
		drop(colP99), noPIDs, drop(colShare), drop(colErrors), drop(colRestarts), drop(colRequests),
	},
	true: { // what they serve goes first
		drop(colCount),
		drop(colP50), drop(colP99), drop(colErrors), drop(colOpen), drop(colQueue), drop(colShare),
		drop(colRequests), drop(colMemory), drop(colCPU), drop(colUp), noPIDs, drop(colRestarts),
	},
}

// minText is how many cells a reason has at least, where it has its own place:
// "exit 139, retry in 26s" and a little more.
const minText = 24

// columnsFor fits the columns into w cells, for names of at most name cells.
// process: what the processes use is dropped last.
func columnsFor(w, name int, process bool) grid {
	g := grid{
		name:   min(max(name, minName), maxName, max(w/4, minName)),
		gap:    1,
		widths: columnWidths,
		pid:    true,
		bar:    10,
		trend:  24,
	}
	need := roomyNote
	for _, step := range dropping[process] {
		if g.note = w - g.before() - 1; g.note >= need {
			break
		}
		step(&g)
		need = minNote
	}
	g.note = max(w-g.before()-1, 0)
	roomy := g
	roomy.gap = 2
	if n := w - roomy.before() - 2; n >= 46 {
		g = roomy
		g.note = n
	}
	g.text = g.note
	if g.note >= 40 {
		g.trend = min(g.trend, g.note-minText-g.gap)
		g.text = g.note - g.trend - g.gap
	} else {
		g.trend = min(g.trend, g.note)
		g.bar = min(g.bar, g.note)
	}
	return g
}

// before is how many cells there are before the gap that precedes the note.
func (g grid) before() int {
	n := 3 + g.name // the cursor and the tree's sign
	for _, w := range g.widths {
		if w > 0 {
			n += g.gap + w
		}
	}
	return n
}

// from is how many cells there are from a column on, to the end of the line.
func (g grid) from(c column) int {
	n := g.note
	for _, w := range g.widths[c:] {
		if w > 0 {
			n += w + g.gap
		}
	}
	return n
}
