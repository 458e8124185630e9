package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	idleServers = 20
	idleWorkers = 1000
	idleTime    = 20 * time.Second
	// settleTime is when what the start leaves to do is done: a thousand processes
	// are first looked at within 10 s.
	settleTime = 12 * time.Second
)

// talkLines is how many lines an instance writes per second, for a dashboard that
// follows them.
const talkLines = 10_000

// talkVariable makes this program an instance that writes so many lines per second.
const talkVariable = "CLUSTERD_BENCH_TALK"

func init() {
	rate, err := strconv.Atoi(os.Getenv(talkVariable))
	if err != nil {
		return
	}
	const batches = 50 // a second
	for i := 0; ; {
		next := time.Now().Add(time.Second / batches)
		var b strings.Builder
		for range rate / batches {
			i++
			fmt.Fprintf(&b, "line %d of the flood: GET /v1/users 200 3ms\n", i)
		}
		if _, err := os.Stdout.WriteString(b.String()); err != nil {
			os.Exit(1)
		}
		time.Sleep(time.Until(next))
	}
}

// measureIdle watches clusterd when there is nothing to do.
func measureIdle(dir, clusterd string, w *strings.Builder) error {
	fmt.Fprintf(w, `
## Idle

CPU of clusterd over %v in which nobody asks anything, in percent of one core, and its memory after that (VmRSS).
It looks at the instances' processes, and waits for what arrives in the accept queues of servers. The goals are well under
1 %%, and for %d workers (`+"`sleep 100000`"+`) under 64 MiB as well.

| instances | CPU | memory |
|---|---|---|
`, idleTime, idleWorkers)
	servers := map[string]string{}
	for _, count := range []string{"off", "auto"} {
		port, err := freePort()
		if err != nil {
			return err
		}
		if servers[count], err = idleConfig(port, count); err != nil {
			return err
		}
		if err := idle(filepath.Join(dir, count), clusterd, fmt.Sprintf("%d adopted servers", idleServers), servers[count], w); err != nil {
			return err
		}
	}
	workers := fmt.Sprintf("[apps.a]\ncommand = [\"sleep\", \"100000\"]\ninstances = %d\n", idleWorkers)
	if err := idle(filepath.Join(dir, "workers"), clusterd, fmt.Sprintf("%d workers", idleWorkers), workers, w); err != nil {
		return err
	}
	fmt.Fprintf(w, `
The same with a dashboard of %d by %d cells, behind which the cluster runs (in-process) or that is attached by `+"`clusterd dash`"+`; then
the daemon, which runs in the background, has to answer it as well. The goals are 1 %% for the dashboard of %d idle instances, and
5 %% for that of %d of which one writes %d lines a second, all of which it follows.

| instances | dashboard | CPU of the cluster's process | CPU of `+"`clusterd dash`"+` |
|---|---|---|---|
`, terminalColumns, terminalRows, idleServers, idleWorkers, talkLines)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	flood := fmt.Sprintf("[apps.flood]\ncommand = [%q]\nenv = { %s = \"%d\" }\n\n", self, talkVariable, talkLines) +
		strings.Replace(workers, fmt.Sprintf("= %d", idleWorkers), fmt.Sprintf("= %d", idleWorkers-1), 1)
	for i, c := range []struct{ what, toml string }{
		{fmt.Sprintf("%d adopted servers", idleServers), servers["auto"]},
		{fmt.Sprintf("%d workers, one writes", idleWorkers), flood},
	} {
		for _, attached := range []bool{false, true} {
			sub := filepath.Join(dir, fmt.Sprintf("dash%d%t", i, attached))
			if err := watched(sub, clusterd, c.what, c.toml, attached, w); err != nil {
				return err
			}
		}
	}
	return nil
}

// idleConfig is that of servers that have nothing to do.
func idleConfig(port int, count string) (string, error) {
	self, err := os.Executable()
	return fmt.Sprintf("[apps.a]\ncommand = [%q]\nport = %d\ninstances = %d\nlisten = \"adopt\"\ncount = %q\nenv = { %s = \"1\" }\n",
		self, port, idleServers, count, serveVariable), err
}

// share is the part of a core that processes use, over idleTime.
func share(pids ...int) ([]float64, error) {
	before := make([]time.Duration, len(pids))
	shares := make([]float64, len(pids))
	var err error
	for i, pid := range pids {
		if before[i], err = cpuTime(pid); err != nil {
			return nil, err
		}
	}
	began := time.Now()
	time.Sleep(idleTime)
	for i, pid := range pids {
		after, err := cpuTime(pid)
		if err != nil {
			return nil, err
		}
		shares[i] = float64(after-before[i]) / float64(time.Since(began))
	}
	return shares, nil
}

// startInBackground is startCluster as clusterd --detach has it run: nobody is told what
// the instances write, as on the standard output of one in the foreground.
func startInBackground(dir, binary, toml string) (*cluster, error) {
	c, err := newCluster(dir, binary, toml)
	if err != nil {
		return nil, err
	}
	c.cmd = c.command("--detached")
	return c, c.start(func() {})
}

// watched writes what one cluster takes that somebody looks at.
func watched(dir, clusterd, what, toml string, attached bool, w *strings.Builder) error {
	start := startInBackground
	if !attached {
		start = startBehindDashboard
	}
	c, err := start(dir, clusterd, toml)
	if err != nil {
		return err
	}
	defer c.stop()
	for deadline := time.Now().Add(patience); c.command("wait").Run() != nil; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: not ready within %v", what, patience)
		}
	}
	pids := []int{c.pid()}
	if attached {
		dash := c.command("dash")
		done, err := onTerminal(dash)
		if err != nil {
			return err
		}
		defer done()
		if err := dash.Start(); err != nil {
			return err
		}
		defer func() {
			_ = dash.Process.Kill()
			_ = dash.Wait()
		}()
		pids = append(pids, dash.Process.Pid)
	}
	time.Sleep(settleTime)
	shares, err := share(pids...)
	if err != nil {
		return err
	}
	if attached {
		fmt.Fprintf(w, "| %s | attached | %.2f %% | **%.2f %%** |\n", what, 100*shares[0], 100*shares[1])
	} else {
		fmt.Fprintf(w, "| %s | in-process | **%.2f %%** | |\n", what, 100*shares[0])
	}
	return nil
}

// idle writes what one cluster takes.
func idle(dir, clusterd, what, toml string, w *strings.Builder) error {
	c, err := startCluster(dir, clusterd, toml)
	if err != nil {
		return err
	}
	defer c.stop()
	a, err := c.awaitReady(0)
	if err != nil {
		return err
	}
	time.Sleep(settleTime)
	shares, err := share(c.pid())
	if err != nil {
		return err
	}
	memory, err := resident(c.pid())
	if err != nil {
		return err
	}
	if a.Count != "" {
		what += ", count: " + a.Count
	}
	fmt.Fprintf(w, "| %s | **%.2f %%** | %.1f MiB |\n", what, 100*shares[0], memory)
	return nil
}
