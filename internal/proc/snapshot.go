package proc

import (
	"fmt"
	"time"
)

// State is where an instance is in its life.
type State string

// The states of an instance. An app has the state of its worst instance.
const (
	StateWaiting  State = "waiting"  // for another app
	StateStarting State = "starting" // running, not ready yet
	StateReady    State = "ready"    // running and serving
	StateUnready  State = "unready"  // alive, failing its check
	StateStopping State = "stopping" // asked to end
	StateStopped  State = "stopped"  // ended, and not to be started until asked
	StateBackoff  State = "backoff"  // ended, will be started again by itself
	StateFailed   State = "failed"   // gave up
	StateDone     State = "done"     // ran to its end, as it is meant to
)

// Snapshot is the whole cluster at one moment. It is immutable: whoever holds
// one may keep it, and must not change it. It marshals to the JSON of
// clusterd status --json; a figure that is not known is null there and a nil
// pointer here, never 0.
type Snapshot struct {
	Name     string        `json:"name"`
	Config   string        `json:"config"` // absolute path of the file
	PID      int           `json:"pid"`    // of the daemon
	Version  string        `json:"version"`
	Uptime   float64       `json:"uptime_s"`
	Stopping bool          `json:"stopping"` // the cluster is going down
	LogSeq   uint64        `json:"log_seq"`  // of the newest line of its log
	Changes  uint64        `json:"changes"`  // how often an instance's state or the reason of it has changed
	Apps     []AppSnapshot `json:"apps"`     // in the order of the config
}

// AppSnapshot is one app of a Snapshot.
type AppSnapshot struct {
	Name            string       `json:"name"`
	Command         string       `json:"command"` // as a shell would take it
	Port            *int         `json:"port"`    // null: a worker
	State           State        `json:"state"`
	Reason          string       `json:"reason"` // why it is in that state, or ""
	Ready           int          `json:"ready"`
	InstancesWanted int          `json:"instances_wanted"`
	DependsOn       []Dependency `json:"depends_on"`
	Listen          string       `json:"listen"`     // how its instances get onto the port: "relay", "self", or "" for a worker
	ListenWhy       string       `json:"listen_why"` // why that way
	Count           string       `json:"count"`      // the count source: "ebpf", "relay", "kernel", "off", or "" when nothing can be counted
	CountWhy        string       `json:"count_why"`
	RequestsTotal   *uint64      `json:"requests_total"`
	RequestsKind    Kind         `json:"requests_kind"`     // what the figures of requests are
	RequestsPerS    *float64     `json:"requests_per_s"`    // over the last second
	RequestsPer10S  *float64     `json:"requests_per_10_s"` // per second, over the last ten
	RequestsHistory []float64    `json:"requests_history"`  // requests in each of the last seconds, oldest first, at most 120

	// As of an instance, for all of them together, and what those that are no more
	// have counted.
	Queue            *uint64  `json:"queue"`
	QueueDropped     *uint64  `json:"queue_dropped"`
	ConnectionsOpen  *uint64  `json:"connections_open"`
	ConnectionsTotal *uint64  `json:"connections_total"`
	ConnectionsExact bool     `json:"connections_exact"` // false: some may have come to another slot, or were missed
	Status           *Classes `json:"status"`
	Latency          *Latency `json:"latency_ms"`
	BytesIn          *uint64  `json:"bytes_in"`
	BytesOut         *uint64  `json:"bytes_out"`
	Skew             *float64 `json:"skew"` // the largest share over the mean one; 1: all have served the same

	Reload    *Progress          `json:"reload"`    // null: none is under way
	Instances []InstanceSnapshot `json:"instances"` // by index
}

// Dependency is an app that another one waits for.
type Dependency struct {
	App   string `json:"app"`
	Until string `json:"until"` // "started", "ready" or "done"
}

// Progress is how far a reload is.
type Progress struct {
	Done  int `json:"done"` // instances that have been replaced
	Total int `json:"total"`
}

// Kind is what a figure of requests is worth.
type Kind string

// The kinds of figures.
const (
	Exact   Kind = "exact"    // all requests, and each once
	AtLeast Kind = "at least" // not all could be followed
	About   Kind = "about"    // an estimate
	Unknown Kind = ""         // there is no figure
)

// Awaited is how many instances ought to be ready: not those that have run to
// their end, as they are meant to.
func (a *AppSnapshot) Awaited() int {
	n := a.InstancesWanted
	for i := range a.Instances {
		if a.Instances[i].State == StateDone {
			n--
		}
	}
	return max(n, 0)
}

// Of says how many of those are, as in "3/4"; "" where none ought to be.
func (a *AppSnapshot) Of() string {
	if a.Awaited() == 0 && a.InstancesWanted > 0 {
		return ""
	}
	return fmt.Sprintf("%d/%d", a.Ready, a.Awaited())
}

// InstanceSnapshot is one instance of an AppSnapshot.
type InstanceSnapshot struct {
	ID         string     `json:"id"` // "web/0"
	Index      int        `json:"index"`
	State      State      `json:"state"`
	Reason     string     `json:"reason"`   // "exit 1, retry in 8s", or ""
	Says       string     `json:"says"`     // what the process says of itself (STATUS of sd_notify), or ""
	Since      time.Time  `json:"since"`    // it is in that state
	RetryAt    *time.Time `json:"retry_at"` // when it is started again by itself, in backoff
	PID        *int       `json:"pid"`
	Generation int        `json:"generation"` // how many processes this slot has had
	Restarts   int        `json:"restarts"`   // starts without anyone asking
	Uptime     *float64   `json:"uptime_s"`   // of the running process
	CPUPercent *float64   `json:"cpu_percent"`
	CPUSeconds *float64   `json:"cpu_seconds"` // of all processes that the slot has had
	RSSBytes   *uint64    `json:"rss_bytes"`

	RequestsTotal    *uint64  `json:"requests_total"`
	RequestsExact    bool     `json:"requests_exact"` // RequestsKind is Exact
	RequestsKind     Kind     `json:"requests_kind"`
	RequestsPerS     *float64 `json:"requests_per_s"`    // over the last second
	RequestsPer10S   *float64 `json:"requests_per_10_s"` // per second, over the last ten
	Share            *float64 `json:"share"`             // of the app's requests, 0 to 1
	Queue            *uint64  `json:"queue"`             // connections waiting to be accepted
	QueueDropped     *uint64  `json:"queue_dropped"`     // connections turned away since the queue was full
	ConnectionsOpen  *uint64  `json:"connections_open"`
	ConnectionsTotal *uint64  `json:"connections_total"`
	ConnectionsExact bool     `json:"connections_exact"` // false: some may have come to another slot, or were missed
	Status           *Classes `json:"status"`
	Latency          *Latency `json:"latency_ms"`
	BytesIn          *uint64  `json:"bytes_in"`
	BytesOut         *uint64  `json:"bytes_out"`

	Durations *Durations `json:"-"` // only of Cluster.Measure

	LastExit *Exit `json:"last_exit"`
}

// Classes counts responses by the first digit of their status.
type Classes struct {
	Info     uint64 `json:"1xx"`
	Success  uint64 `json:"2xx"`
	Redirect uint64 `json:"3xx"`
	Client   uint64 `json:"4xx"`
	Server   uint64 `json:"5xx"`
}

// Latency is how long responses took to begin, in milliseconds, over the last
// 30 to 60 seconds.
type Latency struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
}

// Durations are how long responses took to begin, since the cluster was started.
type Durations struct {
	Count  uint64
	Sum    time.Duration
	Within map[float64]uint64 // how many took no longer than so many seconds
}

// Exit is how the last process of a slot ended.
type Exit struct {
	Code   int       `json:"code"`   // -1 when a signal ended it
	Signal string    `json:"signal"` // "SIGKILL", or "" when it exited by itself
	At     time.Time `json:"at"`
	After  float64   `json:"after_s"` // how long it ran
}
