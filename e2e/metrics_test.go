package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// withMetrics writes cluster.toml with an address for Prometheus.
func (w *workspace) withMetrics(at string, apps ...string) {
	w.t.Helper()
	w.configure(apps...)
	w.write("cluster.toml", fmt.Sprintf("metrics = %q\n", at)+w.read("cluster.toml"))
}

func (w *workspace) read(name string) string {
	w.t.Helper()
	text, err := os.ReadFile(w.dir + "/" + name)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(text)
}

// Prometheus finds what status shows; what is not known is not there.
func TestMetrics(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	port, at := w.port(), w.port()
	w.withMetrics(fmt.Sprintf("127.0.0.1:%d", at), web(port, 2, `listen = "relay"`), app("job", "sleep"))
	d := w.start()
	d.awaitReady(3)
	const n = 40
	served := servedBy(t, port, n)
	kill(t, *w.status().instance("web/1").PID)
	d.awaitReady(4)
	scrape := func() string {
		t.Helper()
		resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", at))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s, %v:\n%s", resp.Status, err, body)
		}
		return string(body)
	}
	var page string
	figure := func(metric string) int {
		t.Helper()
		match := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(metric) + ` (\S+)$`).FindStringSubmatch(page)
		if match == nil {
			t.Fatalf("there is no %s in:\n%s", metric, page)
		}
		f, err := strconv.ParseFloat(match[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		return int(f)
	}
	total := 0
	page = scrape()
	for _, in := range w.status().app("web").Instances {
		labels := fmt.Sprintf(`{app="web",instance=%q}`, in.ID)
		requests := figure(fmt.Sprintf(`clusterd_requests_total{app="web",code="2xx",instance=%q}`, in.ID))
		if requests != int(*in.RequestsTotal) || figure("clusterd_requests_received_total"+labels) != requests ||
			figure("clusterd_request_duration_seconds_count"+labels) != requests {
			t.Errorf("%s has served %d; the metrics:\n%s", in.ID, *in.RequestsTotal, page)
		}
		total += requests
		if figure("clusterd_instance_up"+labels) != 1 || figure("clusterd_instance_restarts_total"+labels) != in.Restarts {
			t.Errorf("%s was restarted %d times; the metrics:\n%s", in.ID, in.Restarts, page)
		}
	}
	if total != n || len(served) != 2 {
		t.Errorf("%d requests are shown of %d, which %v have served", total, n, served)
	}
	figure(`clusterd_app_info{app="web",count="relay",listen="relay",requests="exact"}`)
	figure(`clusterd_instance_up{app="job",instance="job/0"}`)
	if strings.Contains(page, `clusterd_requests_received_total{app="job"`) || strings.Contains(page, `clusterd_connections{app="job"`) {
		t.Errorf("a worker has requests or connections:\n%s", page)
	}
	d.stop()
}

// An address that cannot be had is an error before anything is started.
func TestMetricsAddressIsTaken(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	at := w.port()
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", at))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	w.withMetrics(fmt.Sprintf("127.0.0.1:%d", at), toucher)
	w.checkRefused(w.run("--no-tui"), 1, fmt.Sprintf(`^clusterd: metrics = "127.0.0.1:%d": port %d is already in use: held by pid %d`, at, at, os.Getpid()))
	w.withMetrics(fmt.Sprintf("203.0.113.1:%d", at), toucher)
	w.checkRefused(w.run("--no-tui"), 1, `^clusterd: metrics = "203.0.113.1:\d+": no interface of this machine has the address 203.0.113.1`)
	w.withMetrics(fmt.Sprintf(":%d", at), web(at, 1), toucher)
	w.checkRefused(w.run("--no-tui"), 2, `cluster.toml:1:11: the port of metrics, \d+, is that of \[apps.web\]`)
}
