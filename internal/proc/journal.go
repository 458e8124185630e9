package proc

import (
	"container/list"
	"slices"
	"strings"
	"sync"
	"time"
)

// How much of each instance's log is kept.
const (
	ringLines = 10_000
	ringBytes = 1 << 20
)

// defaultLimit is LogQuery.Limit when it is 0.
const defaultLimit = 1000

// journal keeps the last lines of every instance and of the cluster itself, in
// one order. Appending never blocks for longer than a reader needs to copy
// what it asked for, and never fails: old lines make room for new ones.
type journal struct {
	mu      sync.Mutex
	seq     uint64              // of the newest line
	rings   map[string]*ring    // by instance; "" is the cluster
	order   list.List           // of the rings: first the one that has the newest line
	changed chan struct{}       // closed at the next append; nil: nobody waits
	files   map[string]*logFile // by app
}

func newJournal() *journal { return &journal{rings: map[string]*ring{}, files: map[string]*logFile{}} }

// keepIn has the lines of an app written to f as well, and no more to the file
// before, which it returns; f is nil: to none.
func (j *journal) keepIn(app string, f *logFile) (before *logFile) {
	j.mu.Lock()
	defer j.mu.Unlock()
	before = j.files[app]
	if delete(j.files, app); f != nil {
		j.files[app] = f
	}
	return before
}

// keptIn are the files of all apps.
func (j *journal) keptIn() (all []*logFile) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, f := range j.files {
		all = append(all, f)
	}
	return all
}

// append adds lines of one stream, all with the same time.
func (j *journal) append(instance string, stream Stream, texts ...string) {
	if len(texts) == 0 {
		return
	}
	now := time.Now()
	j.mu.Lock()
	defer j.mu.Unlock()
	r := j.rings[instance]
	if r == nil {
		r = &ring{}
		j.add(instance, r)
	}
	j.order.MoveToFront(r.place)
	r.grow(len(texts))
	first := len(r.lines)
	for _, text := range texts {
		j.seq++
		r.lines = append(r.lines, Line{Seq: j.seq, At: now, Instance: instance, Stream: stream, Text: text})
	}
	app, _, _ := strings.Cut(instance, "/")
	if f := j.files[app]; f != nil {
		f.add(r.lines[first:])
	}
	r.trim(first)
	if j.changed != nil {
		close(j.changed)
		j.changed = nil
	}
}

// add adds a ring that has newer lines than all others, or none yet.
func (j *journal) add(instance string, r *ring) {
	r.instance = instance
	r.place = j.order.PushFront(r)
	j.rings[instance] = r
}

// newest is the sequence number of the newest line.
func (j *journal) newest() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.seq
}

// wait returns a channel that is closed once there is a line after seq.
func (j *journal) wait(seq uint64) <-chan struct{} {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.seq > seq {
		done := make(chan struct{})
		close(done)
		return done
	}
	if j.changed == nil {
		j.changed = make(chan struct{})
	}
	return j.changed
}

// page answers q. It copies no more than the lines of the answer, and looks at no more
// logs than have newer ones, while others wait to append.
func (j *journal) page(q LogQuery) LogPage {
	limit := q.Limit
	if limit <= 0 {
		limit = defaultLimit
	}
	limit = min(limit, ringLines)
	j.mu.Lock()
	defer j.mu.Unlock()
	var rings []*ring
	var parts [][]Line // of each ring, what comes after q.After
	total := 0
	p := LogPage{}
	for e := j.order.Front(); e != nil; e = e.Next() {
		r := e.Value.(*ring)
		if r.silentSince(q.After) {
			break // and so are all others
		}
		if !selects(q.Targets, r.instance) {
			continue
		}
		lines := r.after(q.After)
		p.Dropped += r.pushed - r.seenAt(q.After) - uint64(len(lines))
		rings = append(rings, r)
		if len(lines) > 0 {
			parts = append(parts, lines)
			total += len(lines)
		}
	}
	p.Next = max(j.seq, q.After)
	if q.Forward {
		p.Lines = oldest(parts, limit)
		if len(p.Lines) < total {
			p.Next = p.Lines[len(p.Lines)-1].Seq
		}
	} else {
		p.Lines = newest(parts, limit)
		p.Dropped += uint64(total - len(p.Lines))
	}
	for _, r := range rings {
		r.mark(p.Next)
	}
	return p
}

// selects tells whether an instance is one of the targets: "web" selects
// "web/2". No targets select everything, the cluster's own lines included.
func selects(targets []string, instance string) bool {
	if len(targets) == 0 {
		return true
	}
	for _, t := range targets {
		if t == instance || strings.HasPrefix(instance, t+"/") {
			return true
		}
	}
	return false
}

// ring is the log of one instance, oldest line first.
type ring struct {
	instance string
	place    *list.Element // in the journal's order

	lines  []Line // the last of room that are in use
	room   []Line
	bytes  int
	pushed uint64 // lines ever
	marks  []mark // the places up to which readers have read lately, oldest first
}

// mark says how many lines of a ring had been pushed when the journal was at
// seq. It is how a reader that comes back with seq learns how many of the lines
// since then it missed.
type mark struct{ seq, pushed uint64 }

// keptMarks bounds ring.marks. A reader that stays away while others read that
// often is told too many.
const keptMarks = 16

// grow makes room for n more lines behind the others: where lines have been dropped
// before them, or in a new place. Either is done once in many lines.
func (r *ring) grow(n int) {
	kept := len(r.lines)
	switch {
	case kept+n <= cap(r.lines):
		return
	case len(r.room)-kept-n >= kept/4:
		copy(r.room, r.lines)
		clear(r.room[kept:])
	default:
		room := make([]Line, (kept+n)*3/2)
		copy(room, r.lines)
		r.room = room
	}
	r.lines = r.room[:kept]
}

// trim makes room for the lines from first on, which have been added.
func (r *ring) trim(first int) {
	for _, l := range r.lines[first:] {
		r.bytes += len(l.Text)
		r.pushed++
	}
	n := 0
	for len(r.lines)-n > ringLines || (r.bytes > ringBytes && len(r.lines)-n > 1) {
		r.bytes -= len(r.lines[n].Text)
		n++
	}
	if n == 0 {
		return
	}
	clear(r.lines[:n])
	r.lines = r.lines[n:]
}

// after returns the kept lines with a larger Seq, in place.
func (r *ring) after(seq uint64) []Line {
	i, _ := slices.BinarySearchFunc(r.lines, seq+1, func(l Line, seq uint64) int {
		switch {
		case l.Seq < seq:
			return -1
		case l.Seq > seq:
			return 1
		}
		return 0
	})
	return r.lines[i:]
}

// silentSince tells whether there is no line after seq, though there are others.
func (r *ring) silentSince(seq uint64) bool {
	return len(r.lines) > 0 && r.lines[len(r.lines)-1].Seq <= seq
}

func (r *ring) mark(seq uint64) {
	if r.silentSince(seq) {
		seq = r.lines[len(r.lines)-1].Seq // it says the same until there are more lines
	}
	if slices.ContainsFunc(r.marks, func(m mark) bool { return m.seq == seq }) {
		return
	}
	if len(r.marks) == keptMarks {
		r.marks = append(r.marks[:0], r.marks[1:]...)
	}
	r.marks = append(r.marks, mark{seq, r.pushed - uint64(len(r.after(seq)))})
}

// seenAt is how many lines had been pushed when the journal was at seq.
func (r *ring) seenAt(seq uint64) uint64 {
	if kept := len(r.after(seq)); kept < len(r.lines) {
		return r.pushed - uint64(kept) // a line not after seq is still here: none was missed
	}
	seen := uint64(0)
	for _, m := range r.marks {
		if m.seq <= seq {
			seen = max(seen, m.pushed)
		}
	}
	return seen
}
