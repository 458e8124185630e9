package e2e

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// A right is what clusterd may do while it counts, and what that makes of the counts.
type right struct {
	name     string
	caps     string // of setpriv; "": all
	listen   string
	count    string
	statuses bool // are known
	h2c      bool // its requests are counted
}

var rights = []right{
	{"root", "", "adopt", "ebpf", true, true},
	{"CAP_BPF alone", "=-all,+bpf", "adopt", "ebpf", false, true},
	{"no capability", "=-all", "relay", "relay", true, false},
}

// take gives the workspace's commands the right.
func (r right) take(w *workspace) {
	if r.caps == "" {
		return
	}
	w.asNobody()
	w.wrap = append(w.wrap[:len(w.wrap)-2], "--bounding-set"+r.caps, "--inh-caps"+r.caps, "--ambient-caps"+r.caps)
}

// A counting server keeps its own count of what each instance has served.
type counting struct {
	name  string
	loads []string // what it is to serve
	server
}

var (
	http1Loads = []string{"keep-alive", "close", "post", "chunked", "pipelined"}
	h2cLoads   = []string{"h2c", "h2c uploads"}

	countings = []counting{
		{"node", http1Loads, server{command: "node node.js"}},
		{"go", http1Loads, server{command: "go-counting 8080"}},
		{"bun", http1Loads, server{command: "bun bun.ts"}},
		{"nginx", http1Loads, server{shell: true, command: fmt.Sprintf(nginxCounting, "")}},
		{"go-h2c", h2cLoads, server{command: "go-counting 8080"}},
		{"node-h2c", h2cLoads, server{command: "node node.js h2c"}},
		{"nginx-h2c", h2cLoads, server{shell: true, command: fmt.Sprintf(nginxCounting, " http2")}},
	}
)

// Each instance of nginx has a folder of its own.
const nginxCounting = `mkdir -p $CLUSTERD_INSTANCE && sed "s/ H2C/%s/" nginx.conf >$CLUSTERD_INSTANCE/nginx.conf && ` +
	`exec nginx -p $CLUSTERD_INSTANCE/ -c nginx.conf`

// served is what each instance says to have served, as all its processes have.
func (c counting) served(w *workspace, instances int) map[string]uint64 {
	out := map[string]uint64{}
	for i := range instances {
		file := fmt.Sprintf("served.%d", i)
		if strings.HasPrefix(c.name, "nginx") {
			file = fmt.Sprintf("%d/served", i)
		}
		var bytes uint64
		if info, err := os.Stat(filepath.Join(w.dir, c.name, file)); err == nil {
			bytes = uint64(info.Size())
		}
		if strings.HasPrefix(c.name, "nginx") {
			bytes /= uint64(len(".\n"))
		}
		out[fmt.Sprintf("%s/%d", c.name, i)] = bytes
	}
	return out
}

var buildCounting = sync.OnceValues(func() (string, error) {
	return compile("go", "build", "-o", "go-counting", "./testdata/servers/counting/go")
})

// What is counted is what the servers say to have served, instance by instance:
// several apps at once, every kind of load, over a kill and a reload, with every
// right that clusterd may have.
func TestCountedIsServed(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		missing(t, "only root can hand out capabilities")
	}
	for _, tool := range []string{"wrk", "h2load", "setpriv", "nginx"} {
		if lookIn(commonPath(), tool) == "" {
			missing(t, tool+" is not installed")
		}
	}
	bun := findBun(t)
	goServer, err := buildCounting()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rights {
		t.Run(r.name, func(t *testing.T) {
			w := newWorkspace(t)
			r.take(w)
			w.env = append(w.env, "PATH="+commonPath(goServer, filepath.Dir(bun)), "HOME="+w.dir)
			m := matrix{t: t, w: w, right: r, ports: map[string]int{}}
			m.start()
			for i := range http1Loads {
				m.run(i)
			}
			for _, c := range countings {
				killWhole(t, *w.status().instance(c.name + "/1").PID)
			}
			m.d.awaitReady(len(countings) * (countingInstances + 1))
			m.run(0)
			w.must("reload")
			m.run(0)
			m.d.stop()
		})
	}
}

const countingInstances = 2

// A matrix is a cluster of all counting servers.
type matrix struct {
	t     *testing.T
	w     *workspace
	right right
	d     *daemon
	ports map[string]int
}

func (m *matrix) start() {
	var tables []string
	for _, c := range countings {
		m.ports[c.name] = m.w.port()
		c.folder = "counting"
		table := c.deploy(m.w, c.name, m.ports[c.name], countingInstances)
		tables = append(tables, strings.TrimSuffix(table, "listen = \"adopt\"\n")) // as by default
	}
	m.w.configure(tables...)
	m.d = m.w.start()
	m.d.awaitReady(len(countings) * countingInstances)
	for _, a := range m.w.status().Apps {
		if a.Listen != m.right.listen || a.Count != m.right.count {
			m.t.Fatalf("%s: listen %q, count %q, want %q and %q; %s", a.Name, a.Listen, a.Count, m.right.listen, m.right.count, a.CountWhy)
		}
	}
}

// run puts every server that has as many under its ith load, all at once.
func (m *matrix) run(i int) {
	m.t.Helper()
	var loads sync.WaitGroup
	for _, c := range countings {
		if i < len(c.loads) {
			loads.Go(func() {
				if err := m.load(c.loads[i], m.ports[c.name]); err != nil {
					m.t.Errorf("%s of %s: %v", c.loads[i], c.name, err)
				}
			})
		}
	}
	loads.Wait()
	for _, c := range countings {
		if i < len(c.loads) {
			m.check(c, c.loads[i])
		}
	}
}

// load sends requests to a port until a number of them is answered, and none is left.
func (m *matrix) load(kind string, port int) error {
	const requests, clients = "320", "8"
	at := fmt.Sprintf("http://127.0.0.1:%d/", port)
	script := filepath.Join("testdata", "servers", "counting", "load.lua")
	switch kind {
	case "h2c":
		return succeeds(exec.Command("h2load", "-n", requests, "-c", clients, "-m", "10", at))
	case "h2c uploads":
		return succeeds(exec.Command("h2load", "-n", requests, "-c", clients, "-m", "10", "-d", script, at))
	}
	cmd := exec.Command("wrk", "-t1", "-c"+clients, "-d60s", "-s", script, at, kind, requests)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return err
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	}()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if lines.Text() == "answered" {
			return nil
		}
		if strings.HasPrefix(lines.Text(), "status ") {
			err = fmt.Errorf("answered with %s", lines.Text())
		}
	}
	if err == nil {
		err = fmt.Errorf("not all requests were answered within a minute")
	}
	return err
}

// succeeds runs h2load, and expects all its requests to succeed.
func succeeds(cmd *exec.Cmd) error {
	out, err := cmd.CombinedOutput()
	if err == nil && !strings.Contains(string(out), "320 succeeded, 0 failed, 0 errored, 0 timeout") {
		err = fmt.Errorf("%s", out)
	}
	return err
}

// check compares what was counted for an app with what its servers say.
func (m *matrix) check(c counting, kind string) {
	m.t.Helper()
	if strings.HasPrefix(kind, "h2c") && !m.right.h2c {
		if a := m.w.status().app(c.name); a.RequestsKind == "exact" {
			m.t.Errorf("%s of %s is said to be counted exactly: %+v", kind, c.name, a)
		}
		return
	}
	var a appStatus
	var served map[string]uint64
	answered := func(in instanceStatus) bool {
		return in.Status == nil || strings.HasPrefix(kind, "h2c") || in.Status["2xx"] == served[in.ID]
	}
	agree := func() bool {
		a, served = m.w.status().app(c.name), c.served(m.w, countingInstances)
		for _, in := range a.Instances {
			if in.RequestsTotal == nil || *in.RequestsTotal != served[in.ID] || !answered(in) {
				return false
			}
		}
		return true
	}
	for end := time.Now().Add(deadline / 6); !agree() && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond) // what is told may have been read before the last answers
	}
	for _, in := range a.Instances {
		if in.RequestsTotal == nil || *in.RequestsTotal != served[in.ID] || !in.RequestsExact {
			m.t.Errorf("%s of %s: counted %v, served %v; %+v", kind, c.name, value(in.RequestsTotal), served, in)
			continue
		}
		if known := in.Status != nil; known != m.right.statuses || !answered(in) {
			m.t.Errorf("%s of %s: statuses %v, served %v", kind, c.name, in.Status, served)
		}
		if in.ConnectionsOpen == nil || in.ConnectionsTotal == nil || *in.ConnectionsOpen > *in.ConnectionsTotal || in.BytesIn == nil || in.Queue == nil {
			m.t.Errorf("%s of %s: %+v", kind, c.name, in)
		}
	}
}

// value is a figure, or what says that it is not known.
func value(n *uint64) any {
	if n == nil {
		return "-"
	}
	return *n
}
