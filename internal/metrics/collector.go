// Package metrics shows a cluster to Prometheus. What is not known is left out;
// nothing is shown as 0 that nobody has counted.
package metrics

import (
	"context"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"clusterd/internal/proc"
)

// Cluster is what is shown.
type Cluster interface {
	Measure(ctx context.Context) (*proc.Snapshot, error)
}

// collector makes metrics of one snapshot at each scrape.
type collector struct{ cluster Cluster }

// patience is how long a scrape waits for the cluster.
const patience = 5 * time.Second

var (
	build = describe("build_info", "What clusterd this is; always 1.", "version", "goversion")

	app     = describe("app_info", "How an app gets its connections (listen), what counts its requests (count), and what that is worth (requests: exact, at least, about, or nothing); always 1.", "app", "listen", "count", "requests")
	wanted  = ofApp("app_instances_wanted", "Instances that the app is to have.")
	skew    = ofApp("app_skew_ratio", "The requests of the instance that has served the most, over the mean; 1: all have served the same.")
	up      = ofInstance("instance_up", "Whether the instance is ready: 1, or 0.")
	restart = ofInstance("instance_restarts_total", "Starts that nobody had asked for.")
	cpu     = ofInstance("instance_cpu_seconds_total", "CPU time of all processes that the instance has had.")
	memory  = ofInstance("instance_memory_bytes", "Resident memory of the instance's processes.")

	answered  = ofInstance("requests_total", "Requests answered, by the class of their status; those of HTTP/2 are only in clusterd_requests_received_total. The code is unknown where answers are not seen.", "code")
	received  = ofInstance("requests_received_total", "Requests that have come, whether or not they were answered; at least so many, where clusterd_app_info says so.")
	estimated = ofInstance("requests_estimated_total", "About how many requests have come, by the packets that brought them; only where nothing counts them.")
	duration  = ofInstance("request_duration_seconds", "Time from the end of a request's head to the first byte of its response.")

	connections = ofInstance("connections", "Connections that are open.")
	accepted    = ofInstance("connections_total", "Connections that have come.")
	queue       = ofInstance("queue_connections", "Connections that wait to be accepted.")
	dropped     = ofInstance("queue_dropped_total", "Connections turned away since the queue was full.")
	in          = ofInstance("received_bytes_total", "Bytes that clients have sent.")
	out         = ofInstance("sent_bytes_total", "Bytes that clients were sent.")
)

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("clusterd_"+name, help, labels, nil)
}

func ofApp(name, help string) *prometheus.Desc { return describe(name, help, "app") }

func ofInstance(name, help string, more ...string) *prometheus.Desc {
	return describe(name, help, append([]string{"app", "instance"}, more...)...)
}

// Describe implements prometheus.Collector.
func (collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		build, app, wanted, skew, up, restart, cpu, memory, answered, received, estimated, duration,
		connections, accepted, queue, dropped, in, out,
	} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := c.cluster.Measure(ctx)
	if err != nil {
		to <- prometheus.NewInvalidMetric(build, err)
		return
	}
	page{to}.cluster(s)
}

// page is where the metrics of a scrape go.
type page struct{ to chan<- prometheus.Metric }

func (p page) cluster(s *proc.Snapshot) {
	p.gauge(build, 1, s.Version, runtime.Version())
	for i := range s.Apps {
		a := &s.Apps[i]
		p.gauge(app, 1, a.Name, a.Listen, a.Count, string(a.RequestsKind))
		p.gauge(wanted, float64(a.InstancesWanted), a.Name)
		if a.Skew != nil {
			p.gauge(skew, *a.Skew, a.Name)
		}
		for i := range a.Instances {
			p.instance(a.Name, &a.Instances[i])
		}
	}
}

func (p page) instance(app string, i *proc.InstanceSnapshot) {
	var ready float64
	if i.State == proc.StateReady {
		ready = 1
	}
	p.gauge(up, ready, app, i.ID)
	p.counter(restart, float64(i.Restarts), app, i.ID)
	if i.CPUSeconds != nil {
		p.counter(cpu, *i.CPUSeconds, app, i.ID)
	}
	for d, v := range map[*prometheus.Desc]*uint64{memory: i.RSSBytes, connections: i.ConnectionsOpen, queue: i.Queue} {
		if v != nil {
			p.gauge(d, float64(*v), app, i.ID)
		}
	}
	for d, v := range map[*prometheus.Desc]*uint64{dropped: i.QueueDropped, accepted: i.ConnectionsTotal, in: i.BytesIn, out: i.BytesOut} {
		if v != nil {
			p.counter(d, float64(*v), app, i.ID)
		}
	}
	p.requests(app, i)
}

func (p page) requests(app string, i *proc.InstanceSnapshot) {
	switch {
	case i.RequestsTotal == nil:
		return
	case i.RequestsKind == proc.About:
		p.counter(estimated, float64(*i.RequestsTotal), app, i.ID)
		return
	}
	p.counter(received, float64(*i.RequestsTotal), app, i.ID)
	if s := i.Status; s == nil {
		p.counter(answered, float64(*i.RequestsTotal), app, i.ID, "unknown")
	} else {
		for code, n := range map[string]uint64{"1xx": s.Info, "2xx": s.Success, "3xx": s.Redirect, "4xx": s.Client, "5xx": s.Server} {
			p.counter(answered, float64(n), app, i.ID, code)
		}
	}
	if d := i.Durations; d != nil {
		p.to <- prometheus.MustNewConstHistogram(duration, d.Count, d.Sum.Seconds(), d.Within, app, i.ID)
	}
}

func (p page) gauge(d *prometheus.Desc, v float64, labels ...string) {
	p.to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (p page) counter(d *prometheus.Desc, v float64, labels ...string) {
	p.to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
}
