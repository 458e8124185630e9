package e2e

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// The main path needs no privilege at all.
func TestUnprivileged(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		missing(t, "only root can become a user without capabilities; as this user, every other test is this one")
	}
	w := newWorkspace(t)
	w.asNobody()
	port := w.port()
	w.configure(web(port, 3), app("family", "grandchild", `stop_timeout = "400ms"`))
	d := w.start()
	d.awaitReady(4)
	reallyNobody(t, fmt.Sprintf("/proc/%d/status", d.pid()))
	far := d.awaitLine(`^family/0 \| ignoring signals, pid (\d+)$`)

	const n = 60
	if served := servedBy(t, port, n); len(served) != 3 {
		t.Errorf("%d requests were served by %v, want all of three instances", n, served)
	}
	s := d.awaitStatus("every request to be counted", func(s status) bool { return s.app("web").requests() >= n })
	if a := s.app("web"); a.requests() != n || a.Ready != 3 {
		t.Errorf("%d requests counted, %d ready; want %d and 3", a.requests(), a.Ready, n)
	}
	d.awaitStatus("memory to be known", func(s status) bool {
		return !slices.ContainsFunc(s.app("web").Instances, func(in instanceStatus) bool { return in.RSSBytes == nil })
	})

	kill(t, *s.instance("web/2").PID)
	d.awaitReady(5)
	w.must("stop", "web/0")
	w.must("start", "web/0")
	w.must("restart", "web/1")
	mustGet(t, port, "/")
	if after := w.status(); after.app("web").Ready != 3 || after.instance("web/2").Restarts != 1 {
		t.Errorf("in the end: %+v", after.app("web"))
	}
	if out := w.must("logs", "family"); !strings.Contains(out, "forked") {
		t.Errorf("logs family: %q", out)
	}

	slow := begin(port, "/slow")
	d.awaitLine("slow request begun")
	d.signal(syscall.SIGTERM)
	if a := receive(t, slow); a.err != nil {
		t.Errorf("a request under way: %v", a.err)
	}
	if code := d.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	checkGone(t, far)
}

func containsLine(text, line string) bool {
	for l := range strings.Lines(text) {
		if strings.TrimRight(l, "\n") == line {
			return true
		}
	}
	return false
}
