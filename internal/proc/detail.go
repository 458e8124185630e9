package proc

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"clusterd/internal/traffic"
)

// Detail is what there is to know of an app, or of one of its instances, that a
// Snapshot would be too large with. It is immutable.
type Detail struct {
	Target  string     `json:"target"`
	Cwd     string     `json:"cwd"`
	Env     []Variable `json:"env"`     // what is set beside clusterd's own environment, by name; secrets included
	Exits   []PastExit `json:"exits"`   // the last ones, newest first
	Latency []Bucket   `json:"latency"` // of the last 30 to 60 seconds; none: not known, or no requests
	History []float64  `json:"history"` // requests in each of the last seconds, oldest first, at most 120
}

// Variable is one of an environment.
type Variable struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// PastExit is the end of a process.
type PastExit struct {
	Instance   string `json:"instance"`
	Generation int    `json:"generation"`
	Exit
}

// Bucket counts requests whose latency was within Upto milliseconds, and more
// than that of the bucket before it. The last one has no bound: Upto is 0.
type Bucket struct {
	Upto  float64 `json:"upto_ms"`
	Count uint64  `json:"count"`
}

// keptExits is how many of its last exits an instance remembers.
const keptExits = 20

// remember keeps the end of a run among the instance's last ones.
func (i *instance) remember(r *run) {
	i.exits = append(i.exits, PastExit{i.id, r.place.generation, *r.exit})
	if over := len(i.exits) - keptExits; over > 0 {
		i.exits = slices.Delete(i.exits, 0, over)
	}
}

// Detail returns what is known of an app or an instance. It waits for the event
// loop, which never waits itself.
func (c *Cluster) Detail(ctx context.Context, target string) (*Detail, error) {
	reply := make(chan detailReply, 1)
	r, err := ask(ctx, c, detailMsg{target, reply}, reply)
	if err != nil {
		return nil, err
	}
	return r.detail, r.err
}

type detailReply struct {
	detail *Detail
	err    error
}

// detail answers a detailMsg.
func (c *Cluster) detail(target string, now time.Time) detailReply {
	for _, a := range c.apps {
		if a.config.Name == target {
			return detailReply{detail: a.detail(now)}
		}
		for _, inst := range a.instances {
			if inst.id == target {
				return detailReply{detail: inst.detail(now)}
			}
		}
	}
	return detailReply{err: c.unknownTarget(target)}
}

func (a *app) detail(now time.Time) *Detail {
	d := &Detail{Target: a.config.Name, Cwd: a.config.Cwd, Env: variables(a.config.Env)}
	if a.counts() {
		d.History = a.meter.History()
	}
	d.Exits = slices.Clone(a.exits)
	var all traffic.Latencies
	for _, inst := range a.instances {
		d.Exits = append(d.Exits, inst.exits...)
		all = all.Merge(inst.recent(now))
	}
	d.Exits, d.Latency = newestFirst(d.Exits), histogram(all)
	return d
}

func (i *instance) detail(now time.Time) *Detail {
	d := &Detail{
		Target:  i.id,
		Cwd:     i.app.config.Cwd,
		Env:     variables(i.variables()),
		Exits:   newestFirst(slices.Clone(i.exits)),
		Latency: histogram(i.recent(now)),
	}
	if i.app.counts() {
		d.History = i.meter.History()
	}
	return d
}

func newestFirst(exits []PastExit) []PastExit {
	slices.SortStableFunc(exits, func(a, b PastExit) int { return b.At.Compare(a.At) })
	return exits[:min(len(exits), keptExits)]
}

// variables are those of a set, by name.
func variables(set map[string]string) []Variable {
	var out []Variable
	for _, name := range slices.Sorted(maps.Keys(set)) {
		out = append(out, Variable{name, set[name]})
	}
	return out
}

// variables are what the newest process of the instance got beside clusterd's
// own environment, or will get.
func (i *instance) variables() map[string]string {
	vars := map[string]string{}
	maps.Copy(vars, i.app.config.Env)
	at := place{generation: i.generation + 1}
	if r := i.run; r != nil {
		at = r.place
	}
	i.own(vars, at)
	return vars
}

// own sets the variables that tell a process what it is.
func (i *instance) own(vars map[string]string, at place) {
	index := strconv.Itoa(i.index)
	if at.port != 0 {
		vars["PORT"] = strconv.Itoa(at.port)
	}
	vars["CLUSTERD_APP"], _, _ = strings.Cut(i.id, "/")
	vars["CLUSTERD_INSTANCE"] = index
	vars["CLUSTERD_GENERATION"] = strconv.Itoa(at.generation)
	vars["NODE_APP_INSTANCE"] = index
}

// bounds of a histogram's buckets: 1, 2 and 5 of every power of ten from 0.1 ms
// to 10 s.
var bounds = []time.Duration{
	100 * time.Microsecond, 200 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond,
	10 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second,
}

// histogram is how latencies are spread; nil where there are none.
func histogram(l traffic.Latencies) []Bucket {
	if l.Count() == 0 {
		return nil
	}
	var out []Bucket
	seen := uint64(0)
	for i, n := range l.Within(bounds) {
		out = append(out, Bucket{float64(bounds[i]) / float64(time.Millisecond), n - seen})
		seen = n
	}
	return append(out, Bucket{Count: l.Count() - seen})
}
