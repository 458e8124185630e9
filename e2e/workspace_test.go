package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// deadline is how long anything that has to happen may take. It is no measure
// of anything: reaching it means that it never will.
const deadline = 90 * time.Second

// workspace is what one test has for itself.
type workspace struct {
	t         testing.TB
	dir       string // where cluster.toml is and commands are run
	runtime   string // $XDG_RUNTIME_DIR
	mark      string // in the environment of all that comes from this test
	env       []string
	wrap      []string // what stands before clusterd on a command line
	ports     []int
	daemons   []*daemon
	terminals []*terminal
	killed    bool // a clusterd was ended by SIGKILL: it could not clean up
}

const markVariable = "E2E_MARK="

// newWorkspace also arranges for the search for leftovers at the end of t.
func newWorkspace(t testing.TB) *workspace {
	t.Helper()
	// Short, for the sake of the socket's path; t.TempDir has the test's name.
	base, err := os.MkdirTemp("", "e2e-")
	if err != nil {
		t.Fatal(err)
	}
	w := &workspace{
		t:       t,
		dir:     filepath.Join(base, "work"),
		runtime: filepath.Join(base, "run"),
		mark:    fmt.Sprintf("%s-%d-%d", filepath.Base(base), os.Getpid(), rand.Uint64()),
	}
	for _, dir := range []string{w.dir, w.runtime} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		w.checkLeftovers()
		if t.Failed() {
			for _, d := range w.daemons {
				t.Log(d.transcript())
			}
		}
		if err := os.RemoveAll(base); err != nil {
			t.Errorf("remove the test's folder: %v", err)
		}
	})
	return w
}

// write makes a file in the workspace and returns its path.
func (w *workspace) write(name, text string) string {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// configure writes cluster.toml from the tables of apps, see app.
func (w *workspace) configure(apps ...string) {
	w.t.Helper()
	w.write("cluster.toml", "name = \"e2e\"\n\n"+strings.Join(apps, "\n"))
}

// app is the table of an app whose instances are children of the given mode,
// with more lines of TOML.
func app(name, mode string, lines ...string) string {
	return fmt.Sprintf("[apps.%s]\ncommand = [%q]\nenv.%s = %q\n%s\n", name, childBinary, childVariable, mode, strings.Join(lines, "\n"))
}

// web is an HTTP server with n instances on a public port.
func web(port, n int, lines ...string) string {
	lines = append([]string{fmt.Sprintf("port = %d\ninstances = %d", port, n)}, lines...)
	return app("web", "http", lines...)
}

// portsTaken are those that a test of this process has been given.
var portsTaken sync.Map

// port is a free port that no other test uses. It is below the kernel's range
// for outgoing connections and below clusterd's for private ports.
func (w *workspace) port() int {
	w.t.Helper()
	const lowest, count = 10000, 10000
	start := rand.IntN(count)
	for i := range count {
		port := lowest + (start+i)%count
		if _, taken := portsTaken.LoadOrStore(port, true); taken || !free(port) {
			continue
		}
		w.ports = append(w.ports, port)
		return port
	}
	w.t.Fatalf("no free port between %d and %d", lowest, lowest+count-1)
	return 0
}

func free(port int) bool {
	l, err := net.Listen("tcp", ":"+strconv.Itoa(port))
	if err != nil {
		return false
	}
	l.Close()
	return true
}

// environ is the environment of all that the test starts.
func (w *workspace) environ() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, childVariable+"=") {
			env = append(env, kv)
		}
	}
	return append(env, w.variables()...)
}

// variables are those that the test itself sets.
func (w *workspace) variables() []string {
	return append([]string{
		"XDG_RUNTIME_DIR=" + w.runtime,
		markVariable + w.mark,
		"GORACE=atexit_sleep_ms=0", // by default every command takes a second to end
	}, w.env...)
}

// command is clusterd with args, in the workspace.
func (w *workspace) command(ctx context.Context, args ...string) *exec.Cmd {
	line := append(append([]string{}, w.wrap...), clusterdBinary)
	line = append(line, args...)
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	cmd.Dir = w.dir
	cmd.Env = w.environ()
	cmd.WaitDelay = deadline
	return cmd
}

// shell is the command line that does in any shell what command does: for a
// terminal multiplexer, whose server must not carry the mark itself.
func (w *workspace) shell(args ...string) string {
	quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
	line := []string{"cd", quote(w.dir), "&&", "exec", "env"}
	for _, kv := range w.variables() {
		line = append(line, quote(kv))
	}
	for _, arg := range append(append(append([]string{}, w.wrap...), clusterdBinary), args...) {
		line = append(line, quote(arg))
	}
	return strings.Join(line, " ")
}

// result is how a command ended.
type result struct {
	code           int
	stdout, stderr string
}

// run runs clusterd with args to its end.
func (w *workspace) run(args ...string) result {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*deadline)
	defer cancel()
	cmd := w.command(ctx, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited || ctx.Err() != nil {
		w.t.Fatalf("clusterd %s: %v\n%s", strings.Join(args, " "), errors.Join(err, ctx.Err()), stderr.String())
	}
	w.checkSane(stderr.String())
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// must is run of what has to succeed; it returns stdout.
func (w *workspace) must(args ...string) string {
	w.t.Helper()
	r := w.run(args...)
	if r.code != 0 {
		w.t.Fatalf("clusterd %s: exit code %d\n%s", strings.Join(args, " "), r.code, r.stderr)
	}
	return r.stdout
}

// checkSane fails the test for what no user should ever see.
func (w *workspace) checkSane(stderr string) {
	w.t.Helper()
	for _, bad := range []string{"DATA RACE", "panic: ", "fatal error: "} {
		if strings.Contains(stderr, bad) {
			w.t.Errorf("clusterd said %q:\n%s", bad, stderr)
		}
	}
}

// checkLeftovers fails the test for everything that outlived it.
func (w *workspace) checkLeftovers() {
	left, held := w.marked(), w.held()
	if w.killed { // the kernel ends the instances, in its own time
		for end := time.Now().Add(deadline); len(left)+len(held) > 0 && time.Now().Before(end); left, held = w.marked(), w.held() {
			time.Sleep(10 * time.Millisecond)
		}
	}
	for _, p := range left {
		w.t.Errorf("still alive at the end: pid %d, %s", p.pid, p.command)
		_ = syscall.Kill(p.pid, syscall.SIGKILL)
	}
	for _, port := range held {
		w.t.Errorf("port %d is still held at the end", port)
	}
	if left, _ := filepath.Glob(filepath.Join(w.runtime, "clusterd", "*.sock")); len(left) > 0 && !w.killed {
		w.t.Errorf("still there at the end: %s", strings.Join(left, ", "))
	}
}

// held lists the test's ports that somebody has.
func (w *workspace) held() (ports []int) {
	for _, port := range w.ports {
		if !free(port) {
			ports = append(ports, port)
		}
	}
	return ports
}

// marked lists the living processes with the test's mark.
func (w *workspace) marked() []found {
	var out []found
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		env, err := os.ReadFile(filepath.Join(dir, "environ")) // empty for a zombie
		if err != nil || !bytes.Contains(env, []byte(markVariable+w.mark)) {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(dir))
		line, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		out = append(out, found{pid, strings.ReplaceAll(string(line), "\x00", " ")})
	}
	return out
}

type found struct {
	pid     int
	command string
}
