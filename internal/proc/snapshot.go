package proc

import "time"

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
	Apps     []AppSnapshot `json:"apps"`     // in the order of the config
}

// AppSnapshot is one app of a Snapshot.
type AppSnapshot struct {
	Name            string             `json:"name"`
	Command         string             `json:"command"` // as a shell would take it
	Port            *int               `json:"port"`    // null: a worker
	State           State              `json:"state"`
	Reason          string             `json:"reason"` // why it is in that state, or ""
	Ready           int                `json:"ready"`
	InstancesWanted int                `json:"instances_wanted"`
	Listen          string             `json:"listen"`     // how its instances get onto the port: "relay", "self", or "" for a worker
	ListenWhy       string             `json:"listen_why"` // why that way
	Count           string             `json:"count"`      // the count source: "relay", "off", or "" when nothing can be counted
	CountWhy        string             `json:"count_why"`
	RequestsTotal   *uint64            `json:"requests_total"`
	RequestsPerS    *float64           `json:"requests_per_s"`
	RequestsHistory []float64          `json:"requests_history"` // requests in each of the last seconds, oldest first, at most 120
	Instances       []InstanceSnapshot `json:"instances"`        // by index
}

// InstanceSnapshot is one instance of an AppSnapshot.
type InstanceSnapshot struct {
	ID         string   `json:"id"` // "web/0"
	Index      int      `json:"index"`
	State      State    `json:"state"`
	Reason     string   `json:"reason"` // "exit 1, retry in 8s", or ""
	PID        *int     `json:"pid"`
	Generation int      `json:"generation"` // how many processes this slot has had
	Restarts   int      `json:"restarts"`   // starts without anyone asking
	Uptime     *float64 `json:"uptime_s"`   // of the running process
	CPUPercent *float64 `json:"cpu_percent"`
	RSSBytes   *uint64  `json:"rss_bytes"`

	Queue            *uint64  `json:"queue"` // connections waiting to be accepted
	ConnectionsOpen  *uint64  `json:"connections_open"`
	ConnectionsTotal *uint64  `json:"connections_total"`
	RequestsTotal    *uint64  `json:"requests_total"`
	RequestsExact    bool     `json:"requests_exact"` // false: RequestsTotal is a lower bound, or unknown
	RequestsPerS     *float64 `json:"requests_per_s"`
	Status           *Classes `json:"status"`
	Latency          *Latency `json:"latency_ms"`
	BytesIn          *uint64  `json:"bytes_in"`
	BytesOut         *uint64  `json:"bytes_out"`

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

// Exit is how the last process of a slot ended.
type Exit struct {
	Code   int       `json:"code"`   // -1 when a signal ended it
	Signal string    `json:"signal"` // "SIGKILL", or "" when it exited by itself
	At     time.Time `json:"at"`
	After  float64   `json:"after_s"` // how long it ran
}
