package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Bun's own way to many processes on one port, and the one that is counted.
func TestBun(t *testing.T) {
	t.Parallel()
	bun := findBun(t)
	w := newWorkspace(t)
	w.env = append(w.env, "PATH="+filepath.Dir(bun)+":"+os.Getenv("PATH"))
	ports := w.copyExample("bun")
	if len(ports) != 2 {
		t.Fatalf("examples/bun has %d ports, want that of direct and of web", len(ports))
	}
	d := w.start()
	d.awaitReady(8)
	s := w.status()
	if direct, web := s.app("direct"), s.app("web"); direct.Listen != "self" || web.Listen != "adopt" && web.Listen != "relay" {
		t.Errorf("direct: listen %s, count %s; web: listen %s, count %s", direct.Listen, direct.Count, web.Listen, web.Count)
	}
	for i, app := range []string{"direct", "web"} {
		const n = 400
		seen := greetings(t, ports[i], n)
		if len(seen) != 4 {
			t.Errorf("%d requests to %s were served by %v, want all of four instances", n, app, seen)
		}
		if a := w.status().app(app); a.Count != "kernel" {
			d.checkExact(app, seen)
		} else if a.RequestsKind != "about" {
			t.Errorf("the requests to %s, which nobody counts, are %s", app, a.RequestsKind)
		}
	}

	// A direct instance has its own socket: it comes back on the same port.
	for i, id := range []string{"direct/1", "web/1"} {
		kill(t, *s.instance(id).PID)
		d.awaitReady(9 + i)
	}
	after := w.status()
	for i, app := range []string{"direct", "web"} {
		if in := after.instance(app + "/1"); in.State != "ready" || in.Restarts != 1 {
			t.Errorf("after the kill: %+v", in)
		}
		// On a busy machine it may be steered around for a moment.
		d.await("all four instances to serve "+app, func() bool { return len(greetings(t, ports[i], 100)) == 4 })
	}
	d.stop()
	if n := strings.Count(d.stderr.String(), "exited with code 0"); n != 8 {
		t.Errorf("%d instances stopped with code 0, want all 8\n%s", n, d.stderr)
	}
}

// findBun returns the path of Bun: $BUN, one that every user may execute, or
// the one that the example's package.json names, which npm installs.
func findBun(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("BUN"); path != "" {
		return path
	}
	if path := lookIn(commonPath(), "bun"); path != "" {
		return path
	}
	return filepath.Join(npmPrograms(t, "../examples/bun/package.json"), "bun")
}
