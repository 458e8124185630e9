package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"
)

// daemon is a clusterd that runs a cluster.
type daemon struct {
	w              *workspace
	cmd            *exec.Cmd
	stdout, stderr *output
	exited         chan struct{} // closed when it has ended
}

// start starts clusterd with args, by default in the foreground and without a
// dashboard. It is stopped with the test if that has not done it.
func (w *workspace) start(args ...string) *daemon {
	w.t.Helper()
	d := w.prepare(args...)
	d.begin()
	return d
}

// prepare is start up to begin: the command may still be changed.
func (w *workspace) prepare(args ...string) *daemon {
	if len(args) == 0 {
		args = []string{"-c", "cluster.toml", "--no-tui"}
	}
	d := &daemon{w: w, stdout: &output{}, stderr: &output{}, exited: make(chan struct{})}
	d.cmd = w.command(context.Background(), args...)
	d.cmd.Stdout, d.cmd.Stderr = d.stdout, d.stderr
	return d
}

func (d *daemon) begin() {
	d.w.t.Helper()
	if err := d.cmd.Start(); err != nil {
		d.w.t.Fatal(err)
	}
	d.w.daemons = append(d.w.daemons, d)
	go func() {
		defer close(d.exited)
		_ = d.cmd.Wait() // the test asks for the exit code
	}()
	d.w.t.Cleanup(func() {
		if d.alive() {
			d.signal(syscall.SIGTERM)
			select {
			case <-d.exited:
			case <-time.After(deadline):
				d.w.t.Error("clusterd does not stop")
				d.w.killed = true
				d.signal(syscall.SIGQUIT)
				<-d.exited
			}
		}
		d.w.checkSane(d.stderr.String())
	})
}

func (d *daemon) alive() bool {
	select {
	case <-d.exited:
		return false
	default:
		return true
	}
}

func (d *daemon) pid() int { return d.cmd.Process.Pid }

func (d *daemon) signal(sig syscall.Signal) {
	d.w.t.Helper()
	if sig == syscall.SIGKILL {
		d.w.killed = true
	}
	// Wait may take the process at any moment: os.Process knows.
	if err := d.cmd.Process.Signal(sig); err != nil && d.alive() {
		d.w.t.Errorf("send clusterd %v: %v", sig, err)
	}
}

// wait blocks until clusterd has ended and returns its exit code.
func (d *daemon) wait() int {
	d.w.t.Helper()
	select {
	case <-d.exited:
	case <-time.After(deadline):
		d.signal(syscall.SIGQUIT) // the stack of every goroutine, for whoever looks into this
		<-d.exited
		d.w.killed = true
		d.w.t.Fatal("clusterd does not end")
	}
	return d.cmd.ProcessState.ExitCode()
}

// ends tells whether clusterd ends within a time.
func (d *daemon) ends(within time.Duration) bool {
	select {
	case <-d.exited:
		return true
	case <-time.After(within):
		return false
	}
}

// stop ends clusterd gracefully and fails the test if it has not gone well.
func (d *daemon) stop() {
	d.w.t.Helper()
	d.signal(syscall.SIGTERM)
	if code := d.wait(); code != 0 {
		d.w.t.Errorf("stopped with exit code %d", code)
	}
}

// awaitReady waits until n instances have become ready since the beginning. Of those
// that are ready when they run, nothing more is said.
func (d *daemon) awaitReady(n int) {
	d.w.t.Helper()
	said := " ready after "
	for _, name := range d.w.workers() {
		said += "|(?m:^\\S+ " + name + "/\\d+ started, pid )"
	}
	re := regexp.MustCompile(said)
	d.await(fmt.Sprintf("%d instances to be ready", n), func() bool {
		return len(re.FindAllString(d.stderr.String(), -1)) >= n
	})
}

// workers are the apps in cluster.toml that have nothing to be ready for.
func (w *workspace) workers() (names []string) {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join(w.dir, "cluster.toml"))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, table := range strings.Split(string(text), "\n[apps.")[1:] {
		name, keys, _ := strings.Cut(table, "]")
		if !regexp.MustCompile(`(?m)^(port|ready)\b`).MatchString(keys) {
			names = append(names, name)
		}
	}
	return names
}

// awaitEvent waits for a line on stderr that matches re and returns its first
// group, or all of it.
func (d *daemon) awaitEvent(re string) string {
	d.w.t.Helper()
	return d.awaitMatch("event", d.stderr, re)
}

// awaitLine waits for a line on stdout like awaitEvent does on stderr.
func (d *daemon) awaitLine(re string) string {
	d.w.t.Helper()
	return d.awaitMatch("line", d.stdout, re)
}

func (d *daemon) awaitMatch(what string, o *output, re string) string {
	d.w.t.Helper()
	expr := regexp.MustCompile("(?m)" + re)
	var match []string
	d.await(fmt.Sprintf("the %s %q", what, re), func() bool {
		match = expr.FindStringSubmatch(o.String())
		return match != nil
	})
	return match[len(match)-1]
}

// await waits for a condition, and fails the test when it cannot come about
// because clusterd has ended.
func (d *daemon) await(what string, ok func() bool) {
	d.w.t.Helper()
	end := time.Now().Add(deadline)
	for pause := 2 * time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		ended := !d.alive() // before ok, whose last chance comes after the end
		if ok() {
			return
		}
		if ended || time.Now().After(end) {
			d.w.t.Fatalf("waited in vain for %s (clusterd has ended: %v)", what, ended)
		}
		time.Sleep(pause)
	}
}

func (d *daemon) transcript() string {
	return fmt.Sprintf("--- stdout of clusterd:\n%s--- stderr of clusterd:\n%s---", d.stdout, d.stderr)
}

// output is what a process has written so far.
type output struct {
	mu sync.Mutex
	b  strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}
