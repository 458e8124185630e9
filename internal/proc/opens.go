package proc

import (
	"sync"
	"time"

	"clusterd/internal/port"
)

// view is a snapshot, and what it does not have yet.
type view struct {
	snapshot *Snapshot
	looks    []openLook
}

// openLook is an app whose instances accept for themselves, so that the kernel has
// to be asked which connections they have open.
type openLook struct {
	app, port int
	processes [][]process // by instance
}

// lookForOpen is what has to be looked for to complete a snapshot.
func (c *Cluster) lookForOpen() (looks []openLook) {
	for i, a := range c.apps {
		if !a.way.direct() {
			continue
		}
		l := openLook{app: i, port: a.config.Port}
		for _, inst := range a.instances {
			var processes []process
			for _, r := range inst.runs() {
				if r.process != nil && !r.over {
					processes = append(processes, r.process)
				}
			}
			l.processes = append(l.processes, processes)
		}
		looks = append(looks, l)
	}
	return looks
}

const (
	// openFor is how old a reading of open connections may be at least.
	openFor = time.Second
	// openShare is how much longer than the reading took.
	openShare = 200
)

// opens reads open connections, for whoever wants a snapshot; never in the event
// loop, as it takes a while where there are many.
type opens struct {
	mu    sync.Mutex
	ports map[int]openReading
}

type openReading struct {
	accepted []port.Accepted // by instance
	until    time.Time
}

// complete fills in the open connections of a snapshot that nobody else has yet.
func (o *opens) complete(s *Snapshot, looks []openLook) {
	for _, l := range looks {
		a := &s.Apps[l.app]
		for i, n := range o.read(l) {
			if i < len(a.Instances) && n.Known {
				a.Instances[i].ConnectionsOpen = &n.Open
			}
		}
		a.ConnectionsOpen = sum(a.Instances, func(in *InstanceSnapshot) *uint64 { return in.ConnectionsOpen })
	}
}

// read returns what the kernel says, or said a moment ago.
func (o *opens) read(l openLook) []port.Accepted {
	o.mu.Lock()
	defer o.mu.Unlock()
	began := time.Now()
	if r := o.ports[l.port]; began.Before(r.until) && len(r.accepted) == len(l.processes) {
		return r.accepted
	}
	accepted, err := port.AcceptedBy(l.port, len(l.processes), func(i int) (pids []int) {
		for _, p := range l.processes[i] {
			pids = append(pids, p.Members()...)
		}
		return pids
	})
	if err != nil {
		return nil // a kernel that does not tell
	}
	if o.ports == nil {
		o.ports = map[int]openReading{}
	}
	now := time.Now()
	o.ports[l.port] = openReading{accepted, now.Add(max(openFor, openShare*now.Sub(began)))}
	return accepted
}
