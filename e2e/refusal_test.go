package e2e

import (
	"fmt"
	"net"
	"regexp"
	"strings"
	"testing"
)

// portWhy is why an app listens as it does.
func (s status) portWhy(app string) string {
	a := s.app(app)
	return a.Listen + ": " + a.ListenWhy
}

// expectWhy asserts how an app got its port, and that the reason is given
// wherever it is looked for.
func (d *daemon) expectWhy(app, re string) {
	d.w.t.Helper()
	why := d.w.status().portWhy(app)
	if !regexp.MustCompile("^(?:" + re + ")").MatchString(why) {
		d.w.t.Errorf("%s has its port by %q, want a match of %s", app, why, re)
	}
	if out := d.w.must("status", "--verbose"); !strings.Contains(out, why) {
		d.w.t.Errorf("status --verbose does not say %q:\n%s", why, out)
	}
}

// Where system calls cannot be watched, the relay serves whatever listens on
// $PORT, and nothing else can be insisted on.
func TestSeccompRefused(t *testing.T) {
	t.Parallel()
	for what, says := range map[string]string{
		"seccomp":         `system call filters are refused here`,
		"unknown seccomp": `the kernel cannot report system calls`,
	} {
		t.Run(what, func(t *testing.T) {
			eachUser(t, func(t *testing.T, w *workspace) {
				w.refusing(what)
				port, off, insists := w.port(), w.port(), w.port()
				w.configure(web(port, 2),
					app("off", "http", fmt.Sprintf("port = %d", off), `count = "off"`),
					app("insists", "http", fmt.Sprintf("port = %d", insists), `listen = "adopt"`))
				d := w.start()
				d.awaitReady(3)
				d.expectWhy("web", `relay: .*cannot be adopted: `+says+`.*\$PORT`)
				d.expectWhy("off", `relay: .*cannot be adopted: `+says)
				s := d.awaitStatus("insists to have failed", func(s status) bool { return s.app("insists").State == "failed" })
				if reason := s.instance("insists/0").Reason; !regexp.MustCompile(`^cannot start: listen = "adopt": ` + says).MatchString(reason) {
					t.Errorf("insists/0 has failed: %s", reason)
				}
				if served := servedBy(t, port, 40); len(served) != 2 {
					t.Errorf("%v served", served)
				}
				mustGet(t, off, "/")
				d.stop()
			})
		})
	}
}

// Where sockets of a child cannot be shared, as in containers, they are replaced
// by such that can be.
func TestPidfdGetfdRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, listen string }{
		{"dual stack", "tcp [::]"}, // of Go, which speaks Multipath TCP
		{"IPv4", "tcp4 0.0.0.0"},
		{"only IPv6 beside IPv4", "tcp6 [::] tcp4 0.0.0.0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachUser(t, func(t *testing.T, w *workspace) {
				if strings.Contains(c.listen, ":") {
					needIPv6(t)
				}
				w.refusing("pidfd_getfd")
				port, solo, behind := w.port(), w.port(), w.port()
				words := func(port int) []string {
					return strings.Fields(strings.NewReplacer("[::]", fmt.Sprintf("[::]:%d", port), "0.0.0.0", fmt.Sprintf("0.0.0.0:%d", port)).Replace(c.listen))
				}
				named := func(name, table string) string { return strings.Replace(table, "[apps.web]", "[apps."+name+"]", 1) }
				w.configure(adopting(port, 3, "listen", words(port)...),
					named("solo", adopting(solo, 1, "listen", words(solo)...)),
					named("behind", strings.Replace(adopting(behind, 2, "listen", words(behind)[:2]...), `"adopt"`, `"relay"`, 1)))
				d := w.start()
				d.awaitReady(6)
				d.checkAdopted("web")
				d.expectWhy("web", `adopt: .*their sockets are replaced by clusterd's own, since .*pidfd_getfd`)
				d.expectWhy("behind", `relay: .*their sockets are replaced by clusterd's own, since .*pidfd_getfd`)
				address := fmt.Sprintf("127.0.0.1:%d", port)
				d.serveAll(address, 300, 3)
				d.serveAll(net.JoinHostPort(dialed(words(behind)[:2]), fmt.Sprint(behind)), 100, 2)
				killWhole(t, *w.status().instance("web/1").PID)
				d.awaitReady(7)
				d.serveAll(address, 300, 3)
				d.checkQueueOutlives("solo/0", solo)
				d.stop()
			})
		})
	}
}

// What cannot be replaced goes on without adoption.
func TestReplacementImpossible(t *testing.T) {
	t.Parallel()
	eachUser(t, func(t *testing.T, w *workspace) {
		w.refusing("pidfd_getfd")
		port, insists := w.port(), w.port()
		w.configure(
			app("web", "epoll-first", fmt.Sprintf("port = %d\ninstances = 2\ncount = \"off\"", port)),
			app("insists", "epoll-first", fmt.Sprintf("port = %d\nlisten = \"adopt\"", insists)))
		d := w.start()
		d.awaitEvent(`going on with listen = "relay"`)
		d.awaitStatus("web to be behind the relay", func(s status) bool { return s.app("web").Listen == "relay" && s.app("web").Ready == 2 })
		d.expectWhy("web", `relay: .*cannot be adopted: .*registered with epoll`)
		d.serveAll(fmt.Sprintf("127.0.0.1:%d", port), 100, 2)
		s := d.awaitStatus("insists to have failed", func(s status) bool { return s.app("insists").State == "failed" })
		if reason := s.instance("insists/0").Reason; !strings.Contains(reason, `listen = "adopt": `) || !strings.Contains(reason, "epoll") {
			t.Errorf("insists/0 has failed: %s", reason)
		}
		d.stop()
	})
}

// Without bpf(2), the programs that need no privilege do.
func TestBPFRefused(t *testing.T) {
	t.Parallel()
	eachUser(t, func(t *testing.T, w *workspace) {
		w.refusing("bpf")
		port := w.port()
		address := fmt.Sprintf("127.0.0.1:%d", port)
		w.configure(adopting(port, 3, "listen", "tcp4", address))
		d := w.start()
		d.awaitReady(3)
		d.checkAdopted("web")
		d.serveAll(address, 300, 3)
		// Steered: a slot that is gone gets none, so nobody waits.
		w.must("stop", "web/1")
		if seen := d.load(address, 100); seen.count["web/1"] != 0 {
			t.Errorf("web/1, which is stopped, has served: %v", seen.count)
		}
		d.stop()
		if strings.Contains(d.stderr.String(), "kernel's hash") {
			t.Error("it is not steered")
		}
	})
}

// Without any steering, the kernel's hash chooses, and that is said. What waits
// for an instance that dies is still its successor's.
func TestSteeringRefused(t *testing.T) {
	t.Parallel()
	eachUser(t, func(t *testing.T, w *workspace) {
		w.refusing("steering programs")
		port, solo := w.port(), w.port()
		address := fmt.Sprintf("127.0.0.1:%d", port)
		w.configure(adopting(port, 3, "listen", "tcp4", address),
			strings.Replace(adopting(solo, 1, "listen", "tcp4", fmt.Sprintf("127.0.0.1:%d", solo)), "[apps.web]", "[apps.solo]", 1))
		d := w.start()
		d.awaitReady(4)
		d.awaitEvent(fmt.Sprintf(`web .*connections to 127\.0\.0\.1:%d are spread by the kernel's hash.*SO_ATTACH_REUSEPORT_`, port))
		d.checkAdopted("web")
		d.serveAll(address, 300, 3)
		d.checkQueueOutlives("solo/0", solo)
		w.must("restart", "web")
		d.serveAll(address, 100, 3)
		w.must("stop", "web/1")
		if seen := d.load(address, 100); seen.count["web/1"] != 0 {
			t.Errorf("web/1, which is stopped, has served: %v", seen.count)
		}
		d.stop()
	})
}

// Of a clusterd below another one, the outer one adopts; the inner one knows.
func TestNestedClusterd(t *testing.T) {
	t.Parallel()
	eachUser(t, func(t *testing.T, w *workspace) {
		port, inner := w.port(), w.port()
		w.write("inner.toml", "name = \"inner\"\n"+
			app("web", "http", fmt.Sprintf("port = %d\ninstances = 2", port))+
			strings.Replace(adopting(inner, 1, "listen", "tcp4", fmt.Sprintf("127.0.0.1:%d", inner)), "[apps.web]", "[apps.insists]", 1))
		w.configure(fmt.Sprintf("[apps.outer]\ncommand = [%q, \"-c\", \"inner.toml\", \"--no-tui\"]\nport = %d\nlisten = \"adopt\"\n", clusterdBinary, port))
		d := w.start()
		d.awaitReady(1)
		d.checkAdopted("outer")
		d.awaitLine(`web/0 ready after`)
		d.awaitLine(`web/1 ready after`)
		if served := servedBy(t, port, 40); len(served) != 2 {
			t.Errorf("%v served", served)
		}
		why := w.must("status", "--verbose", "-c", "inner.toml")
		if !regexp.MustCompile(`relay: .*cannot be adopted: a supervisor above this one`).MatchString(why) {
			t.Errorf("the inner clusterd says:\n%s", why)
		}
		d.awaitLine(`insists/0 cannot start: listen = "adopt": a supervisor above this one`)
		d.stop()
	})
}
