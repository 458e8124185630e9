package proc

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"clusterd/internal/config"
	"clusterd/internal/port"
	"clusterd/internal/relay"
	"clusterd/internal/traffic"
	"clusterd/internal/traffic/ebpf"
	"clusterd/internal/traffic/kernel"
)

// What a cluster hands over. handover.Format changes with it.

// partCluster is the name of a clusterState in a bag.
const partCluster = "cluster"

type clusterState struct {
	Version   string // that is replaced
	Config    *config.Config
	StartedAt time.Time
	Token     string
	Runs      uint64
	Guard     guardState
	Journal   journalState
	Private   port.PrivateState
	Kernel    *kernelState // nil: nothing is counted in the kernel
	Apps      []appState
}

type kernelState struct {
	Counter ebpf.CounterState
	Used    int
}

type appState struct {
	Config    config.App
	Plan      planState
	Way       wayState
	Open      bool
	Held      int
	Wanted    int
	Changed   []string
	NextRun   time.Time
	Counters  []traffic.CountersState
	Ledgers   []traffic.LedgerState
	Meter     traffic.MeterState
	Instances []instanceState
}

type planState struct {
	Listen, ListenWhy string
	Count, CountWhy   string
	Err               string
	Adopts            bool
	Grip              port.Grip
}

// wayState is that of the way of an app's plan.
type wayState struct {
	Front   *port.FrontState // direct; nil: closed
	Orphans *relay.RelayState
	Serving map[int]int
	Counted map[int]int // by slot, its number in the kernel's counts
	Watch   *kernel.WatchState

	Groups []groupState // behind the relay
	Relay  *relay.RelayState
}

type groupState struct {
	At    port.Addr
	Group port.GroupState
}

type instanceState struct {
	State    State
	Since    time.Time
	Reason   string
	Hopeless bool

	Generation int
	HasRun     bool
	Restarts   int
	Streak     int // of its history
	Exited     int
	Failures   []time.Time
	LastExit   *Exit
	Exits      []PastExit
	RetryAt    time.Time // zero: it is not in StateBackoff

	Meter    traffic.MeterState
	Measured bool
	Ticks    uint64
	Run      *runState // nil: no process
}

type runState struct {
	Slot, Generation int // of its place
	Port, Private    int
	Socket           port.Listening

	PID  int
	Name string
	Seen map[int]uint64

	Output         []string
	Stdout, Stderr streamState
	Notify         int // the descriptor of its socket; -1: none
	Adoption       *port.AdoptionState

	LaunchedAt, ReadyAt time.Time
	Listens, Passed     bool
	Matched, Late       bool
	Hint                string
	Ailing              int
	AilingSince         time.Time
	Suspended           bool
	Unasked             bool
	Says                string
	MainPID             int
	MainStart           uint64
}

type streamState struct {
	FD   int // -1: it has ended
	Rest []byte
}

// journalState has lines by columns, since there may be many.
type journalState struct {
	Seq   uint64
	Rings map[string]ringState
}

type ringState struct {
	Seqs    []uint64
	Ats     []int64 // Unix time in nanoseconds
	Streams []Stream
	Texts   []string
	Pushed  uint64
	Marks   []markState
}

type markState struct{ Seq, Pushed uint64 }

func (j *journal) state() journalState {
	j.mu.Lock()
	defer j.mu.Unlock()
	st := journalState{Seq: j.seq, Rings: map[string]ringState{}}
	for id, r := range j.rings {
		rs := ringState{Pushed: r.pushed}
		for _, l := range r.lines {
			rs.Seqs = append(rs.Seqs, l.Seq)
			rs.Ats = append(rs.Ats, l.At.UnixNano())
			rs.Streams = append(rs.Streams, l.Stream)
			rs.Texts = append(rs.Texts, l.Text)
		}
		for _, m := range r.marks {
			rs.Marks = append(rs.Marks, markState{m.seq, m.pushed})
		}
		st.Rings[id] = rs
	}
	return st
}

func takeJournal(st journalState) *journal {
	j := newJournal()
	j.seq = st.Seq
	newest := func(id string) uint64 { return st.Rings[id].Seqs[len(st.Rings[id].Seqs)-1] }
	for _, id := range slices.SortedFunc(maps.Keys(st.Rings), func(a, b string) int { return cmp.Compare(newest(a), newest(b)) }) {
		rs := st.Rings[id]
		r := &ring{pushed: rs.Pushed}
		for i, text := range rs.Texts {
			r.lines = append(r.lines, Line{Seq: rs.Seqs[i], At: time.Unix(0, rs.Ats[i]), Instance: id, Stream: rs.Streams[i], Text: text})
			r.bytes += len(text)
		}
		for _, m := range rs.Marks {
			r.marks = append(r.marks, mark{m.Seq, m.Pushed})
		}
		j.add(id, r)
	}
	return j
}

func (p Plan) state() planState {
	st := planState{p.Listen, p.ListenWhy, p.Count, p.CountWhy, "", p.adopts, p.grip}
	if p.Err != nil {
		st.Err = p.Err.Error()
	}
	return st
}
