package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// why is clusterd why of a target, with all its words on one line.
func (w *workspace) why(target string) string {
	w.t.Helper()
	text := w.must("why", target)
	for line := range strings.Lines(text) {
		if utf8.RuneCountInString(line) > 81 && strings.Contains(line, " ") && !strings.HasPrefix(line, "  1") {
			w.t.Errorf("longer than 80 cells: %q", line)
		}
	}
	return strings.Join(strings.Fields(text), " ")
}

// explains asserts that why says all of the parts.
func (w *workspace) explains(target string, parts ...string) {
	w.t.Helper()
	text := w.why(target)
	for _, part := range parts {
		if !strings.Contains(text, part) {
			w.t.Errorf("why %s does not say %q:\n%s", target, part, text)
		}
	}
}

func TestWhy(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	port, taken := w.port(), w.port()
	l, err := net.Listen("tcp", fmt.Sprintf(":%d", taken))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	w.configure(
		web(port, 2, `listen = "relay"`),
		app("job", "crash", `env.E2E_CODE = "3"`, `instances = 2`, `backoff_min = "20m"`, `backoff_max = "20m"`),
		app("once", "crash", `env.E2E_CODE = "4"`, `restart = "never"`),
		strings.Replace(web(taken, 1, "autostart = false"), "apps.web", "apps.late", 1),
		app("none", "sleep", "instances = 0"))
	d := w.start()
	d.awaitEvent(`web/0 ready`)
	d.awaitStatus("web to be ready, and the others to have ended", func(s status) bool {
		return s.app("web").Ready == 2 && s.instance("job/0").State == "backoff" && s.instance("job/1").State == "backoff" && s.instance("once/0").State == "failed"
	})
	w.explains("web/1", "web/1 is ready since", fmt.Sprintf("pid %d", *w.status().instance("web/1").PID),
		fmt.Sprintf("port %d, by relay: listen = \"relay\"", port), "requests counted by relay: the relay follows every request",
		"Last output", "listening", "web/1 ready after")
	w.explains("job/1", "job/1 is backoff since", "reason exit 3, retry in", "next start at", "last exit with code 3 after", "last words",
		"job/1 exited with code 3", "port a worker")
	w.explains("job", "job is backoff: 0 of 2 ready", "job/0 is backoff since", "The other instances job/1 backoff for", "exit 3")
	w.explains("once", "once is failed", "clusterd start once/0", "last exit with code 4", `restart = "never"`)
	w.explains("none", "none is stopped: 0 of 0 ready", "clusterd scale none=1")
	w.explains("late/0", "late/0 is stopped", "clusterd start late/0")
	if r := w.run("start", "late"); r.code != 1 {
		t.Errorf("start of an app whose port is taken: %+v", r)
	}
	w.explains("late/0", "late/0 is failed", fmt.Sprintf("port %d is already in use: held by pid %d", taken, os.Getpid()))
	kill(t, *w.status().instance("web/0").PID)
	d.awaitStatus("web/0 to be ready again", func(s status) bool { in := s.instance("web/0"); return in.Generation == 2 && in.State == "ready" })
	w.explains("web/0", "web/0 is ready", "last exit by SIGKILL", "1 restart without being asked")
	if r := w.run("why", "web/9"); r.code != 1 || !strings.Contains(r.stderr, "web/9") {
		t.Errorf("%+v", r)
	}
	if r := w.run("why"); r.code != 2 {
		t.Errorf("%+v", r)
	}
	d.stop()
}

// What keeps an app from being adopted is seen only once it runs, and why says it
// from then on.
func TestWhyItIsNotAdopted(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	w.asNobody()
	if w.wrap == nil {
		missing(t, "only root can make a program that a user may execute and not read")
	}
	secret := filepath.Join(w.dir, "secret")
	if err := copyFile(secret, childBinary); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(secret, 0o711); err != nil {
		t.Fatal(err)
	}
	port := w.port()
	w.configure(fmt.Sprintf("[apps.web]\ncommand = \"true; exec %s\"\nenv.%s = \"http\"\nport = %d\ninstances = 2\ncount = \"off\"\n",
		secret, childVariable, port))
	d := w.start()
	d.awaitEvent(`web cannot be adopted`)
	d.awaitStatus("another way", func(s status) bool { a := s.app("web"); return a.Listen == "relay" && a.Ready == 2 })
	w.explains("web", fmt.Sprintf("port %d, by relay: instances cannot be adopted:", port), "may not be looked into",
		"web cannot be adopted:", `web going on with listen = "relay"`, "requests not counted")
	d.stop()
}
