package e2e

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// begins is run in the background, until the end of the test.
func (w *workspace) begins(args ...string) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.run(args...)
	}()
	w.t.Cleanup(func() { <-ended })
}

// guardian is the pid of clusterd's guardian.
func (w *workspace) guardian() int {
	w.t.Helper()
	for _, p := range w.marked() {
		if strings.HasPrefix(p.command, "guardian ") {
			return p.pid
		}
	}
	return 0
}

// Whatever clusterd is doing when it is killed, nothing is left of it and all that
// it has started, also what has left group, session and parents; and the cluster can
// be started again at once.
func TestSIGKILLLeavesNothing(t *testing.T) {
	t.Parallel()
	for stage, until := range map[string]func(w *workspace, d *daemon){
		"starting": func(_ *workspace, d *daemon) {
			d.awaitLine(`^late/0 +\| sleeping`)
		},
		"serving": func(_ *workspace, d *daemon) {
			d.awaitReady(5)
		},
		"without a guardian for a while": func(w *workspace, d *daemon) {
			d.awaitReady(5)
			first := w.guardian()
			kill(w.t, first)
			d.await("another guardian", func() bool { g := w.guardian(); return g != 0 && g != first })
		},
		"reloading": func(w *workspace, d *daemon) {
			d.awaitReady(5)
			w.write("fickle", "hang")
			w.begins("reload", "fickle")
			d.awaitEvent(`fickle/0 reload 1/1: successor started`)
		},
		"stopping": func(w *workspace, d *daemon) {
			d.awaitReady(5)
			w.begins("stop", "family")
			d.awaitStatus("what is left of the family", func(s status) bool {
				return strings.HasSuffix(s.instance("family/0").Reason, "ending what it left behind")
			})
		},
	} {
		t.Run(stage, func(t *testing.T) {
			t.Parallel()
			w := newWorkspace(t)
			port, other := w.port(), w.port()
			w.configure(web(port, 2), app("fickle", "fickle", fmt.Sprintf("port = %d", other)),
				app("family", "grandchild", `stop_timeout = "1h"`),
				app("late", "sleep", `ready = { exec = "sleep 100", timeout = "1h" }`),
				"[apps.shell]\ncommand = \"sleep 300 & sleep 300; true\"")
			d := w.start()
			far := d.awaitLine(`^family/0 +\| ignoring signals, pid (\d+)$`)
			until(w, d)
			d.signal(syscall.SIGKILL)
			killed := time.Now()
			d.wait()
			for len(w.marked()) > 0 && time.Since(killed) < deadline {
				time.Sleep(5 * time.Millisecond)
			}
			t.Logf("nothing was left after %s", time.Since(killed))
			checkGone(t, far)

			w.write("cluster.toml", "name = \"e2e\"\n"+web(port, 2))
			again := w.start()
			again.awaitReady(2)
			mustGet(t, port, "/")
			again.stop()
		})
	}
}

// A leader that has become somebody else is not killed with clusterd by the kernel.
func TestSIGKILLTakesOtherUsersAlong(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		missing(t, "only root can become somebody else")
	}
	setpriv := setpriv(t)
	w := newWorkspace(t)
	w.configure(fmt.Sprintf("[apps.dropped]\ncommand = [%q, \"--reuid=65534\", \"--clear-groups\", %q]\nenv.%s = \"ignoreterm\"\n",
		setpriv, childBinary, childVariable))
	d := w.start()
	pid := d.awaitLine(`^dropped/0 \| ignoring signals, pid (\d+)$`)
	d.signal(syscall.SIGKILL)
	d.wait()
	for end := time.Now().Add(deadline); len(w.marked()) > 0 && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
	checkGone(t, pid)
}

// The next clusterd of a cluster waits until the guardian of the killed one is done.
func TestStartWhileTheGuardianWorks(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	port := w.port()
	w.configure(web(port, 1), app("family", "grandchild"))
	for range 2 {
		d := w.start()
		d.awaitReady(2)
		d.signal(syscall.SIGKILL)
		d.wait()
	}
	d := w.start()
	d.awaitReady(2)
	d.stop()
}

// Who has taken leave of everything by which it could be recognised is known from
// the time before.
func TestSIGKILLTakesStrangersAlong(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	w.configure(app("parent", "stdout-holder"))
	d := w.start()
	stranger := d.awaitLine(`^parent/0 \| sleeping, pid (\d+)$`)
	pid, err := strconv.Atoi(stranger)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if alive(pid) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	// clusterd looks at the processes once a second.
	at := *w.status().instance("parent/0").Uptime
	d.awaitStatus("two looks", func(s status) bool { return *s.instance("parent/0").Uptime > at+3 })
	d.signal(syscall.SIGKILL)
	d.wait()
	for end := time.Now().Add(deadline); alive(pid) && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
	if alive(pid) {
		t.Errorf("pid %d is still alive", pid)
	}
}

// The guardian does not get in the way of a clusterd that ends well, and holds
// nothing open that is somebody else's.
func TestGuardianLeavesWithClusterd(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	w.configure(app("job", "sleep"))
	d := w.start()
	d.awaitReady(1)
	g := w.guardian()
	d.await("the guardian to call itself so", func() bool { // then it is deaf
		name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", g))
		return err == nil && string(name) == "guardian\n"
	})
	for fd, want := range map[int]string{0: os.DevNull, 1: os.DevNull, 2: os.DevNull} {
		if to, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", g, fd)); err != nil || to != want {
			t.Errorf("descriptor %d of the guardian is %s, %v", fd, to, err)
		}
	}
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		if err := syscall.Kill(g, sig); err != nil {
			t.Error(err)
		}
	}
	w.must("restart", "job")
	if now := w.guardian(); now != g {
		t.Errorf("the guardian is %d, and was %d", now, g)
	}
	d.stop()
	checkGone(t, strconv.Itoa(g))
}
