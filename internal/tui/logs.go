package tui

import (
	"slices"
	"time"

	"clusterd/internal/proc"
)

// How many lines of log the pane keeps. While nobody follows it keeps more, so
// that what is being read stays.
const (
	keptFollowing = 10_000
	keptPaused    = 4 * keptFollowing
)

// How many lines are fetched: when something else is selected, and at most.
const (
	firstLines = 2_000
	mostLines  = 10_000
)

// scope is whose log is shown.
type scope int

const (
	scopeSelected scope = iota
	scopeApp            // the selected instance's whole app
	scopeAll
	scopes
)

// logPane shows the log of what the tree has selected, or of more.
type logPane struct {
	target  string // "web" or "web/2"; "": nothing, or all
	all     bool   // of the whole cluster
	epoch   int    // counts resets; an answer from before one is forgotten
	lines   []proc.Line
	view    []proc.Line // those of lines that are shown; the same slice where all are
	next    uint64      // LogQuery.After for what comes next
	loaded  bool        // there has been an answer for the target
	deep    bool        // so have all lines that are kept elsewhere
	dropped uint64      // lines that came too fast to be fetched

	paused bool
	top    spot // what is at the top, while paused
	since  int  // lines that came while paused
	missed int  // of these, those for which there was no room
	wrap   bool // long lines go on in the next row
	pan    int  // cells scrolled to the right, without wrap
	clock  int  // index in clocks
	scope  scope
	stream int // index in streams
	w, h   int // of the text, when last rendered
	names  int // cells of the widest instance name
	asking bool
	past   bool // the lines are those of a daemon that is no more; only while paused

	search *search
	hits   []uint64        // the lines of view that the search finds, by Seq
	only   bool            // nothing but those is shown
	marks  marks           // of this log
	marked map[logOf]marks // of each log in which there are some
	chosen *span           // lines that are being selected
}

// spot is a row of the log: a row of the line with a sequence number. It stays
// where it is whatever comes after and whatever is dropped before.
type spot struct {
	seq uint64
	row int // of the wrapped line
}

// marks are the times at which the user has set one, by the Seq of the line before.
type marks map[uint64]time.Time

// logOf names a log.
type logOf struct {
	target string
	all    bool
}

func newLogPane() logPane {
	l := logPane{marked: map[logOf]marks{}}
	l.recall()
	return l
}

// recall takes up the marks of the log that is shown now.
func (l *logPane) recall() {
	of := logOf{l.target, l.all}
	if l.marked[of] == nil {
		l.marked[of] = marks{}
	}
	l.marks = l.marked[of]
}

// show selects whose log is shown: of what is selected, or more as the scope
// says.
func (l *logPane) show(selected, app string) {
	target, all := selected, false
	switch l.scope {
	case scopeApp:
		target = app
	case scopeAll:
		target, all = "", true
	}
	if target == l.target && all == l.all {
		return
	}
	switch of := (logOf{l.target, l.all}); {
	case l.past:
		clear(l.marked)
	case len(l.marks) == 0:
		delete(l.marked, of)
	}
	l.target, l.all = target, all
	l.recall()
	l.reload()
	l.pan = 0
}

// renew is for when the lines have come from a daemon that is no more: the next one
// counts its own from 1 again. What is being read stays until it is followed.
func (l *logPane) renew() {
	if !l.paused {
		l.forget()
		return
	}
	l.past = true
	l.epoch++ // of what is on its way nothing belongs here
	l.marked = map[logOf]marks{{l.target, l.all}: l.marks}
}

// forget is reload, of another daemon's log.
func (l *logPane) forget() {
	l.past = false
	clear(l.marked)
	l.recall()
	l.reload()
}

// reload fetches everything anew, and follows.
func (l *logPane) reload() {
	l.epoch++
	l.lines, l.view, l.hits = nil, nil, nil
	l.next, l.loaded, l.deep, l.dropped, l.names = 0, false, false, 0, 0
	l.missed, l.chosen, l.past = 0, nil, false
	if l.search != nil {
		l.search.at = 0
	}
	l.follow()
}

// query is what to ask for now.
func (l *logPane) query() proc.LogQuery {
	q := proc.LogQuery{After: l.next, Limit: mostLines}
	if !l.all {
		q.Targets = []string{l.target}
	}
	if !l.loaded {
		q.Limit = firstLines
	}
	return q
}

// add takes over an answer, and tells whether it brought anything.
func (l *logPane) add(p proc.LogPage) bool {
	news := len(p.Lines) > 0 || !l.loaded
	if l.loaded {
		l.dropped += p.Dropped
	}
	l.loaded = true
	l.next = p.Next
	if l.paused {
		l.since += len(p.Lines)
	}
	if l.paused && len(l.lines)+len(p.Lines) > keptPaused {
		l.missed += len(p.Lines) // rather than what is being read
		return news
	}
	whole := l.whole()
	l.lines = append(l.lines, p.Lines...)
	if whole {
		l.view = l.lines
	}
	l.take(p.Lines, !whole)
	if over := len(l.lines) - keptFollowing; over > keptFollowing/2 && !l.paused {
		l.evict(over) // not at every answer: it moves the rest
	}
	return news
}

// take notes what there is to note of new lines, and shows those that are to be
// shown.
func (l *logPane) take(lines []proc.Line, some bool) {
	for i := range lines {
		line := &lines[i]
		l.names = max(l.names, width(line.Instance))
		if !l.wants(line.Stream) {
			continue
		}
		hit := l.search.finds(line)
		if some && (hit || !l.only) {
			l.view = append(l.view, *line)
		}
		if hit {
			l.hits = append(l.hits, line.Seq)
		}
	}
}

// whole tells whether every line is shown.
func (l *logPane) whole() bool { return l.stream == 0 && !l.only }

// refilter shows what is to be shown now, of all lines, and keeps the reader
// near the same line.
func (l *logPane) refilter() {
	l.view, l.hits = nil, nil
	whole := l.whole()
	if whole {
		l.view = l.lines
	}
	l.take(l.lines, !whole)
	l.top.row = 0
	if len(l.view) == 0 {
		l.follow()
	}
}

// evict drops the oldest lines.
func (l *logPane) evict(n int) {
	whole := l.whole()
	l.lines = slices.Delete(l.lines, 0, n)
	first := l.lines[0].Seq
	if whole {
		l.view = l.lines
	} else if i := at(l.view, first); i > 0 {
		l.view = slices.Delete(l.view, 0, i)
	}
	if i, _ := slices.BinarySearch(l.hits, first); i > 0 {
		l.hits = slices.Delete(l.hits, 0, i)
	}
	for seq := range l.marks {
		if seq < first {
			delete(l.marks, seq)
		}
	}
}

// before puts older lines before those that are there already.
func (l *logPane) before(p proc.LogPage) {
	l.deep = true
	older := p.Lines
	if len(l.lines) > 0 {
		older = older[:at(older, l.lines[0].Seq)]
	}
	if len(older) == 0 {
		return
	}
	l.lines = append(slices.Clip(older), l.lines...)
	top := l.top
	l.refilter()
	l.top = top
}

// wants tells whether the lines of a stream are shown.
func (l *logPane) wants(s proc.Stream) bool {
	return l.stream == 0 || streams[l.stream] == s
}

// streams are those that e goes through; the first is all of them.
var streams = []proc.Stream{"", proc.StreamOut, proc.StreamErr, proc.StreamEvent}

// follow shows the newest lines from now on.
func (l *logPane) follow() {
	l.chosen = nil
	l.paused, l.since = false, 0
	switch {
	case l.past:
		l.forget()
	case l.missed > 0:
		l.reload()
	}
	if over := len(l.lines) - keptFollowing; over > 0 {
		l.evict(over)
	}
}

// pause stops the text where it is.
func (l *logPane) pause() {
	if l.paused || len(l.view) == 0 {
		return
	}
	l.top = l.lastTop()
	l.paused = true
}

// toggle is follow or pause, whichever is not on.
func (l *logPane) toggle() {
	if l.paused {
		l.follow()
	} else {
		l.pause()
	}
}
