package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// adopting is an app whose n instances are a listenChild of the given mode with
// hard-coded arguments.
func adopting(port, n int, mode string, args ...string) string {
	words := []string{strconv.Quote(childBinary)}
	for _, arg := range args {
		words = append(words, strconv.Quote(arg))
	}
	return adoptingCommand(port, n, mode, "["+strings.Join(words, ", ")+"]")
}

func adoptingCommand(port, n int, mode, command string) string {
	return fmt.Sprintf("[apps.web]\ncommand = %s\nenv.%s = %q\nport = %d\ninstances = %d\nlisten = \"adopt\"\n",
		command, childVariable, mode, port, n)
}

// needIPv6 skips the test on a machine without IPv6.
func needIPv6(t testing.TB) {
	t.Helper()
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		missing(t, "this machine has no IPv6")
	}
	l.Close()
}

// Instances may listen where they like, as long as it is the app's port.
func TestAdoptAddresses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		listen string // networks and addresses, without the port
		v4, v6 bool   // where they can be reached
	}{
		{"all of IPv4", "tcp4 0.0.0.0", true, false},
		{"loopback", "tcp4 127.0.0.1", true, false},
		{"localhost", "tcp localhost", true, false},
		{"dual stack", "tcp [::]", true, true},
		{"only IPv6", "tcp6 [::]", false, true},
		{"loopback of IPv6", "tcp6 [::1]", false, true},
		{"both families", "tcp4 0.0.0.0 tcp6 [::]", true, true},
		{"both loopbacks", "tcp4 127.0.0.1 tcp6 [::1]", true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachUser(t, func(t *testing.T, w *workspace) {
				if c.v6 {
					needIPv6(t)
				}
				port := w.port()
				args := strings.Fields(c.listen)
				for i := 1; i < len(args); i += 2 {
					args[i] += fmt.Sprintf(":%d", port)
				}
				const n = 3
				w.configure(adopting(port, n, "listen", args...))
				d := w.start()
				check := func() {
					t.Helper()
					d.checkAdopted("web")
					for host, reached := range map[string]bool{"127.0.0.1": c.v4, "::1": c.v6} {
						address := net.JoinHostPort(host, strconv.Itoa(port))
						if reached {
							d.serveAll(address, 150, n)
						} else if conn, err := net.Dial("tcp", address); !errors.Is(err, syscall.ECONNREFUSED) {
							t.Errorf("dial %s, where the app does not listen: %v, %v", address, conn, err)
						}
					}
				}
				d.awaitReady(n)
				check()
				killWhole(t, *w.status().instance("web/1").PID)
				d.awaitReady(n + 1)
				check()
				d.stop()
			})
		})
	}
}

func TestAdoptNeverListens(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	port := w.port()
	w.configure(adopting(port, 1, "sleep"))
	d := w.start()
	d.awaitEvent(`^\S+ web/0 started`)
	d.awaitReason("web/0", fmt.Sprintf(`not listening on .*\b%d\b`, port))
	d.stop()
}

// On a port that is not the app's, an instance gets no help: its sibling has to
// fail as it would without clusterd.
func TestAdoptListensElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	port, other := w.port(), w.port()
	w.configure(adopting(port, 2, "listen", "tcp4", fmt.Sprintf("127.0.0.1:%d", other)))
	d := w.start()
	first := d.awaitLine(`^web/(\d) +\| listening`)
	d.awaitLine(`cannot listen: .*address already in use`)
	d.awaitReason("web/"+first, fmt.Sprintf(`not listening on .*\b%d\b.*:%d\b`, port, other))
	d.stop()
}

// awaitReason waits until an instance that is not ready says why.
func (d *daemon) awaitReason(id, re string) {
	d.w.t.Helper()
	d.awaitStatus(fmt.Sprintf("%s to say %q", id, re), func(s status) bool {
		in := s.instance(id)
		return in.State == "starting" && regexp.MustCompile(re).MatchString(in.Reason)
	})
}

// An instance that has an address must not have it twice, except if it asks for
// that: the siblings' sharing is none of its business.
func TestAdoptBindTwice(t *testing.T) {
	t.Parallel()
	eachUser(t, func(t *testing.T, w *workspace) {
		port := w.port()
		wildcard, loopback := fmt.Sprintf("0.0.0.0:%d", port), fmt.Sprintf("127.0.0.1:%d", port)
		w.configure(adopting(port, 2, "listen-twice", "tcp4", wildcard, "tcp4", loopback))
		d := w.start()
		check := func(processes int) {
			t.Helper()
			d.await("all attempts", func() bool { return strings.Count(d.stdout.String(), "tried all") == processes })
			tried := regexp.MustCompile(`(?m)(bound again|once more|another process),? (to|on) .*$`).FindAllString(d.stdout.String(), -1)
			if len(tried) != 5*processes {
				t.Errorf("%d attempts, want 5 by each of %d processes: %q", len(tried), processes, tried)
			}
			for _, attempt := range tried {
				if !strings.Contains(attempt, "address already in use") {
					t.Errorf("an instance that already listens: %s", attempt)
				}
			}
			d.serveAll(loopback, 100, 2)
		}
		d.awaitReady(2)
		check(2)
		// The successor has its predecessor's socket, and no more rights to it.
		killWhole(t, *w.status().instance("web/0").PID)
		d.awaitReady(3)
		check(3)
		d.stop()
	})
}

// listensOnAll tells whether some sockets listen on a port, on [::] only.
func listensOnAll(t *testing.T, port int) bool {
	t.Helper()
	found := 0
	for _, table := range []string{"tcp", "tcp6"} {
		b, err := os.ReadFile("/proc/net/" + table)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(fmt.Sprintf(`(?m)^ *\d+: ([0-9A-F]+):%04X [0-9A-F:]+ 0A `, port)).FindAllStringSubmatch(string(b), -1) {
			if found++; m[1] != strings.Repeat("0", 32) {
				return false
			}
		}
	}
	return found > 0
}

// A program that looks for a free port by listening on several addresses keeps
// none but the last.
func TestAdoptPortProbe(t *testing.T) {
	t.Parallel()
	needIPv6(t)
	eachUser(t, func(t *testing.T, w *workspace) {
		port := w.port()
		var args []string
		for _, at := range []string{"tcp [::]", "tcp4 127.0.0.1", "tcp6 [::1]", "tcp4 0.0.0.0"} {
			args = append(args, strings.Fields(fmt.Sprintf("%s:%d", at, port))...)
		}
		w.configure(adopting(port, 3, "probe", args...))
		d := w.start()
		d.awaitReady(3)
		// Until then its port is closed every now and then, as without clusterd.
		d.await("the port to be found", func() bool {
			return strings.Count(d.stdout.String(), "looked for a port") == 3 && listensOnAll(t, port)
		})
		for _, host := range []string{"127.0.0.1", "[::1]"} {
			d.serveAll(fmt.Sprintf("%s:%d", host, port), 300, 3)
		}
		d.checkAdopted("web")
		d.stop()
	})
}

// A listener that its instance has closed must not keep anyone waiting.
func TestAdoptCloseAndReopen(t *testing.T) {
	t.Parallel()
	eachUser(t, func(t *testing.T, w *workspace) {
		port := w.port()
		address := fmt.Sprintf("127.0.0.1:%d", port)
		w.configure(adopting(port, 2, "reopen", "tcp", fmt.Sprintf("[::]:%d", port)))
		d := w.start()
		d.awaitReady(2)
		d.serveAll(address, 100, 2)
		pid := *w.status().instance("web/0").PID
		signal := func(sig syscall.Signal) {
			t.Helper()
			if err := syscall.Kill(pid, sig); err != nil {
				t.Fatal(err)
			}
		}

		signal(syscall.SIGUSR1)
		d.awaitLine(`^web/0 +\| closed$`)
		if seen := d.load(address, 50); seen.count["web/1"] != 50 {
			t.Errorf("with the listener of web/0 closed, %v served", seen.count)
		}
		d.awaitStatus("a reason", func(s status) bool { return strings.Contains(s.instance("web/0").Reason, "listen") })

		signal(syscall.SIGUSR2)
		d.await("the listener to be open again", func() bool { return strings.Count(d.stdout.String(), "| open") == 3 })
		d.awaitStatus("web/0 to be ready", func(s status) bool {
			in := s.instance("web/0")
			return in.State == "ready" && in.Reason == ""
		})
		d.serveAll(address, 100, 2)
		if in := w.status().instance("web/0"); in.Restarts != 0 || *in.PID != pid {
			t.Errorf("in the end: %+v", in)
		}
		d.stop()
	})
}

// Whoever listens below an instance's first process is the instance, and ends
// with it.
func TestAdoptDescendants(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("setsid"); err != nil {
		missing(t, "setsid (of util-linux) is not installed")
	}
	for _, c := range []struct{ name, command string }{
		{"below a shell", "%s; true"},
		{"in a shell's background", "%s & wait"},
		{"in nested sessions", "setsid --wait sh -c 'setsid --wait %s; true'; true"},
		{"with nothing in common", "(setsid env -i " + childVariable + "=listen CLUSTERD_APP=web CLUSTERD_INSTANCE=$CLUSTERD_INSTANCE %s &); exec sleep 1000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachUser(t, func(t *testing.T, w *workspace) {
				port := w.port()
				address := fmt.Sprintf("127.0.0.1:%d", port)
				w.configure(adoptingCommand(port, 2, "listen",
					strconv.Quote(fmt.Sprintf(c.command, childBinary+" tcp4 "+address))) +
					"stop_timeout = \"300ms\"\n") // in a session of its own, nothing hears of the stop signal
				d := w.start()
				d.awaitReady(2)
				d.checkAdopted("web")
				before := d.serveAll(address, 100, 2)

				// Only the first process: clusterd has to end the others.
				leader := *w.status().instance("web/0").PID
				if before.pids[strconv.Itoa(leader)] {
					t.Fatal("the shell has served")
				}
				kill(t, leader)
				d.awaitReady(3)
				after := d.serveAll(address, 100, 2)
				remain := 0
				for pid := range after.pids {
					if before.pids[pid] {
						remain++
					}
				}
				if len(before.pids) != 2 || len(after.pids) != 2 || remain != 1 {
					t.Errorf("before the kill of one of two instances %v served, after it %v", before.pids, after.pids)
				}
				d.stop()
			})
		})
	}
}
