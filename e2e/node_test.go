package e2e

import (
	"os/exec"
	"strings"
	"testing"
)

// Node knows nothing of SO_REUSEPORT in most versions, and needs not.
func TestNode(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("node"); err != nil {
		missing(t, "node is not installed")
	}
	w := newWorkspace(t)
	ports := w.copyExample("node")
	if len(ports) != 1 {
		t.Fatalf("examples/node has %d ports, want that of web", len(ports))
	}
	d := w.start()
	d.awaitReady(4)
	const n = 400
	seen := greetings(t, ports[0], n)
	if len(seen) != 4 {
		t.Errorf("%d requests were served by %v, want all of four instances", n, seen)
	}
	d.checkExact("web", seen)
	kill(t, *w.status().instance("web/3").PID)
	d.awaitReady(5)
	if seen := greetings(t, ports[0], 100); len(seen) != 4 {
		t.Errorf("after the restart of an instance, the port is served by %v", seen)
	}
	d.stop()
	if n := strings.Count(d.stderr.String(), "exited with code 0"); n != 4 {
		t.Errorf("%d instances stopped with code 0, want all 4\n%s", n, d.stderr)
	}
}
