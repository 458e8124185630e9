package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// status is what status --json prints, as a script would read it.
type status struct {
	Name string
	PID  int
	Apps []appStatus
}

type appStatus struct {
	Name            string
	State           string
	Ready           int
	InstancesWanted int `json:"instances_wanted"`
	Listen, Count   string
	ListenWhy       string  `json:"listen_why"`
	CountWhy        string  `json:"count_why"`
	RequestsKind    string  `json:"requests_kind"`
	RequestsTotal   *uint64 `json:"requests_total"`
	Instances       []instanceStatus
}

type instanceStatus struct {
	ID, State, Reason    string
	Since                time.Time
	Uptime               *float64 `json:"uptime_s"`
	PID                  *int
	Generation, Restarts int
	RSSBytes             *uint64 `json:"rss_bytes"`
	RequestsTotal        *uint64 `json:"requests_total"`
	RequestsExact        bool    `json:"requests_exact"`
	RequestsKind         string  `json:"requests_kind"`
	Queue                *uint64
	ConnectionsOpen      *uint64 `json:"connections_open"`
	ConnectionsTotal     *uint64 `json:"connections_total"`
	ConnectionsExact     bool    `json:"connections_exact"`
	Status               map[string]uint64
	Latency              map[string]float64 `json:"latency_ms"`
	BytesIn              *uint64            `json:"bytes_in"`
	BytesOut             *uint64            `json:"bytes_out"`
	LastExit             *struct {
		Code   int
		Signal string
	} `json:"last_exit"`
}

// status asks the running cluster.
func (w *workspace) status(targets ...string) status {
	w.t.Helper()
	out := w.must(append([]string{"status", "--json"}, targets...)...)
	var s status
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		w.t.Fatalf("status --json printed no JSON: %v\n%s", err, out)
	}
	return s
}

// app finds an app of the status.
func (s status) app(name string) appStatus {
	for _, a := range s.Apps {
		if a.Name == name {
			return a
		}
	}
	panic(fmt.Sprintf("no app %s in the status", name))
}

// instance finds an instance such as web/1.
func (s status) instance(id string) instanceStatus {
	name, _, _ := strings.Cut(id, "/")
	for _, in := range s.app(name).Instances {
		if in.ID == id {
			return in
		}
	}
	panic(fmt.Sprintf("no instance %s in the status", id))
}

// requests is the sum over the instances, which have to be known.
func (a appStatus) requests() (sum uint64) {
	for _, in := range a.Instances {
		if in.RequestsTotal == nil {
			panic("the requests of " + in.ID + " are not known")
		}
		sum += *in.RequestsTotal
	}
	return sum
}

// awaitStatus waits until the status of the cluster is as ok wants it.
func (d *daemon) awaitStatus(what string, ok func(status) bool) status {
	d.w.t.Helper()
	var s status
	d.await(what, func() bool {
		s = d.w.status()
		return ok(s)
	})
	return s
}
