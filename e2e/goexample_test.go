package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestGoExample runs the first thing that a stranger runs: the example that
// needs only Go, from nothing built to counts.
func TestGoExample(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	ports := w.copyExample(".")
	if len(ports) != 2 {
		t.Fatalf("the example has %d ports, want that of web and of api", len(ports))
	}
	if err := os.CopyFS(filepath.Join(w.dir, "server"), os.DirFS("../examples/server")); err != nil {
		t.Fatal(err)
	}
	d := w.start()
	d.awaitReady(7)
	for i, app := range []string{"web", "api"} {
		seen := greetings(t, ports[i], 200)
		if want := []int{4, 2}[i]; len(seen) != want {
			t.Errorf("200 requests to %s were served by %v, want all of %d instances", app, seen, want)
		}
		d.checkExact(app, seen)
	}
	d.awaitLine(`^worker/0 +\| job 1 done$`)
	d.stop()
	if n := strings.Count(d.stderr.String(), "exited with code 0"); n != 6 {
		t.Errorf("%d instances stopped with code 0, want all 6 servers\n%s", n, d.stderr)
	}
}
