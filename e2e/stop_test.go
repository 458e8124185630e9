package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestSIGTERMLetsRequestsFinish(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			w := newWorkspace(t)
			port := w.port()
			w.configure(web(port, 2))
			d := w.start()
			d.awaitReady(2)
			slow := begin(port, "/slow")
			d.awaitLine(`^web/\d \| slow request begun$`)
			d.signal(sig)
			if a := receive(t, slow); a.err != nil || a.body != "slow but sure" {
				t.Errorf("a request under way was answered with %q, %v", a.body, a.err)
			}
			if code := d.wait(); code != 0 {
				t.Errorf("exit code %d", code)
			}
			d.awaitEvent(`^\S+ stopping$`)
			d.awaitLine(`^web/0 \| bye$`)
			d.awaitLine(`^web/1 \| bye$`)
		})
	}
}

// The same where the instances accept straight from the kernel. Whoever comes while
// they end is not left waiting, and then the port is free.
func TestDirectStopLetsRequestsFinish(t *testing.T) {
	t.Parallel()
	for _, listen := range []string{"adopt", "fd"} {
		for _, how := range []string{"stop", "down"} {
			t.Run(listen+", "+how, func(t *testing.T) {
				eachUser(t, func(t *testing.T, w *workspace) {
					port := w.port()
					w.configure(web(port, 2, fmt.Sprintf("listen = %q", listen)), app("other", "sleep"))
					d := w.start()
					d.awaitReady(3)
					slow := begin(port, "/slow")
					d.awaitLine(`^web/\d +\| slow request begun$`)
					stopped := make(chan result, 1)
					go func() { stopped <- w.run(how) }()
					d.awaitLine(`^web/\d +\| bye$`) // the idle one
					late := begin(port, "/")
					if a := receive(t, slow); a.err != nil || a.body != "slow but sure" {
						t.Errorf("a request under way was answered with %q, %v", a.body, a.err)
					}
					if r := <-stopped; r.code != 0 {
						t.Errorf("%s: exit code %d, %s", how, r.code, r.stderr)
					}
					conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
					if !errors.Is(err, syscall.ECONNREFUSED) {
						t.Errorf("dial a port whose app is stopped: %v, %v", conn, err)
					}
					t.Logf("a client that came while they ended: %v", receive(t, late).err)
					if how == "stop" {
						d.stop()
					} else if code := d.wait(); code != 0 {
						t.Errorf("exit code %d", code)
					}
					if n := strings.Count(d.stderr.String(), "exited with code 0"); n != 2 {
						t.Errorf("%d instances ended by themselves, want 2", n)
					}
				})
			})
		}
	}
}

// A request in flight is answered by the instance that it was sent to.
func TestReplacingLetsRequestsFinish(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"restart", "reload"} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			w := newWorkspace(t)
			port := w.port()
			w.configure(web(port, 1, `stop_timeout = "3s"`))
			d := w.start()
			d.awaitReady(1)
			slow := begin(port, "/slow")
			d.awaitLine("slow request begun")
			w.must(verb, "web")
			if a := receive(t, slow); a.err != nil || a.body != "slow but sure" {
				t.Errorf("a request under way was answered with %q, %v", a.body, a.err)
			}
			mustGet(t, port, "/")
			d.stop()
		})
	}
}

func TestEndlessRequestIsBrokenOff(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	port := w.port()
	w.configure(web(port, 1, `stop_timeout = "200ms"`))
	d := w.start()
	d.awaitReady(1)
	endless := begin(port, "/never")
	d.awaitLine("endless request begun")
	d.stop()
	if a := receive(t, endless); a.err == nil {
		t.Errorf("the endless request was answered: %q", a.body)
	}
	d.awaitEvent(`^\S+ web/0 did not stop within 200ms of SIGTERM; killing it$`)
}

func TestIgnoredStopSignal(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	w.configure(app("deaf", "ignoreterm", `stop_timeout = "300ms"`))
	d := w.start()
	pid := d.awaitLine(`ignoring signals, pid (\d+)$`)
	d.stop()
	d.awaitEvent(`^\S+ deaf/0 did not stop within 300ms of SIGTERM; killing it$`)
	d.awaitEvent(`^\S+ deaf/0 was killed by SIGKILL after \S+; stopped$`)
	checkGone(t, pid)
}

// checkGone asserts that a process has ended, by its pid.
func checkGone(t testing.TB, pid string) {
	t.Helper()
	n, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatal(err)
	}
	if alive(n) {
		t.Errorf("process %s is still alive", pid)
	}
}

// However an instance ends, what it has forked ends with it, even if it has
// left its process group, its session and its parents.
func TestGrandchildrenEndWithTheirInstance(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		end  func(t *testing.T, w *workspace, d *daemon)
		says string
	}{
		{"cluster stops", func(_ *testing.T, _ *workspace, d *daemon) { d.stop() },
			`left processes behind that did not stop within 400ms of SIGTERM; killing it`},
		{"instance is stopped", func(_ *testing.T, w *workspace, _ *daemon) { w.must("stop", "family") },
			`left processes behind that did not stop within 400ms of SIGTERM; killing it`},
		{"instance dies", func(t *testing.T, w *workspace, d *daemon) {
			kill(t, *w.status().instance("family/0").PID)
			d.awaitReady(2)
		}, `was killed by SIGKILL after \S+; restarting at once`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorkspace(t)
			w.configure(app("family", "grandchild", `stop_timeout = "400ms"`))
			d := w.start()
			near := d.awaitLine(`^family/0 \| sleeping, pid (\d+)$`)
			far := d.awaitLine(`^family/0 \| ignoring signals, pid (\d+)$`)
			c.end(t, w, d)
			checkGone(t, near)
			checkGone(t, far)
			d.awaitEvent(`^\S+ family/0 ` + c.says + `$`)
		})
	}
}

// A process that clusterd cannot know to be an instance's, and that keeps the
// instance's stdout open, holds up neither the instance's end nor the cluster's;
// the latter is its own end.
func TestStrangerHoldsStdout(t *testing.T) {
	t.Parallel()
	for _, who := range []string{"instance", "cluster"} {
		t.Run(who+" ends", func(t *testing.T) {
			t.Parallel()
			w := newWorkspace(t)
			w.configure(app("parent", "stdout-holder", `restart = "never"`))
			d := w.start()
			stranger, err := strconv.Atoi(d.awaitLine(`^parent/0 \| sleeping, pid (\d+)$`))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { // if clusterd has not
				if alive(stranger) {
					t.Errorf("pid %d is still alive", stranger)
					_ = syscall.Kill(stranger, syscall.SIGKILL)
				}
			}()
			if who == "instance" {
				if err := syscall.Kill(*w.status().instance("parent/0").PID, syscall.SIGTERM); err != nil {
					t.Fatal(err)
				}
				d.awaitEvent(`^\S+ parent/0 exited with code 0 after \S+; done$`)
			} else {
				d.signal(syscall.SIGTERM)
			}
			if code := d.wait(); code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// alive tells whether a process is there and no zombie.
func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !bytes.Contains(b, []byte(") Z "))
}

func TestSecondSignalKills(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	w.configure(app("deaf", "ignoreterm", "instances = 2", `stop_timeout = "1h"`))
	d := w.start()
	d.awaitLine(`^deaf/0 \| ignoring signals`)
	d.awaitLine(`^deaf/1 \| ignoring signals`)
	d.signal(syscall.SIGINT)
	d.signal(syscall.SIGINT) // from npm, say, which has got it from the terminal too
	d.awaitEvent(`^\S+ stopping$`)
	d.signal(syscall.SIGHUP)
	if d.ends(300 * time.Millisecond) {
		t.Error("signals that come together, and a hang-up, count as the user's second word")
	}
	d.signal(syscall.SIGINT)
	if code := d.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	d.awaitEvent(`^\S+ killing everything that still runs$`)
	d.awaitEvent(`^\S+ deaf/1 was killed by SIGKILL after \S+; stopped$`)
}

func TestNohup(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	w.wrap = []string{"nohup"}
	w.configure(app("job", "sleep"))
	d := w.start()
	d.awaitReady(1)
	d.signal(syscall.SIGHUP)
	w.must("restart", "job") // refused while the cluster stops
	d.stop()
}

// A reader of the logs that goes away, as head does, takes nothing along.
func TestClosedOutput(t *testing.T) {
	t.Parallel()
	for _, both := range []bool{false, true} {
		name := map[bool]string{false: "stdout", true: "stdout and stderr"}[both]
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorkspace(t)
			w.configure(app("talker", "chatter"))
			r, out, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			d := w.prepare()
			d.cmd.Stdout = out
			if both {
				d.cmd.Stderr = out
			}
			d.begin()
			out.Close()
			if _, err := r.Read(make([]byte, 1)); err != nil { // something has come
				t.Fatal(err)
			}
			r.Close()
			pid := *d.awaitStatus("the talker to run", func(s status) bool { return s.instance("talker/0").PID != nil }).instance("talker/0").PID
			first := lastNumber(w)
			d.await("the talker to go on", func() bool { return lastNumber(w) > first+100 })
			if in := w.status().instance("talker/0"); in.PID == nil || *in.PID != pid || in.Restarts != 0 {
				t.Errorf("with the reader gone: %+v", in)
			}
			d.stop()
		})
	}
}

// lastNumber is that of the last kept line of a chatter.
func lastNumber(w *workspace) int {
	w.t.Helper()
	f := strings.Fields(w.must("logs", "-n", "1", "talker"))
	if len(f) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(f[len(f)-1]) // an event has none
	return n
}

// SIGKILL cannot be caught; the kernel takes the processes that clusterd itself
// has started along.
func TestSIGKILLTakesInstancesAlong(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	w.configure(web(w.port(), 2), app("deaf", "ignoreterm"))
	d := w.start()
	d.awaitReady(3)
	d.awaitLine("ignoring signals")
	if n := len(w.marked()); n != 5 {
		t.Errorf("%d processes run, want clusterd, its guardian, and three instances", n)
	}
	d.signal(syscall.SIGKILL)
	d.wait()
	// checkLeftovers, at the end, waits for the instances to be gone.
}
