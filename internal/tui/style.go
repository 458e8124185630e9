package tui

import "clusterd/internal/proc"

// style is a way to write text, by what the text is. What it looks like is up to
// the palette.
type style uint8

const (
	plain style = iota
	strong
	faint
	chosen     // the selected row, the answer that return gives
	chosenPast // the same, in a picture of the past
	heading
	focused // the heading of the pane that has the keys
	good
	busy
	warning
	bad
	errMark // before a line of standard error
	event   // said by clusterd, not by an instance
	chart
	hintKey
	dialog
	match // what was searched for
	found // and where the search is
	marked
	firstLabel // of the styles that tell instances apart
	styles     = firstLabel + labels
)

// labels is how many instances in a row can be told apart by colour.
const labels = 8

// palette is the parameters of an SGR sequence for each style; "": none.
type palette [styles]string

// withLabels fills in the styles that tell instances apart.
func withLabels(p palette, all ...string) palette {
	copy(p[firstLabel:], all)
	return p
}

// look is a palette that users can choose.
type look struct {
	name, what string
	colors     int // that the terminal has to have
	palette    palette
}

// looks are all there are; the first one is the default. It and the next two
// use the terminal's own sixteen colours, and never as a background: they are
// what the user's colour scheme makes readable, on dark and on light. Red is left
// to errors; blue is hard to read on black.
var looks = []look{
	{"terminal", "the terminal's own sixteen colours", 16, withLabels(palette{
		strong: "1", faint: "2", chosen: "7", chosenPast: "2;7", heading: "2", focused: "1",
		good: "32", busy: "36", warning: "33", bad: "1;31", errMark: "31", event: "36", chart: "36",
		hintKey: "1", dialog: "1", match: "4", found: "7", marked: "33",
	}, "36", "32", "35", "33", "96", "92", "95", "94")},
	{"contrast", "bright colours, nothing faint", 16, withLabels(palette{
		strong: "1", chosen: "1;7", chosenPast: "7", heading: "4", focused: "1;4",
		good: "1;92", busy: "1;96", warning: "1;93", bad: "1;7;91", errMark: "1;91", event: "96", chart: "1",
		hintKey: "1;4", dialog: "1", match: "1;4", found: "1;7", marked: "1;93",
	}, "96", "92", "95", "93", "97", "94", "1", "1;96")},
	{"mono", "bold, faint and reverse only", 2, palette{
		strong: "1", faint: "2", chosen: "7", chosenPast: "2;7", heading: "2", focused: "1",
		busy: "4", warning: "1", bad: "1;4", errMark: "1", event: "2",
		hintKey: "1", dialog: "1", match: "4", found: "7", marked: "1",
	}},
	{"dark", "256 colours for a dark background", 256, withLabels(palette{
		strong: "1;38;5;255", faint: "38;5;245", chosen: "48;5;238;38;5;255", chosenPast: "48;5;236;38;5;245",
		heading: "38;5;245", focused: "1;38;5;117", good: "38;5;114", busy: "38;5;80", warning: "38;5;221",
		bad: "1;38;5;210", errMark: "38;5;210", event: "38;5;110", chart: "38;5;74", hintKey: "1;38;5;117",
		dialog: "1;38;5;255", match: "4;38;5;228", found: "48;5;228;38;5;16", marked: "38;5;221",
	}, "38;5;80", "38;5;114", "38;5;176", "38;5;221", "38;5;110", "38;5;150", "38;5;216", "38;5;147")},
	{"light", "256 colours for a light background", 256, withLabels(palette{
		strong: "1;38;5;16", faint: "38;5;242", chosen: "48;5;153;38;5;16", chosenPast: "48;5;254;38;5;242",
		heading: "38;5;242", focused: "1;38;5;25", good: "38;5;28", busy: "38;5;30", warning: "38;5;130",
		bad: "1;38;5;124", errMark: "38;5;124", event: "38;5;25", chart: "38;5;31", hintKey: "1;38;5;25",
		dialog: "1;38;5;16", match: "4;38;5;90", found: "48;5;222;38;5;16", marked: "38;5;130",
	}, "38;5;30", "38;5;28", "38;5;90", "38;5;94", "38;5;25", "38;5;64", "38;5;130", "38;5;55")},
}

// stateStyles says how the word of a state looks.
var stateStyles = map[proc.State]style{
	proc.StateWaiting:  faint,
	proc.StateStarting: busy,
	proc.StateReady:    good,
	proc.StateUnready:  warning,
	proc.StateStopping: busy,
	proc.StateStopped:  faint,
	proc.StateBackoff:  warning,
	proc.StateFailed:   bad,
	proc.StateDone:     faint,
}
