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
	relayRounds  = 5
	relaySeconds = 2
	idleClients  = 1000
)

// relayLoads are those that the proxies are compared under.
var relayLoads = []load{
	{name: "keep-alive, 64 connections", path: "/", sender: wrk("-c64")},
	{name: "keep-alive, 1,000 connections", path: "/", sender: wrk("-c1000")},
	{name: "a new connection for each request", path: "/", sender: wrk("-c64", "-H", "Connection: close")},
	{name: "64 KiB", path: "/64k", sender: wrk("-c64")},
	{name: "1 MiB", path: "/1m", sender: wrk("-c16")},
}

// target is where a load goes, and what is measured of it.
type target struct {
	name string
	port int
	pids []int // whose CPU and memory are counted; none: nobody's

	seconds int // of one run
	loadOn  int // the CPU that loads have for themselves, or anyCPU

	perRequest [maxLoads][]float64 // µs of CPU, by load
	withClient [maxLoads][]float64 // the same and what the client used, by load
	perSecond  [maxLoads][]float64 // requests, by load
}

const maxLoads = 8

func newProxyTarget(name string, port int, pids ...int) *target {
	return &target{name: name, port: port, pids: pids, seconds: relaySeconds, loadOn: loadCPU()}
}

// measureRelay compares the relay with nginx and, if that is installed, haproxy
// as reverse proxies.
func measureRelay(dir, clusterd string, w *strings.Builder) error {
	for _, tool := range []string{"nginx", "wrk", "taskset"} {
		if _, err := findTool(tool); err != nil {
			return fmt.Errorf("%s is not installed, and the relay is compared with nginx under the load of wrk, each on a CPU of its own", tool)
		}
	}
	fmt.Fprintf(w, `
## The relay beside nginx and haproxy

CPU of the proxy for each request, in user and in kernel mode: what the threads of clusterd, nginx's worker or haproxy ran
(/proc/PID/task/*/schedstat), by the requests that wrk counted meanwhile. Each proxy has one CPU, the same for all; wrk (one
thread) and the upstream have another one. The upstream is an nginx with one worker, the only instance of an app with
`+"`listen = \"relay\"`"+`; it answers 1 KiB unless said otherwise. nginx and haproxy keep their connections to it, "nginx, 1:1"
opens one for each request, and none writes an access log. %d rounds of %d s each, in which the proxies take turns at going
first; medians, and of the ratios the median over the rounds.

The relay pairs one client connection with one of the instance, and changes nothing of what passes: a client's
`+"`Connection: close`"+` reaches the instance, which closes then. So a new connection of a client is a new one to the instance as
well, as with "nginx, 1:1"; nginx and haproxy leave out the second one, since they write another request.

`, relayRounds, relaySeconds)

	c, upstream, err := startUpstream(dir, clusterd)
	if err != nil {
		return err
	}
	defer c.cluster.stop()
	relay := newProxyTarget("relay", c.port, c.cluster.pid())
	proxies := []*target{relay}
	for _, p := range proxyKinds {
		if _, err := findTool(p.tool); err != nil {
			fmt.Fprintf(w, "Without %s: %v.\n\n", p.name, err)
			continue
		}
		proxy, err := p.start(dir, upstream)
		if err != nil {
			return err
		}
		defer proxy.stop()
		proxies = append(proxies, newProxyTarget(p.name, proxy.port, proxy.pids...))
	}
	// Before any load: afterwards, proxies have memory that they do not use.
	idle, err := idleTable(proxies)
	if err != nil {
		return err
	}
	for round := range relayRounds {
		for i, l := range relayLoads {
			for turn := range proxies {
				t := proxies[(turn+round)%len(proxies)]
				if err := t.measure(i, l); err != nil {
					return fmt.Errorf("%s, %s: %w", t.name, l.name, err)
				}
			}
		}
	}
	writeProxies(w, proxies)
	if err := writeLatency(w, append([]*target{newProxyTarget("direct", upstream)}, proxies...)); err != nil {
		return err
	}
	w.WriteString(idle)
	return nil
}

// measure puts a load on t once.
func (t *target) measure(i int, l load) error {
	before, err := cpuTimes(t.pids)
	if err != nil {
		return err
	}
	began := time.Now()
	requests, client, err := l.run(t.loadOn, t.seconds, fmt.Sprintf("http://127.0.0.1:%d%s", t.port, l.path))
	if err != nil {
		return err
	}
	took := time.Since(began)
	after, err := cpuTimes(t.pids)
	if err != nil {
		return err
	}
	server := after - before
	t.perRequest[i] = append(t.perRequest[i], float64(server.Microseconds())/requests)
	t.withClient[i] = append(t.withClient[i], float64((server+client).Microseconds())/requests)
	t.perSecond[i] = append(t.perSecond[i], requests/took.Seconds())
	return nil
}

// proxyCPU and loadCPU are where proxies and loads run: not on the same CPU,
// unless there is only one.
func proxyCPU() int { return 0 }
func loadCPU() int  { return min(1, runtime.NumCPU()-1) }

const anyCPU = -1

// onCPU is a command on one CPU.
func onCPU(cpu int, name string, args ...string) *exec.Cmd {
	if cpu == anyCPU {
		return exec.Command(name, args...)
	}
	return exec.Command("taskset", append([]string{"-c", strconv.Itoa(cpu), name}, args...)...)
}

func writeProxies(w *strings.Builder, proxies []*target) {
	relay := proxies[0]
	w.WriteString("| load | proxy | CPU per request | requests per second | CPU of the relay as a multiple, by round | median |\n|---|---|---|---|---|---|\n")
	for i, l := range relayLoads {
		for _, t := range proxies {
			var ratios []float64
			var all []string
			for round, cpu := range relay.perRequest[i] {
				ratios = append(ratios, cpu/t.perRequest[i][round])
				all = append(all, fmt.Sprintf("%.2f", ratios[round]))
			}
			multiple, ratio := "", ""
			if t != relay {
				multiple, ratio = strings.Join(all, ", "), fmt.Sprintf("**%.2f**", median(ratios))
			}
			cpu := t.perRequest[i]
			fmt.Fprintf(w, "| %s | %s | %.1f µs (%.1f to %.1f) | %.0f | %s | %s |\n",
				l.name, t.name, median(cpu), quantile(cpu, 0), quantile(cpu, 1), median(t.perSecond[i]), multiple, ratio)
		}
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
