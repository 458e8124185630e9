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
	colRequests
	colRate
	colShare
	colCount
	columns
)

var columnTitles = [columns]string{
	colState: "STATE", colPort: "PORT/PID", colUp: "UP", colRestarts: "RST",
	colCPU: "CPU%", colMemory: "MEM", colRequests: "REQ", colRate: "REQ/S",
	colShare: "SHARE", colCount: "COUNT",
}

var columnWidths = [columns]int{
	colState: 10, colPort: 8, colUp: 5, colRestarts: 3, colCPU: 5, colMemory: 5,
	colRequests: 5, colRate: 5, colShare: 5, colCount: 6,
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

// dropping is what is left out, one thing more at each step, until the note is
// wide enough for the reasons. State, name and rate are never left out.
var dropping = []struct {
	note int // cells it must have at this step
	drop func(*grid)
}{
	{26, func(*grid) {}},
	{19, func(g *grid) { g.widths[colCount] = 0 }}, // the note says it then
	{19, func(g *grid) { g.widths[colMemory] = 0 }},
	{19, func(g *grid) { g.widths[colCPU] = 0 }},
	{16, func(g *grid) { g.bar = 0 }},
	{13, func(g *grid) { g.trend = 0 }},
	{13, func(g *grid) { g.widths[colUp] = 0 }},
	{13, func(g *grid) { g.pid, g.widths[colPort] = false, 6 }},
	{0, func(g *grid) { g.widths[colShare] = 0 }},
}

// minText is how many cells a reason has at least, where it has its own place:
// "exit 139, retry in 26s" and a little more.
const minText = 24

// columnsFor fits the columns into w cells, for names of at most name cells.
func columnsFor(w, name int) grid {
	g := grid{
		name:   min(max(name, minName), maxName, max(w/4, minName)),
		gap:    1,
		widths: columnWidths,
		pid:    true,
		bar:    10,
		trend:  24,
	}
	for _, step := range dropping {
		step.drop(&g)
		if g.note = w - g.before() - 1; g.note >= step.note {
			break
		}
	}
	g.note = max(g.note, 0)
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
