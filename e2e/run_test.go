package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestThreeInstancesServeOnePort(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	port := w.port()
	w.configure(web(port, 3))
	d := w.start()
	d.awaitReady(3)
	d.awaitEvent(`^\d\d:\d\d:\d\d web/1 started, pid \d+$`)
	d.awaitEvent(`^\d\d:\d\d:\d\d web/1 ready after [\d.]+m?s$`)

	const n = 90
	served := servedBy(t, port, n)
	if len(served) != 3 {
		t.Errorf("%d requests were served by %v, want all of three instances", n, served)
	}
	// An answer may be with the client before it is in the books.
	s := d.awaitStatus("every request to be counted", func(s status) bool { return s.app("web").requests() >= n })
	a := s.app("web")
	for _, in := range a.Instances {
		if int(*in.RequestsTotal) != served[in.ID] || !in.RequestsExact || in.State != "ready" || in.PID == nil || in.Restarts != 0 {
			t.Errorf("%+v with %d requests, want ready and exactly %d", in, *in.RequestsTotal, served[in.ID])
		}
	}
	if a.State != "ready" || a.Ready != 3 || a.InstancesWanted != 3 || *a.RequestsTotal != n {
		t.Errorf("%+v, want 3 of 3 ready and %d requests", a, n)
	}
	if how := a.Listen + " " + a.Count; how != "adopt ebpf" && how != "relay relay" {
		t.Errorf("listen and count: %s", how)
	}
	if s.PID != d.pid() || s.Name != "e2e" {
		t.Errorf("status of %s as pid %d, want e2e as %d", s.Name, s.PID, d.pid())
	}
	if s := w.status("web/1"); len(s.app("web").Instances) != 1 || s.instance("web/1").PID == nil {
		t.Errorf("status web/1 shows %+v", s)
	}
	d.stop()
}

func TestLogsArePrefixedAndEventsApart(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	port := w.port()
	w.configure(web(port, 2), app("job", "sleep"), app("lazybones", "sleep", "autostart = false"))
	d := w.start()
	d.awaitReady(3)
	mustGet(t, port, "/say?cheese")
	// From the first line on there is room for the longest name.
	d.awaitLine(`^web/[01]       \| said cheese$`)
	d.awaitLine(`^web/[01]       ! complained cheese$`)
	d.awaitLine(`^web/0       \| listening$`)
	d.awaitLine(`^web/1       \| listening$`)
	d.awaitLine(`^job/0       \| sleeping, pid \d+$`)
	d.stop()

	for line := range strings.Lines(d.stdout.String()) {
		if !regexp.MustCompile(`^(web/[01]|job/0)       [|!] .*\n$`).MatchString(line) {
			t.Errorf("on stdout: %q, want only lines behind the name of an instance", line)
		}
	}
	for line := range strings.Lines(d.stderr.String()) {
		if !regexp.MustCompile(`^\d\d:\d\d:\d\d (stopping|(web/[01]|job/0) .*)\n$`).MatchString(line) {
			t.Errorf("on stderr: %q, want only events", line)
		}
	}
	d.awaitEvent(`^\S+ web/1 exited with code 0 after .*; stopped$`)
	d.awaitEvent(`^\S+ job/0 was killed by SIGTERM after .*; stopped$`)
}

// The names of docs and scripts; a figure that is not known is null.
func TestStatusJSON(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	port := w.port()
	w.configure(web(port, 1), app("job", "sleep"), app("idle", "sleep", "autostart = false"))
	d := w.start()
	d.awaitReady(2)
	mustGet(t, port, "/")
	d.awaitStatus("the request to be counted", func(s status) bool { return s.app("web").requests() == 1 })

	var s map[string]any
	if err := json.Unmarshal([]byte(w.must("status", "--json")), &s); err != nil {
		t.Fatal(err)
	}
	has(t, "the cluster", s, "name", "config", "pid", "version", "uptime_s", "apps")
	apps := map[string]map[string]any{}
	instances := map[string]map[string]any{}
	for _, v := range s["apps"].([]any) {
		a := v.(map[string]any)
		apps[a["name"].(string)] = a
		has(t, "an app", a, "name", "port", "state", "ready", "instances_wanted", "listen", "count",
			"requests_total", "requests_per_s", "instances")
		for _, v := range a["instances"].([]any) {
			in := v.(map[string]any)
			instances[in["id"].(string)] = in
			has(t, "an instance", in, "id", "index", "state", "reason", "pid", "generation", "restarts", "uptime_s",
				"cpu_percent", "rss_bytes", "queue", "connections_open", "connections_total", "requests_total",
				"requests_exact", "requests_per_s", "status", "latency_ms", "bytes_in", "bytes_out", "last_exit")
		}
	}
	has(t, "the status classes", instances["web/0"]["status"].(map[string]any), "1xx", "2xx", "3xx", "4xx", "5xx")
	if n := instances["web/0"]["status"].(map[string]any)["2xx"]; n != 1.0 {
		t.Errorf("2xx of web/0 is %v, want 1", n)
	}
	null(t, apps["job"], "port", "requests_total", "requests_per_s")
	null(t, instances["job/0"], "queue", "connections_open", "connections_total", "requests_total", "requests_per_s",
		"status", "latency_ms", "bytes_in", "bytes_out", "last_exit")
	null(t, instances["idle/0"], "pid", "uptime_s", "cpu_percent", "rss_bytes", "last_exit")
	null(t, instances["web/0"], "last_exit")
	d.stop()
}

func has(t *testing.T, what string, object map[string]any, keys ...string) {
	t.Helper()
	for _, k := range keys {
		if _, ok := object[k]; !ok {
			t.Errorf("%s has no %q in status --json: %v", what, k, object)
		}
	}
}

func null(t *testing.T, object map[string]any, keys ...string) {
	t.Helper()
	for _, k := range keys {
		if v := object[k]; v != nil {
			t.Errorf("%q of %v is %v, want null", k, object["name"], v)
		}
	}
}

func TestStatusTable(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	port := w.port()
	w.configure(web(port, 2), app("job", "sleep"))
	d := w.start()
	d.awaitReady(3)
	table := w.must("status")
	for _, re := range []string{
		fmt.Sprintf(`(?m)^e2e  pid %d  up \d+m?\d*s  3/3 ready$`, d.pid()),
		`(?m)^NAME +STATE +PORT +PID +UPTIME +RESTARTS +CPU% +MEMORY +REQUESTS +REQ/S`,
		fmt.Sprintf(`(?m)^web +ready 2/2 +%d +0 `, port),
		`(?m)^  web/1 +ready +\d+ +\d+m?\d*s +0 +`,
		`(?m)^  job/0 +ready +\d+ `,
	} {
		if !regexp.MustCompile(re).MatchString(table) {
			t.Errorf("status does not match %s:\n%s", re, table)
		}
	}
	d.stop()
}

func TestNothingRuns(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	w.configure(app("job", "sleep"))
	for _, args := range [][]string{{"status"}, {"status", "--json"}, {"down"}, {"logs"}, {"stop", "job"}, {"restart", "job/0"}} {
		r := w.run(args...)
		if r.code != 3 || !strings.Contains(r.stderr, "start it with: clusterd -c cluster.toml") || r.stdout != "" {
			t.Errorf("clusterd %v: exit code %d, want 3; stdout %q, stderr %q", args, r.code, r.stdout, r.stderr)
		}
	}
}

func TestCheckPrintsThePlanAndStartsNothing(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	port := w.port()
	w.configure(web(port, 4, `listen = "relay"`, `restart = "on-failure"`, `stop_timeout = "3s"`), app("job", "sleep"))
	plan := w.must("check")
	for _, want := range []string{"cluster e2e", fmt.Sprintf("%d, where the instances listen", port), `relay: listen = "relay"`, "instances  4", "on-failure", "SIGTERM, SIGKILL after 3s", "reload     1 at a time", "none: a worker"} {
		if !strings.Contains(plan, want) {
			t.Errorf("the plan lacks %q:\n%s", want, plan)
		}
	}
	again, err := exec.Command("sh", "-c", w.shell("check", "-c", "cluster.toml")).Output()
	if err != nil || string(again) != plan {
		t.Errorf("by a shell: %v\n%s", err, again)
	}
	if left := w.marked(); len(left) > 0 {
		t.Errorf("check started %v", left)
	}
}

func TestConfigBeforeOrAfterTheCommand(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	w.configure(app("job", "sleep"))
	other := w.write("other.toml", "name = \"other\"\n"+app("job", "sleep"))
	one := w.start("--no-tui") // ./cluster.toml
	two := w.start("--no-tui", "--config", "other.toml")
	one.awaitReady(1)
	two.awaitReady(1)
	for _, args := range [][]string{
		{"status"}, {"-c", "cluster.toml", "status"}, {"status", "-c", w.dir + "/cluster.toml"},
	} {
		if out := w.must(args...); !strings.HasPrefix(out, "e2e ") {
			t.Errorf("clusterd %v shows %q", args, out)
		}
	}
	for _, args := range [][]string{{"-c", "other.toml", "status"}, {"status", "-c", other}, {"status", "--config=./other.toml"}} {
		if out := w.must(args...); !strings.HasPrefix(out, "other ") {
			t.Errorf("clusterd %v shows %q", args, out)
		}
	}
	w.must("down", "-c", "other.toml")
	if two.wait() != 0 || !one.alive() {
		t.Errorf("down of the other cluster: it ended with %d, this one lives: %v", two.wait(), one.alive())
	}
	one.stop()
}

func TestDown(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	w.configure(web(w.port(), 2))
	d := w.start()
	d.awaitReady(2)
	w.must("down")
	// What the command waited for is over now, not soon.
	if left := w.marked(); slices.ContainsFunc(left, func(f found) bool { return f.pid != d.pid() }) {
		t.Errorf("alive after down: %v", left)
	}
	if code := d.wait(); code != 0 {
		t.Errorf("clusterd ended with code %d after down", code)
	}
	if r := w.run("status"); r.code != 3 {
		t.Errorf("status after down: exit code %d, want 3", r.code)
	}
}

func TestStopStartAndRestartOneInstance(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	port := w.port()
	w.configure(web(port, 2))
	d := w.start()
	d.awaitReady(2)
	before := w.status()

	w.must("stop", "web/1")
	s := w.status()
	if in := s.instance("web/1"); in.State != "stopped" || in.PID != nil {
		t.Errorf("after stop: %+v", in)
	}
	if err := syscall.Kill(*before.instance("web/1").PID, 0); err != syscall.ESRCH {
		t.Errorf("the process of web/1 after stop: %v, want ESRCH", err)
	}
	if served := servedBy(t, port, 20); served["web/0"] != 20 {
		t.Errorf("with web/1 stopped, requests went to %v", served)
	}

	w.must("start", "web/1")
	started := w.status()
	if in := started.instance("web/1"); in.State != "ready" || *in.PID == *before.instance("web/1").PID || in.Generation != 2 {
		t.Errorf("after start: %+v", in)
	}
	w.must("start", "web/1") // runs already
	if again := w.status(); *again.instance("web/1").PID != *started.instance("web/1").PID {
		t.Errorf("start of what runs gave it another process")
	}

	w.must("restart", "web/1")
	after := w.status()
	if in := after.instance("web/1"); in.State != "ready" || *in.PID == *started.instance("web/1").PID || in.Restarts != 0 {
		t.Errorf("after restart: %+v", in)
	}
	if *after.instance("web/0").PID != *before.instance("web/0").PID {
		t.Errorf("web/0 has another process, but only web/1 was meant")
	}
	if served := servedBy(t, port, 40); len(served) != 2 {
		t.Errorf("after the restart, requests went to %v", served)
	}

	r := w.run("restart", "web/7")
	if r.code != 1 || !strings.Contains(r.stderr, `no instance "web/7": web has web/0 to web/1`) {
		t.Errorf("restart web/7: exit code %d, %s", r.code, r.stderr)
	}
	before = after
	w.must("restart") // no target: all
	after = w.status()
	for _, in := range before.app("web").Instances {
		if now := after.instance(in.ID); now.PID == nil || *now.PID == *in.PID {
			t.Errorf("restart without a target left %s as it was", in.ID)
		}
	}
	d.stop()
}

func TestLogs(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	port := w.port()
	w.configure(web(port, 1), app("job", "sleep"))
	d := w.start()
	d.awaitReady(2)
	for i := range 5 {
		mustGet(t, port, fmt.Sprintf("/say?word%d", i))
	}
	d.awaitLine("said word4")
	d.awaitLine("complained word4")
	d.awaitLine("sleeping")

	if out := w.must("logs", "web"); !strings.Contains(out, "web/0 | said word0\n") || strings.Contains(out, "job/0") {
		t.Errorf("logs web printed %q", out)
	}
	if out := w.must("logs"); !strings.Contains(out, "sleeping") || !strings.Contains(out, "word4") {
		t.Errorf("logs printed %q", out)
	}
	if out := w.must("logs", "-n", "3", "web/0"); strings.Count(out, "\n") > 3 || !strings.Contains(out, "word4") {
		t.Errorf("logs -n 3 printed %q", out)
	}
	if r := w.run("logs", "nobody"); r.code != 1 || !strings.Contains(r.stderr, `"nobody"`) {
		t.Errorf("logs nobody: exit code %d, %s", r.code, r.stderr)
	}

	follower := w.start("logs", "-f", "-n", "1", "web")
	follower.awaitLine("word4")
	mustGet(t, port, "/say?later")
	follower.awaitLine(`^web/0 \| said later$`)
	follower.signal(syscall.SIGINT)
	if code := follower.wait(); code != 0 {
		t.Errorf("logs -f after Ctrl-C: exit code %d", code)
	}
	d.stop()
}

// A burst of lines is printed whole, as long as it is kept.
func TestBurstIsPrintedWhole(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	w.configure("[apps.burst]\ncommand = \"seq 1 8000\"\nrestart = \"never\"\n")
	d := w.start()
	if code := d.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	n := 0
	for line := range strings.Lines(d.stdout.String()) {
		n++
		if want := fmt.Sprintf("burst/0 | %d\n", n); line != want {
			t.Fatalf("%q, want %q", line, want)
		}
	}
	if n != 8000 {
		t.Errorf("%d lines of 8000", n)
	}
}

// Nobody reads what clusterd writes, and it ends all the same.
func TestUnreadOutput(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	w.configure("[apps.flood]\ncommand = [\"yes\"]\n")
	d := w.prepare()
	r, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	d.cmd.Stdout = out
	d.begin()
	out.Close()
	d.await("the pipe to be full", func() bool { // events may not get through any more
		n, err := unix.IoctlGetInt(int(r.Fd()), unix.TIOCINQ)
		return err == nil && n >= 60_000
	})
	d.stop()
}
