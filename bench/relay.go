package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

const (
	relayRounds   = 9
	relaySeconds  = 3
	directSeconds = 2
	connections   = 16
)

// load is a way of sending requests.
type load struct {
	name string
	args []string // of wrk
}

var loads = []load{
	{"keep-alive", nil},
	{"a new connection for each request", []string{"-H", "Connection: close"}},
}

// target is where a load goes, and what is measured of it.
type target struct {
	name    string
	port    int
	pids    []int // whose CPU is counted; none: nobody's
	seconds int

	perRequest [loadCount][]float64 // µs of CPU, by load
	perSecond  [loadCount][]float64 // requests, by load
}

const loadCount = 2

// measureRelay compares the relay with nginx as a reverse proxy.
func measureRelay(dir, clusterd string, w *strings.Builder) error {
	for _, tool := range []string{"nginx", "wrk"} {
		if _, err := findTool(tool); err != nil {
			return fmt.Errorf("%s is not installed, and the relay is compared with nginx under the load of wrk", tool)
		}
	}
	fmt.Fprintf(w, `
## The relay beside nginx

CPU of the proxy for each request, in user and in kernel mode: utime + stime of /proc/PID/stat over a run, of clusterd
or of nginx's workers, by the requests that wrk counted in it. Both pass to the same upstream, an nginx with one worker
that answers 1 KiB, which is the only instance of an app with `+"`listen = \"relay\"`"+`. nginx proxies with
`+"`worker_processes %d`"+`, as many as there are CPUs, since clusterd may use all of them too, keeps its connections to the
upstream, and writes no access log. wrk uses 1 thread and %d connections. %d rounds of %d s each, in which relay and nginx take
turns at going first; medians, and of the ratio the median over the rounds.

With a new connection for each request the relay opens a new one to the instance as well, because it pairs one client
connection with one of the instance; nginx keeps those it has to the upstream.

`, runtime.NumCPU(), connections, relayRounds, relaySeconds)

	c, upstream, err := startUpstream(dir, clusterd)
	if err != nil {
		return err
	}
	defer c.cluster.stop()
	proxy, err := startProxy(dir, upstream)
	if err != nil {
		return err
	}
	defer proxy.stop()

	direct := &target{name: "direct", port: upstream, seconds: directSeconds}
	relay := &target{name: "relay", port: c.port, pids: []int{c.cluster.pid()}, seconds: relaySeconds}
	nginx := &target{name: "nginx", port: proxy.port, pids: childrenOf(proxy.cmd.Process.Pid), seconds: relaySeconds}
	for round := range relayRounds {
		order := []*target{relay, nginx}
		if round%2 == 1 {
			order = []*target{nginx, relay}
		}
		if round%3 == 0 {
			order = append(order, direct)
		}
		for i, l := range loads {
			for _, t := range order {
				if err := t.measure(i, l); err != nil {
					return fmt.Errorf("%s, %s: %w", t.name, l.name, err)
				}
			}
		}
	}
	writeTable(w, direct, relay, nginx)
	return nil
}

// measure puts a load on t once.
func (t *target) measure(i int, l load) error {
	args := append([]string{"-t1", "-c" + strconv.Itoa(connections), fmt.Sprintf("-d%ds", t.seconds)}, l.args...)
	before, err := cpuTimes(t.pids)
	if err != nil {
		return err
	}
	began := time.Now()
	wrk, err := findTool("wrk")
	if err != nil {
		return err
	}
	out, err := exec.Command(wrk, append(args, fmt.Sprintf("http://127.0.0.1:%d/", t.port))...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("wrk: %w\n%s", err, out)
	}
	took := time.Since(began)
	after, err := cpuTimes(t.pids)
	if err != nil {
		return err
	}
	requests, err := requestsOf(string(out))
	if err != nil {
		return err
	}
	t.perRequest[i] = append(t.perRequest[i], float64((after-before).Microseconds())/requests)
	t.perSecond[i] = append(t.perSecond[i], requests/took.Seconds())
	return nil
}

// requestsOf reads how many requests wrk says were answered, all of them well.
func requestsOf(out string) (float64, error) {
	for _, bad := range []string{"Socket errors", "Non-2xx"} {
		if strings.Contains(out, bad) {
			return 0, fmt.Errorf("not all requests were answered:\n%s", out)
		}
	}
	for line := range strings.Lines(out) {
		if n, _, ok := strings.Cut(strings.TrimSpace(line), " requests in "); ok {
			requests, err := strconv.ParseFloat(n, 64)
			if err == nil && requests > 0 {
				return requests, nil
			}
		}
	}
	return 0, fmt.Errorf("wrk counted nothing:\n%s", out)
}

func writeTable(w *strings.Builder, direct, relay, nginx *target) {
	w.WriteString("| load | proxy | CPU per request | requests per second |\n|---|---|---|---|\n")
	for i, l := range loads {
		for _, t := range []*target{direct, nginx, relay} {
			cpu := "–"
			if t.pids != nil {
				cpu = fmt.Sprintf("%.1f µs (%.1f to %.1f)", median(t.perRequest[i]), quantile(t.perRequest[i], 0), quantile(t.perRequest[i], 1))
			}
			fmt.Fprintf(w, "| %s | %s | %s | %.0f |\n", l.name, t.name, cpu, median(t.perSecond[i]))
		}
	}
	w.WriteString("\n| load | CPU of the relay as a multiple of nginx's, by round | median |\n|---|---|---|\n")
	for i, l := range loads {
		var ratios []float64
		var all []string
		for round, cpu := range relay.perRequest[i] {
			ratios = append(ratios, cpu/nginx.perRequest[i][round])
			all = append(all, fmt.Sprintf("%.2f", ratios[round]))
		}
		fmt.Fprintf(w, "| %s | %s | **%.2f** |\n", l.name, strings.Join(all, ", "), median(ratios))
	}
}

// findTool looks where Debian puts servers, too: that is not on every PATH.
func findTool(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	path := filepath.Join("/usr/sbin", name)
	if _, err := os.Stat(path); err != nil {
		return "", errors.New(name + " is not installed")
	}
	return path, nil
}
