package metrics

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"clusterd/internal/proc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixed is a cluster that does not change.
type fixed struct {
	snapshot *proc.Snapshot
	err      error
}

func (f fixed) Measure(context.Context) (*proc.Snapshot, error) { return f.snapshot, f.err }

func ptr[T any](v T) *T { return &v }

// example has an instance of which all is known, one of which little is, and one
// whose requests are estimated.
func example() *proc.Snapshot {
	return &proc.Snapshot{Version: "1.0", Apps: []proc.AppSnapshot{
		{Name: "web", Listen: "adopt", Count: "ebpf", RequestsKind: proc.Exact, InstancesWanted: 2, Skew: ptr(1.5), Instances: []proc.InstanceSnapshot{
			{
				ID: "web/0", State: proc.StateReady, Restarts: 3, CPUSeconds: ptr(1.25), RSSBytes: ptr(uint64(4096)),
				RequestsTotal: ptr(uint64(12)), RequestsKind: proc.Exact, Status: &proc.Classes{Success: 10, Server: 2},
				Queue: ptr(uint64(1)), QueueDropped: ptr(uint64(0)), ConnectionsOpen: ptr(uint64(2)), ConnectionsTotal: ptr(uint64(5)),
				BytesIn: ptr(uint64(700)), BytesOut: ptr(uint64(9000)),
				Durations: &proc.Durations{Count: 12, Sum: 1500 * time.Millisecond, Within: map[float64]uint64{0.001: 4, 0.5: 12}},
			},
			{ID: "web/1", State: proc.StateBackoff},
		}},
		{Name: "db", Listen: "adopt", Count: "kernel", RequestsKind: proc.About, InstancesWanted: 1, Instances: []proc.InstanceSnapshot{
			{ID: "db/0", State: proc.StateReady, RequestsTotal: ptr(uint64(7)), RequestsKind: proc.About, ConnectionsTotal: ptr(uint64(1))},
		}},
		{Name: "part", Listen: "adopt", Count: "ebpf", RequestsKind: proc.AtLeast, InstancesWanted: 1, Instances: []proc.InstanceSnapshot{
			{ID: "part/0", State: proc.StateStarting, RequestsTotal: ptr(uint64(8)), RequestsKind: proc.AtLeast},
		}},
	}}
}

func TestCollector(t *testing.T) {
	const want = `
# HELP clusterd_requests_total Requests answered, by the class of their status; those of HTTP/2 are only in clusterd_requests_received_total. The code is unknown where answers are not seen.
# TYPE clusterd_requests_total counter
clusterd_requests_total{app="part",code="unknown",instance="part/0"} 8
clusterd_requests_total{app="web",code="1xx",instance="web/0"} 0
clusterd_requests_total{app="web",code="2xx",instance="web/0"} 10
clusterd_requests_total{app="web",code="3xx",instance="web/0"} 0
clusterd_requests_total{app="web",code="4xx",instance="web/0"} 0
clusterd_requests_total{app="web",code="5xx",instance="web/0"} 2
# HELP clusterd_requests_estimated_total About how many requests have come, by the packets that brought them; only where nothing counts them.
# TYPE clusterd_requests_estimated_total counter
clusterd_requests_estimated_total{app="db",instance="db/0"} 7
# HELP clusterd_request_duration_seconds Time from the end of a request's head to the first byte of its response.
# TYPE clusterd_request_duration_seconds histogram
clusterd_request_duration_seconds_bucket{app="web",instance="web/0",le="0.001"} 4
clusterd_request_duration_seconds_bucket{app="web",instance="web/0",le="0.5"} 12
clusterd_request_duration_seconds_bucket{app="web",instance="web/0",le="+Inf"} 12
clusterd_request_duration_seconds_sum{app="web",instance="web/0"} 1.5
clusterd_request_duration_seconds_count{app="web",instance="web/0"} 12
# HELP clusterd_instance_up Whether the instance is ready: 1, or 0.
# TYPE clusterd_instance_up gauge
clusterd_instance_up{app="db",instance="db/0"} 1
clusterd_instance_up{app="part",instance="part/0"} 0
clusterd_instance_up{app="web",instance="web/0"} 1
clusterd_instance_up{app="web",instance="web/1"} 0
# HELP clusterd_connections Connections that are open.
# TYPE clusterd_connections gauge
clusterd_connections{app="web",instance="web/0"} 2
# HELP clusterd_connections_total Connections that have come.
# TYPE clusterd_connections_total counter
clusterd_connections_total{app="db",instance="db/0"} 1
clusterd_connections_total{app="web",instance="web/0"} 5
`
	var names []string
	for line := range strings.Lines(want) {
		if name, ok := strings.CutPrefix(line, "# TYPE "); ok {
			names = append(names, strings.Fields(name)[0])
		}
	}
	if err := testutil.CollectAndCompare(collector{fixed{snapshot: example()}}, strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
}

func TestLint(t *testing.T) {
	problems, err := testutil.GatherAndLint(registry(fixed{snapshot: example()}))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "clusterd_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

// A scrape of a cluster that does not answer fails, and says why.
func TestScrape(t *testing.T) {
	for _, c := range []struct {
		cluster fixed
		code    int
		has     string
	}{
		{fixed{snapshot: example()}, http.StatusOK, `clusterd_build_info{goversion="go`},
		{fixed{snapshot: example()}, http.StatusOK, `process_open_fds `},
		{fixed{snapshot: example()}, http.StatusOK, `go_goroutines `},
		{fixed{err: errors.New("it is down")}, http.StatusInternalServerError, "it is down"},
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := NewServer(c.cluster)
		s.Serve(l)
		resp, err := http.Get("http://" + l.Addr().String() + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		http.DefaultClient.CloseIdleConnections()
		s.Close()
		if err != nil || resp.StatusCode != c.code || !strings.Contains(string(body), c.has) {
			t.Errorf("%d, %v, want %d with %q:\n%.2000s", resp.StatusCode, err, c.code, c.has, body)
		}
	}
}
