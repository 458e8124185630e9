package proc

import "time"

// Stream says where a log line came from.
type Stream string

// The streams of a log.
const (
	StreamOut   Stream = "out"   // the process's standard output
	StreamErr   Stream = "err"   // its standard error
	StreamEvent Stream = "event" // clusterd, about the instance
)

// Line is one line of log. Text has no line end, is valid UTF-8, and holds no
// control characters or escape sequences except SGR (colours).
type Line struct {
	Seq      uint64    `json:"seq"` // position in the cluster's log, from 1, growing
	At       time.Time `json:"at"`
	Instance string    `json:"instance"` // "web/0"; "" for events of the whole cluster
	Stream   Stream    `json:"stream"`
	Text     string    `json:"text"`
}

// LogQuery selects log lines.
type LogQuery struct {
	Targets []string // "web" or "web/2"; none: everything
	After   uint64   // only lines with a larger Seq
	Limit   int      // at most that many, never more than 10,000; 0: 1,000
	Forward bool     // where that is not all of them: the oldest, and the rest next time; else the newest
}

// LogPage answers a LogQuery.
type LogPage struct {
	Lines []Line `json:"lines"` // by Seq
	Next  uint64 `json:"next"`  // LogQuery.After for what comes next
	// Dropped counts the selected lines after LogQuery.After that are no
	// longer kept, or, without LogQuery.Forward, were left out by LogQuery.Limit.
	Dropped uint64 `json:"dropped"`
	// Changes is Snapshot.Changes of now: who has a snapshot with the same one would
	// learn of no other states from a newer one.
	Changes uint64 `json:"changes"`
}
