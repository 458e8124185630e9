package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// toucher is an app that leaves a file behind when it has been started.
const toucher = "[apps.toucher]\ncommand = \"touch touched; sleep 600\"\n"

// aboutConfig matches what is said of a config file: it begins with the file,
// for editors to jump to.
var aboutConfig = regexp.MustCompile(`^\S*cluster\.toml:`)

// checkRefused asserts that clusterd ended at once, having started nothing, with
// a sentence that matches re.
func (w *workspace) checkRefused(r result, code int, re string) {
	w.t.Helper()
	if r.code != code {
		w.t.Errorf("exit code %d, want %d", r.code, code)
	}
	if !regexp.MustCompile("(?m)" + re).MatchString(r.stderr) {
		w.t.Errorf("on stderr: %s, want a match of %s", r.stderr, re)
	}
	for line := range strings.Lines(r.stderr) {
		if !strings.HasPrefix(line, "clusterd: ") && !aboutConfig.MatchString(r.stderr) {
			w.t.Errorf("on stderr: %q, want only clusterd's sentences", line)
		}
	}
	if r.stdout != "" {
		w.t.Errorf("on stdout: %q, want nothing", r.stdout)
	}
	if _, err := os.Stat(filepath.Join(w.dir, "touched")); err == nil {
		w.t.Error("an app was started")
	}
}

func TestCommandLineMistakes(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	w.configure(toucher)
	for _, c := range []struct{ args, re string }{
		{"--colour", `unknown flag: --colour`},
		{"status --jsno", `unknown flag: --jsno`},
		{"staus", `unknown command "staus"; did you mean "status"\?$`},
		{"brew", `unknown command "brew"; clusterd help lists them all$`},
		{"-c", `flag needs an argument`},
		{"logs -n many", `invalid argument "many"`},
		{"logs -n 0", `-n takes a number from 1 on`},
		{"down now", `"now"`},
	} {
		w.checkRefused(w.run(strings.Fields(c.args)...), 2, c.re)
	}
}

func TestUnusableConfigFile(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		make func(t *testing.T, w *workspace, path string)
		says string
	}{
		{"missing", func(*testing.T, *workspace, string) {}, `there is no file cluster\.toml; name the config file with -c$`},
		{"folder", func(t *testing.T, _ *workspace, path string) {
			if err := os.Mkdir(path, 0o755); err != nil {
				t.Fatal(err)
			}
		}, `cluster\.toml: .*folder`},
		{"unreadable", func(t *testing.T, w *workspace, path string) {
			w.asNobody()
			if err := os.WriteFile(path, []byte(toucher), 0o000); err != nil {
				t.Fatal(err)
			}
		}, `cluster\.toml: .*(permission denied|not allowed|may not)`},
		{"binary", func(t *testing.T, w *workspace, _ string) {
			w.write("cluster.toml", "\x7fELF\x02\x01\x01\x00\x00\xff\xfe\x80\n\x1b[31m\x00")
		}, `^cluster\.toml:\d+:\d+: `},
		{"named pipe", func(t *testing.T, _ *workspace, path string) {
			if err := syscall.Mkfifo(path, 0o644); err != nil {
				t.Fatal(err)
			}
		}, `cluster\.toml: .*not a regular file`},
		{"empty", func(t *testing.T, w *workspace, _ string) { w.write("cluster.toml", "") }, `cluster\.toml: the file is empty; declare at least one app`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorkspace(t)
			c.make(t, w, filepath.Join(w.dir, "cluster.toml"))
			for _, args := range [][]string{{"--no-tui"}, {"check"}} {
				r := w.run(args...)
				w.checkRefused(r, 2, c.says)
				if strings.ContainsFunc(r.stderr, func(c rune) bool { return c < ' ' && c != '\n' || c == 0x7f || c == '\uFFFD' }) {
					t.Errorf("on stderr: %q, which no terminal should get", r.stderr)
				}
			}
		})
	}
}

func TestEveryMistakeOfTheConfigAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	w.write("cluster.toml", toucher+`
[apps.web]
command = "true"
instnaces = 4
  port = "8080"
restart = "sometimes"
cwd = "nowhere"

[apps.other]
`)
	for _, args := range [][]string{{"--no-tui"}, {"check"}, {"-c", filepath.Join(w.dir, "cluster.toml"), "--no-tui"}} {
		r := w.run(args...)
		for _, re := range []string{
			`cluster\.toml:6:1: unknown key "instnaces" in \[apps\.web\]; did you mean "instances"\?$`,
			`cluster\.toml:7:10: port must be an integer from 1 to 65535, not "8080"; write 8080 without quotes$`,
			`cluster\.toml:8:11: restart must be "always", "on-failure" or "never", not "sometimes"$`,
			`cluster\.toml:9:7: .*nowhere`,
			`cluster\.toml:11:7: \[apps\.other\] has no command`,
		} {
			w.checkRefused(r, 2, `^\S*`+re)
		}
		if n := strings.Count(r.stderr, "\n"); n != 5 {
			t.Errorf("%d lines, want one for each of 5 mistakes:\n%s", n, r.stderr)
		}
	}
}

// An app that cannot be executed keeps the whole cluster from starting.
func TestCommandNotFound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, command, says string }{
		{"in PATH", `["no-such-program", "x"]`, `command "no-such-program": not found in PATH`},
		{"by path", `["./missing/program"]`, `command "/.*/missing/program": no such file`},
		{"a folder", `["/tmp"]`, `command "/tmp": is a directory`},
		{"not executable", `["./cluster.toml"]`, `command "/.*/cluster.toml": not executable`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorkspace(t)
			w.configure(toucher, "[apps.bad]\ncommand = "+c.command, "[apps.worse]\ncommand = [\"no-more\"]")
			r := w.run("--no-tui")
			w.checkRefused(r, 1, `^clusterd: start bad: `+c.says)
			w.checkRefused(r, 1, `^clusterd: start worse: command "no-more": not found in PATH`)
		})
	}
}

// What a shell does not find is the shell's failure, like any other.
func TestCommandNotFoundByTheShell(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	w.configure("[apps.bad]\nmax_restarts = 2\nbackoff_min = \"1ms\"\nbackoff_max = \"1ms\"\ncommand = \"no-such-program x\"")
	d := w.start()
	if code := d.wait(); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	d.awaitEvent(`^clusterd: bad/0 failed: exit 127, gave up after 3 failures in `)
	d.awaitLine(`^bad/0 ! .*no-such-program: .*not found`)
}

// soon makes an app give up after two failures that follow each other at once.
const soon = "backoff_min = \"10ms\"\nbackoff_max = \"20ms\"\nmax_restarts = 2\n"

// What cannot be executed any more, perhaps since it is just being replaced, is
// tried again; it does not keep the rest from running.
func TestCommandVanishes(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	if err := copyFile(filepath.Join(w.dir, "program"), childBinary); err != nil {
		t.Fatal(err)
	}
	w.configure("[apps.bad]\ncommand = [\"./program\"]\n"+soon+"env."+childVariable+" = \"sleep\"\n", app("good", "sleep"))
	d := w.start()
	d.awaitReady(2)
	if err := os.Remove(filepath.Join(w.dir, "program")); err != nil {
		t.Fatal(err)
	}
	kill(t, *w.status().instance("bad/0").PID)
	s := d.awaitStatus("bad to have failed", func(s status) bool { return s.app("bad").State == "failed" })
	if in := s.instance("bad/0"); !strings.Contains(in.Reason, `/program": no such file`) {
		t.Errorf("bad/0: %+v", in)
	}
	if in := s.instance("good/0"); in.State != "ready" {
		t.Errorf("good/0: %+v", in)
	}
	r := w.run("start", "bad/0")
	if r.code != 1 || !strings.Contains(r.stderr, `/program": no such file`) {
		t.Errorf("start bad/0: exit code %d, %s", r.code, r.stderr)
	}
	d.stop()
}

func TestWorkingDirectoryVanishes(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	dir := filepath.Join(w.dir, "there")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	w.configure(app("job", "sleep", `cwd = "there"`, soon))
	d := w.start()
	d.awaitReady(1)
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	r := w.run("restart", "job")
	if r.code != 1 || !strings.Contains(r.stderr, "working directory") || !strings.Contains(r.stderr, dir) {
		t.Errorf("restart without its folder: exit code %d, %s", r.code, r.stderr)
	}
	if code := d.wait(); code != 1 { // nothing is left that could run
		t.Errorf("exit code %d, want 1", code)
	}
}

func TestPortTaken(t *testing.T) {
	t.Parallel()
	for _, listen := range []string{"relay", "self"} {
		t.Run(listen, func(t *testing.T) {
			t.Parallel()
			w := newWorkspace(t)
			l, err := net.Listen("tcp", ":"+strconv.Itoa(w.port()))
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			port := l.Addr().(*net.TCPAddr).Port
			w.configure(toucher, web(port, 2, fmt.Sprintf("listen = %q", listen)))
			w.checkRefused(w.run("--no-tui"), 1, fmt.Sprintf(`^clusterd: start web: port %d is already in use: held by pid %d \(.*%s.*\)$`,
				port, os.Getpid(), regexp.QuoteMeta(filepath.Base(os.Args[0]))))
		})
	}
}

// Two clusters do not share a port by accident, although both set SO_REUSEPORT.
func TestPortTakenByAnotherCluster(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	port := w.port()
	w.configure(web(port, 1))
	d := w.start()
	d.awaitReady(1)
	w.write("other.toml", toucher+web(port, 1))
	w.checkRefused(w.run("--no-tui", "-c", "other.toml"), 1,
		fmt.Sprintf(`^clusterd: start web: port %d is already in use: held by pid %d \(`, port, d.pid()))
	mustGet(t, port, "/")
	d.stop()
}

func TestPortWithoutPermission(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start")
	if err != nil {
		t.Fatal(err)
	}
	if first, _ := strconv.Atoi(strings.TrimSpace(string(b))); first <= 80 {
		missing(t, fmt.Sprintf("everybody may bind port 80 here (sysctl net.ipv4.ip_unprivileged_port_start is %d)", first))
	}
	w := newWorkspace(t)
	w.asNobody()
	w.configure(toucher, web(80, 1))
	w.checkRefused(w.run("--no-tui"), 1,
		`^clusterd: start web: no permission to bind port 80: ports below \d+ need CAP_NET_BIND_SERVICE \(.*setcap.*sysctl`)
}

func TestSecondClusterdOfACluster(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	w.configure(web(w.port(), 2))
	d := w.start()
	d.awaitReady(2)
	before := w.status()
	if err := os.Symlink("cluster.toml", filepath.Join(w.dir, "link.toml")); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"cluster.toml", "link.toml"} {
		w.checkRefused(w.run("--no-tui", "-c", file), 1,
			fmt.Sprintf(`^clusterd: this cluster is already running, as pid %d; see it with: clusterd dash -c %s$`, d.pid(), file))
	}
	after := w.status()
	for _, id := range []string{"web/0", "web/1"} {
		if *after.instance(id).PID != *before.instance(id).PID || after.instance(id).State != "ready" {
			t.Errorf("%s of the first clusterd is now %+v", id, after.instance(id))
		}
	}
	d.stop()
}

func TestStartAfterSIGKILL(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	port := w.port()
	w.configure(web(port, 2))
	first := w.start()
	first.awaitReady(2)
	first.signal(syscall.SIGKILL)
	first.wait()
	if left, _ := filepath.Glob(filepath.Join(w.runtime, "clusterd", "*.sock")); len(left) != 1 {
		t.Fatalf("%v is left after SIGKILL: there is nothing to replace", left)
	}
	if r := w.run("status"); r.code != 3 || !strings.Contains(r.stderr, "start it with") {
		t.Errorf("status with a stale socket: exit code %d, %s", r.code, r.stderr)
	}
	second := w.start()
	second.awaitReady(2)
	mustGet(t, port, "/")
	if s := w.status(); s.PID != second.pid() {
		t.Errorf("status of pid %d, want %d", s.PID, second.pid())
	}
	second.stop()
	w.killed = false // the second one has cleaned up for both
}

func TestUnusableRuntimeDirectory(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		make func(w *workspace) string
		says string
	}{
		{"missing", func(w *workspace) string { return filepath.Join(w.dir, "nowhere") }, `control socket: .*nowhere`},
		{"too long", func(w *workspace) string {
			dir := filepath.Join(w.dir, strings.Repeat("x", 100))
			if err := os.Mkdir(dir, 0o700); err != nil {
				w.t.Fatal(err)
			}
			return dir
		}, `longer than the 107 bytes .* set XDG_RUNTIME_DIR`},
		{"open to others", func(w *workspace) string {
			dir := filepath.Join(w.runtime, "clusterd")
			if err := os.Mkdir(dir, 0o700); err != nil {
				w.t.Fatal(err)
			}
			if err := os.Chmod(dir, 0o777); err != nil {
				w.t.Fatal(err)
			}
			return w.runtime
		}, `others may enter it; chmod 700 it`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorkspace(t)
			w.configure(toucher)
			w.env = append(w.env, "XDG_RUNTIME_DIR="+c.make(w))
			w.checkRefused(w.run("--no-tui"), 1, `^clusterd: .*`+c.says)
		})
	}
}
