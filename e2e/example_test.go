package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// portLine is where a config says its port.
var portLine = regexp.MustCompile(`(?m)^(port\s*=\s*)\d+`)

// copyExample puts the files of a folder of examples into the workspace, with
// free ports in place of its own, which it returns in the order of the file.
func (w *workspace) copyExample(name string) (ports []int) {
	w.t.Helper()
	folder := filepath.Join("..", "examples", name)
	entries, err := os.ReadDir(folder)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		b, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil {
			w.t.Fatal(err)
		}
		text := string(b)
		if e.Name() == "cluster.toml" {
			text = portLine.ReplaceAllStringFunc(text, func(line string) string {
				ports = append(ports, w.port())
				return portLine.ReplaceAllString(line, "${1}"+strconv.Itoa(ports[len(ports)-1]))
			})
		}
		w.write(e.Name(), text)
	}
	return ports
}

// greeting is what the servers of the examples answer; it names the instance.
var greeting = regexp.MustCompile(`^hello from pid (\d+) \((\w+/\d+)\)\n$`)

// greetings makes n requests, each on a new connection, and counts whom they
// were answered by.
func greetings(t testing.TB, port, n int) map[string]int {
	t.Helper()
	out := map[string]int{}
	for range n {
		body := mustGet(t, port, "/")
		m := greeting.FindStringSubmatch(body)
		if m == nil {
			t.Fatalf("answered with %q, want %s", body, greeting)
		}
		out[m[2]]++
	}
	return out
}

// checkExact asserts that the cluster has counted, for each instance, what the
// client has seen.
func (d *daemon) checkExact(app string, seen map[string]int) {
	d.w.t.Helper()
	var n uint64
	for _, count := range seen {
		n += uint64(count)
	}
	s := d.awaitStatus("every request to be counted", func(s status) bool { return s.app(app).requests() >= n })
	for _, in := range s.app(app).Instances {
		if *in.RequestsTotal != uint64(seen[in.ID]) || !in.RequestsExact {
			d.w.t.Errorf("%s: %d requests counted (exact: %v), %d answered", in.ID, *in.RequestsTotal, in.RequestsExact, seen[in.ID])
		}
	}
}
