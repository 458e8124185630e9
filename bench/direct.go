package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	directStarts     = 6
	directRounds     = 5
	directRunSeconds = 1
	fastLoads        = 2
)

// nodeServer is what Node's documentation begins with.
const nodeServer = `require("node:http").createServer((_, res) => res.end("ok\n")).listen(process.env.PORT, "127.0.0.1");
`

// directLoads are those that a server answers as fast as it can, fastLoads of them, and the
// same at half of that rate.
var directLoads = []load{
	{name: "keep-alive", path: "/", sender: wrk("-c16")},
	{name: "a new connection for each request", path: "/", sender: wrk("-c16", "-H", "Connection: close")},
	{name: "keep-alive, half as many", path: "/", sender: steadyRequests(16)},
	{name: "a new connection for each request, half as many", path: "/", sender: steadyConnections()},
}

// measureDirect runs servers alone, and as the only instance of an app.
func measureDirect(dir, clusterd string, w *strings.Builder) error {
	for _, tool := range []string{"node", "wrk", "h2load", "taskset"} {
		if _, err := findTool(tool); err != nil {
			return err
		}
	}
	fmt.Fprintf(w, `
## Adopted servers beside the same servers alone

CPU for each request of the server and, where it is an instance, of clusterd, in user and in kernel mode: what their
threads ran (/proc/PID/task/*/schedstat), by the requests that were answered meanwhile. The server is one process:
plainly started, in a session of its own; so a second time, which shows what two processes of one program differ by; and
by clusterd with `+"`listen = \"adopt\"`"+` and a count of "off", or "auto" (which is by eBPF where that is allowed). Each of the four
has a control group of its own, as a service has: what counts replies looks at all that its group sends, and so at nothing
of the others.

The load comes from wrk (1 thread, 16 connections), which sends as fast as it is answered, or from h2load, which sends at
half the rate at which the server alone has answered wrk. With wrk, a change at the client shows at the server, too: when the client took 1.3 µs
more for each request with a new connection, the CPU of an unchanged server rose by 1.06 µs, of 24.7, since it ran out of
work and went to sleep more often. From h2load, all four get the same work at the same times, which leaves that out; a
server that is waited for less often goes to sleep more often, so that a request costs more.

On loopback, the kernel does its work for what a server receives, the counting of it included, on the CPU of the client and
in the client's time. So the last two columns have the same ratios "with the client": of the CPU of the server, clusterd and the
client together, the client's start included.

The client has one CPU, all else the other. All four run at the same time, and %d rounds of %d s for each load are put on
them in turn, in the opposite order every other time, after one round of wrk that is not measured; then all are started anew,
%d times, since a process keeps its luck with memory. CPU is the median of all rounds, and a ratio that of the rounds' ratios.
The goals are for adoption within 3 %%, and for counting less than 5 %% on top.

| server | load | alone | alone again | to alone | adopted | to alone | counted | to adopted | adopted to alone, with the client | counted to adopted, with the client |
|---|---|---|---|---|---|---|---|---|---|---|
`, directRounds, directRunSeconds, directStarts)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	script := filepath.Join(dir, "server.js")
	if err := os.WriteFile(script, []byte(nodeServer), 0o644); err != nil {
		return err
	}
	for _, s := range []struct {
		name string
		args []string
	}{{"Go", []string{self}}, {"Node", []string{"node", script}}} {
		if err := pair(filepath.Join(dir, s.name), clusterd, s.name, s.args, w); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// pair measures one server in all ways.
func pair(dir, clusterd, name string, args []string, w *strings.Builder) error {
	alone, again := &target{name: "alone"}, &target{name: "alone again"}
	adopted, counted := &target{name: "adopted"}, &target{name: "counted"}
	ways := []*target{alone, again, adopted, counted}
	for _, t := range ways {
		t.seconds, t.loadOn = directRunSeconds, loadCPU()
	}
	for start := range directStarts {
		if err := measureOnce(filepath.Join(dir, strconv.Itoa(start)), clusterd, args, ways); err != nil {
			return err
		}
	}
	for i, l := range directLoads {
		server := func(t *target) []float64 { return t.perRequest[i] }
		all := func(t *target) []float64 { return t.withClient[i] }
		fmt.Fprintf(w, "| %s | %s | %.1f µs | %.1f µs | %.3f | %.1f µs | **%.3f** | %.1f µs | **%.3f** | %.3f | %.3f |\n", name, l.name,
			median(server(alone)), median(server(again)), ratio(server(again), server(alone)),
			median(server(adopted)), ratio(server(adopted), server(alone)),
			median(server(counted)), ratio(server(counted), server(adopted)),
			ratio(all(adopted), all(alone)), ratio(all(counted), all(adopted)))
	}
	return nil
}

// measureOnce starts the server in four ways, and measures each of them.
func measureOnce(dir, clusterd string, args []string, ways []*target) (failed error) {
	for i, t := range ways {
		g, err := newGroup(strings.ReplaceAll(t.name, " ", "-"))
		if err != nil {
			return err
		}
		defer func() { failed = errors.Join(failed, g.remove()) }()
		var end func()
		if i < 2 {
			end, err = startAlone(t, g, args)
		} else {
			count := []string{"off", "auto"}[i-2]
			end, err = startAdopted(t, g, filepath.Join(dir, count), clusterd, count, args)
		}
		if err != nil {
			return err
		}
		defer end()
	}
	// Node compiles what it runs often: its first requests take more.
	for _, t := range ways {
		for i, l := range directLoads[:fastLoads] {
			cold := *t
			if err := cold.measure(i, l); err != nil {
				return fmt.Errorf("%s, %s: %w", t.name, l.name, err)
			}
		}
	}
	for round := range directRounds {
		order := slices.Clone(ways)
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for i, l := range directLoads {
			if i >= fastLoads {
				l.perSecond = int(median(ways[0].perSecond[i-fastLoads]) / 2)
			}
			for _, t := range order {
				if err := t.measure(i, l); err != nil {
					return fmt.Errorf("%s, %s: %w", t.name, l.name, err)
				}
			}
		}
	}
	return nil
}

// ratio is the median of what one takes as a multiple of base in the same round.
func ratio(one, base []float64) float64 {
	var all []float64
	for round, cpu := range one {
		all = append(all, cpu/base[round])
	}
	return median(all)
}

// startAlone runs a server without clusterd, until end is called.
func startAlone(t *target, g *group, args []string) (end func(), err error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	cmd := onCPU(proxyCPU(), args[0], args[1:]...)
	cmd.Env = append(os.Environ(), fmt.Sprintf("PORT=%d", port), serveVariable+"=1")
	cmd.Stderr = os.Stderr
	// As an instance has it: with the scheduler's autogroups (sched(7)), the session
	// decides whom a process shares the CPUs with, which matters more than all else.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	g.take(cmd)
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start in a control group of its own, which needs Linux 5.7: %w", err)
	}
	end = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	for deadline := time.Now().Add(patience); ask(port) != nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			end()
			return nil, errors.New("the server does not serve")
		}
	}
	t.port, t.pids = port, []int{cmd.Process.Pid}
	return end, nil
}

// startAdopted runs a server as the only instance of an app, until end is called.
func startAdopted(t *target, g *group, dir, clusterd, count string, args []string) (end func(), err error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	var command []string
	for _, arg := range args {
		command = append(command, fmt.Sprintf("%q", arg))
	}
	c, err := startClusterIn(g, proxyCPU(), dir, clusterd, fmt.Sprintf("[apps.a]\ncommand = [%s]\nport = %d\nlisten = \"adopt\"\ncount = %q\nenv = { %s = \"1\" }\n",
		strings.Join(command, ", "), port, count, serveVariable))
	if err != nil {
		return nil, err
	}
	a, err := c.awaitReady(0)
	if err != nil {
		c.stop()
		return nil, err
	}
	t.port, t.pids = port, []int{c.pid(), a.Instances[0].PID}
	return c.stop, nil
}
