package e2e

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// ask is clusterd request of what has to be answered.
func (w *workspace) ask(args ...string) string {
	w.t.Helper()
	return w.must(append([]string{"request"}, args...)...)
}

// askInVain asserts that clusterd request fails with a sentence that has the
// parts.
func (w *workspace) askInVain(args []string, parts ...string) {
	w.t.Helper()
	r := w.run(append([]string{"request"}, args...)...)
	if r.code != 1 || strings.Count(r.stderr, "\n") != 1 {
		w.t.Errorf("request %q: exit code %d, %q", args, r.code, r.stderr)
	}
	for _, part := range parts {
		if !strings.Contains(r.stderr, part) {
			w.t.Errorf("request %q: %q, which does not say %q", args, r.stderr, part)
		}
	}
}

// One exact instance answers, whichever way it listens on the port that all share.
func TestRequestReachesOneInstance(t *testing.T) {
	t.Parallel()
	const n = 3
	for _, c := range []struct{ name, listen, network, host string }{
		{"adopted", "adopt", "tcp4", "0.0.0.0"},
		{"adopted, IPv6", "adopt", "tcp6", "::1"},
		{"adopted, dual stack", "adopt", "tcp", "::"},
		{"behind the relay", "relay", "tcp", "::"},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachUser(t, func(t *testing.T, w *workspace) {
				if strings.Contains(c.host, ":") {
					needIPv6(t)
				}
				port := w.port()
				table := adopting(port, n, "listen", c.network, net.JoinHostPort(c.host, strconv.Itoa(port)))
				w.configure(strings.Replace(table, `"adopt"`, strconv.Quote(c.listen), 1), app("job", "sleep"))
				d := w.start()
				d.awaitReady(n + 1)
				for range 3 {
					for i := range n {
						id := fmt.Sprintf("web/%d", i)
						if got := w.ask(id, "/"); !strings.Contains(got, "("+id+")") {
							t.Errorf("asked %s, and was answered %q", id, got)
						}
					}
				}

				// The one that ran is another one now.
				killWhole(t, *w.status().instance("web/1").PID)
				d.awaitReady(n + 2)
				now := *w.status().instance("web/1").PID
				if got, want := w.ask("web/1"), fmt.Sprintf("hello from pid %d (web/1)\n", now); got != want {
					t.Errorf("after a restart web/1 answers %q, want %q", got, want)
				}

				w.must("stop", "web/2")
				w.askInVain([]string{"web/2"}, "web/2", "it has no process, it is stopped")
				w.askInVain([]string{"web/7"}, `no instance "web/7"`, "web/0 to web/2")
				w.askInVain([]string{"web"}, "it is an app", "web/0")
				w.askInVain([]string{"job/0"}, "job/0", "has no port")
				d.stop()
			})
		})
	}
}

// An instance that gets no connections from others any more is reached all the
// same, as long as it listens.
func TestRequestReachesWhatDoesNotServe(t *testing.T) {
	t.Parallel()
	eachUser(t, func(t *testing.T, w *workspace) {
		port := w.port()
		w.configure(adopting(port, 2, "reopen", "tcp4", fmt.Sprintf("127.0.0.1:%d", port)) +
			"stop_signal = \"SIGWINCH\"\n") // which it does not mind
		d := w.start()
		d.awaitReady(2)
		pids := [2]int{*w.status().instance("web/0").PID, *w.status().instance("web/1").PID}
		send := func(pid int, sig syscall.Signal) {
			t.Helper()
			if err := syscall.Kill(pid, sig); err != nil {
				t.Fatal(err)
			}
		}

		stopWhole(t, pids[0])
		w.askInVain([]string{"web/0"}, "the connection to web/0 ended without an answer")
		d.awaitStatus("web/0 to be unready", func(s status) bool { return s.instance("web/0").State == "unready" })
		w.askInVain([]string{"web/0"}, "it is unready: it does not accept connections")
		if got := w.ask("web/1"); !strings.Contains(got, "(web/1)") {
			t.Errorf("web/1 answers %q", got)
		}
		send(-pids[0], syscall.SIGCONT)
		d.awaitStatus("web/0 to be ready again", func(s status) bool { return s.instance("web/0").State == "ready" })
		if got := w.ask("web/0"); !strings.Contains(got, "(web/0)") {
			t.Errorf("web/0 answers %q", got)
		}

		send(pids[0], syscall.SIGUSR1)
		d.awaitStatus("web/0 to be unready", func(s status) bool { return strings.Contains(s.instance("web/0").Reason, "listen") })
		w.askInVain([]string{"web/0"}, "web/0, which is unready", "closed its listening socket")

		stopped := make(chan result, 1)
		go func() { stopped <- w.run("stop", "web/1") }()
		d.awaitStatus("web/1 to be stopping", func(s status) bool { return s.instance("web/1").State == "stopping" })
		if got := w.ask("web/1"); !strings.Contains(got, "(web/1)") {
			t.Errorf("stopping, web/1 answers %q", got)
		}
		killWhole(t, pids[1])
		if r := <-stopped; r.code != 0 {
			t.Errorf("stop: %+v", r)
		}
		killWhole(t, pids[0])
		d.awaitReady(3)
		d.signal(syscall.SIGTERM)
		d.awaitStatus("the end to begin", func(s status) bool { return s.instance("web/0").State == "stopping" })
		killWhole(t, *w.status().instance("web/0").PID)
		if code := d.wait(); code != 0 {
			t.Errorf("exit code %d", code)
		}
	})
}

// Where the kernel's hash chooses, nobody is reached exactly.
func TestRequestIsNoGuess(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	port := w.port()
	w.configure(adopting(port, 2, "listen", "tcp4", fmt.Sprintf("127.0.0.1:%d", port)) + "balance = \"hash\"\n")
	d := w.start()
	d.awaitReady(2)
	w.askInVain([]string{"web/0"}, "cannot reach web/0, which is ready: the kernel chooses the instance at this address")
	d.stop()
}

// A request is what the command line says, and so is its answer.
func TestRequestSaysWhatItIsTold(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	port := w.port()
	w.configure(web(port, 2, `listen = "relay"`))
	d := w.start()
	d.awaitReady(2)
	for _, x := range []struct {
		args []string
		want string
	}{
		{[]string{"/echo?a=b"}, fmt.Sprintf("GET /echo?a=b of localhost:%d with [], \"\", <nil>\n", port)},
		{[]string{"/echo", "-d", "x=1"}, fmt.Sprintf("POST /echo of localhost:%d with [], \"x=1\", <nil>\n", port)},
		{[]string{"/echo", "-X", "PUT", "-H", "X-Test: a", "-H", "X-Test:b", "-H", "Host: example.org"},
			"PUT /echo of example.org with [\"a\" \"b\"], \"\", <nil>\n"},
	} {
		if got := w.ask(append([]string{"web/1"}, x.args...)...); got != x.want {
			t.Errorf("%q: answered %q, want %q", x.args, got, x.want)
		}
	}
	got := w.ask("web/1", "/", "-i")
	if head, body, ok := strings.Cut(got, "\n\n"); !ok || !strings.HasPrefix(head, "HTTP/1.1 200 OK\n") ||
		!strings.Contains(head, "\r\nContent-Type: text/plain") && !strings.Contains(head, "\nContent-Type: text/plain") ||
		!strings.HasPrefix(body, "web/1 ") {
		t.Errorf("-i prints %q", got)
	}
	r := w.run("request", "web/0", "/echo?503")
	if r.code != 1 || !strings.HasPrefix(r.stdout, "GET /echo") || r.stderr != "clusterd: web/0 answered 503 Service Unavailable\n" {
		t.Errorf("an error of the instance's: %+v", r)
	}
	if r := w.run("request", "web/0", "echo"); r.code != 2 {
		t.Errorf("no path: %+v", r)
	}
	if a := w.status().app("web"); a.requests() != 0 {
		t.Errorf("%d requests past the relay are counted", a.requests())
	}

	w.askInVain([]string{"web/1", "/never", "--timeout", "50ms"}, "web/1 has not answered within 50ms")

	// An instance that ends before it has answered.
	ended := make(chan result, 1)
	go func() { ended <- w.run("request", "web/0", "/never") }()
	d.awaitLine(`^web/0 +\| endless request begun`)
	killWhole(t, *w.status().instance("web/0").PID)
	if r := <-ended; r.code != 1 || !strings.HasPrefix(r.stderr, "clusterd: the connection to web/0 ended without an answer") {
		t.Errorf("killed meanwhile: %+v", r)
	}

	// And clusterd itself.
	d.awaitReady(3)
	go func() { ended <- w.run("request", "web/0", "/slow") }()
	d.awaitLine(`^web/0 +\| slow request begun`)
	d.stop()
	if r := <-ended; r.code != 0 || r.stdout != "slow but sure" {
		t.Errorf("under way during the stop: %+v", r)
	}
}
