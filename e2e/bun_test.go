package e2e

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
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
	if direct, web := s.app("direct"), s.app("web"); direct.Listen != "self" || direct.Count != "off" || web.Listen != "relay" || web.Count != "relay" {
		t.Errorf("direct: listen %s, count %s; web: listen %s, count %s", direct.Listen, direct.Count, web.Listen, web.Count)
	}
	for i, app := range []string{"direct", "web"} {
		const n = 400
		seen := greetings(t, ports[i], n)
		if len(seen) != 4 {
			t.Errorf("%d requests to %s were served by %v, want all of four instances", n, app, seen)
		}
		if app == "web" {
			d.checkExact(app, seen)
		} else if total := w.status().app(app).RequestsTotal; total != nil {
			t.Errorf("%d requests to %s, which nobody counts", *total, app)
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
		if seen := greetings(t, ports[i], 100); len(seen) != 4 {
			t.Errorf("after the restart of an instance, %s is served by %v", app, seen)
		}
	}
	d.stop()
	if n := strings.Count(d.stderr.String(), "exited with code 0"); n != 8 {
		t.Errorf("%d instances stopped with code 0, want all 8\n%s", n, d.stderr)
	}
}

// findBun returns the path of Bun: $BUN, the one in PATH, or the one that the
// example's package.json names, which is installed once for all runs of the
// tests, in the user's cache.
func findBun(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("BUN"); path != "" {
		return path
	}
	if path, err := exec.LookPath("bun"); err == nil {
		return path
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		missing(t, "neither bun nor npm to install it with is here")
	}
	manifest, err := os.ReadFile("../examples/bun/package.json")
	if err != nil {
		t.Fatal(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "clusterd-e2e", fmt.Sprintf("bun-%x", sha256.Sum256(manifest))[:16])
	if err := installOnce(npm, dir, manifest); err != nil {
		missing(t, "cannot install bun: "+err.Error())
	}
	return filepath.Join(dir, "node_modules", ".bin", "bun")
}

// installOnce runs npm install in dir unless that has been done. Runs of the
// tests at the same time wait for each other.
func installOnce(npm, dir string, manifest []byte) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	lock, err := os.Create(filepath.Join(dir, "lock"))
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	done := filepath.Join(dir, "installed")
	if _, err := os.Stat(done); err == nil {
		return nil
	}
	if err := os.WriteFile(filepath.Join(dir, "package.json"), manifest, 0o644); err != nil {
		return err
	}
	cmd := exec.Command(npm, "install", "--no-audit", "--no-fund")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("npm install: %w\n%s", err, out)
	}
	return os.WriteFile(done, nil, 0o644)
}
