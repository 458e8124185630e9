package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A check reaches the one instance that it is about, on each way onto a port, and
// only that one is restarted.
func TestCheckReachesOneInstance(t *testing.T) {
	t.Parallel()
	for _, listen := range []string{"adopt", "fd", "relay"} {
		t.Run(listen, func(t *testing.T) {
			eachUser(t, func(t *testing.T, w *workspace) {
				port := w.port()
				w.configure(web(port, 3, `listen = "`+listen+`"`, `ready = { http = "/health" }`,
					`health = { http = "/health", interval = "200ms", failures = 2 }`))
				sick := w.write("sick-1", "")
				d := w.start()
				d.awaitReady(2)
				d.awaitEvent(`^\S+ web/1 GET /health: status 503 Service Unavailable$`)
				if err := os.Remove(sick); err != nil {
					t.Fatal(err)
				}
				d.awaitReady(3)
				w.write("sick-2", "")
				d.awaitEvent(`^\S+ web/2 unready: GET /health: status 503 Service Unavailable \(failure 1 of 2\); others get its connections$`)
				d.awaitEvent(`^\S+ web/2 failed its health check: GET /health: status 503 Service Unavailable, 2 times in a row; ending it$`)
				if err := os.Remove(filepath.Join(w.dir, "sick-2")); err != nil {
					t.Fatal(err)
				}
				d.awaitReady(4)
				for _, id := range []string{"web/0", "web/1"} {
					if in := w.status().instance(id); in.State != "ready" || in.Generation != 1 {
						t.Errorf("%s: %+v", id, in)
					}
				}
				d.stop()
			})
		})
	}
}

// A detached cluster is ready when the command returns, or the command says what
// is not; it stays in any case.
func TestDetach(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	t.Cleanup(func() { w.run("down") })
	port := w.port()
	db := app("db", "sleep", `ready = { log = "^sleeping, pid" }`)
	migrate := app("migrate", "crash", `env.E2E_CODE = "0"`, `restart = "never"`, `depends_on = ["db"]`)
	idle := app("idle", "sleep", "autostart = false")
	w.configure(web(port, 2, `depends_on = { migrate = "done" }`), migrate, db, idle)
	r := w.run("--detach")
	if r.code != 0 || !strings.Contains(r.stdout, "runs in the background, as pid") {
		t.Fatalf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	mustGet(t, port, "/")
	if s := w.status(); s.app("migrate").State != "done" || s.app("db").State != "ready" || s.app("idle").State != "stopped" {
		t.Errorf("%+v", s)
	}
	if r := w.run("--detach"); r.code != 1 || !strings.Contains(r.stderr, "already running") {
		t.Errorf("a second one: exit code %d, %s", r.code, r.stderr)
	}
	w.must("wait")
	if r := w.run("wait", "idle"); r.code != 1 || !strings.Contains(r.stderr, "idle/0 is stopped") {
		t.Errorf("wait for what is stopped: exit code %d, %s", r.code, r.stderr)
	}
	w.must("down")

	w.configure(web(port, 1, `depends_on = { migrate = "done" }`), strings.Replace(migrate, `"0"`, `"3"`, 1), db)
	r = w.run("--detach")
	for _, want := range []string{`migrate/0 is failed: exit 3, restart = "never"; last output: last words`, "web/0 waits for migrate to be done", "the cluster goes on in the background"} {
		if r.code != 1 || !strings.Contains(r.stderr, want) {
			t.Errorf("exit code %d, %s; want %q", r.code, r.stderr, want)
		}
	}
	w.explains("migrate", "migrate/0 is failed", "needed by web (1 of 1 wait for it)", "last words")
	if r := w.run("wait", "--timeout", "50ms", "db", "web"); r.code != 1 || !strings.Contains(r.stderr, "web/0 waits for migrate to be done") {
		t.Errorf("wait: exit code %d, %s", r.code, r.stderr)
	}
	w.must("down")

	w.write("cluster.toml", "[apps.web]\nport = 1\n")
	if r := w.run("--detach"); r.code != 2 {
		t.Errorf("a bad file: exit code %d, %s", r.code, r.stderr)
	}
	w.configure(app("web", "sleep"), "[apps.gone]\ncommand = [\"/no/such/program\"]")
	if r := w.run("--detach"); r.code != 1 || strings.Count(r.stderr, "no such file") != 1 {
		t.Errorf("a bad command: exit code %d, %s", r.code, r.stderr)
	}
}

// A timeout says who is not ready, and why.
func TestWaitTimeout(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	w.configure(app("late", "sleep", `ready = { exec = "echo not yet; exit 4" }`))
	d := w.start()
	d.awaitEvent(`^\S+ late/0 echo not yet; exit 4: exit 4; last output: not yet$`)
	if r := w.run("wait", "--timeout", "50ms"); r.code != 1 || !strings.Contains(r.stderr, "not ready after 50ms: late/0 is starting (echo not yet; exit 4: exit 4; last output: not yet)") {
		t.Errorf("exit code %d, %s", r.code, r.stderr)
	}
	d.stop()
}
