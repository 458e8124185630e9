package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// special copies the child into a folder of the test's, for commands that are
// unlike others; path is what to execute.
func (w *workspace) special(mode os.FileMode) (path string) {
	w.t.Helper()
	path = filepath.Join(filepath.Dir(w.dir), "special")
	if err := copyFile(path, childBinary); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// serving is an app of a special program that serves $PORT.
func serving(name, program string, port int, lines ...string) string {
	return fmt.Sprintf("[apps.%s]\ncommand = [%q]\nenv.%s = \"http\"\nport = %d\n%s\n", name, program, childVariable, port, strings.Join(lines, "\n"))
}

// What cannot be adopted for what it is gets its port another way, and fails with
// the reason where adoption is insisted on.
func TestUnadoptableCommands(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		make func(t *testing.T, w *workspace) (program string)
		says string
	}{
		{"not readable", func(t *testing.T, w *workspace) string { return w.special(0o711) },
			`may be executed but not read`},
		{"set-user-ID", func(t *testing.T, w *workspace) string { return w.special(0o755 | os.ModeSetuid) },
			`is set-user-ID, and would lose its privileges`},
		{"file capabilities", func(t *testing.T, w *workspace) string {
			path := w.special(0o755)
			if out, err := exec.Command("setcap", "cap_net_bind_service=+ep", path).CombinedOutput(); err != nil {
				missing(t, fmt.Sprintf("cannot give a program capabilities: %v: %s", err, out))
			}
			return path
		}, `has file capabilities, and would lose them`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if os.Getuid() != 0 {
				missing(t, "only root can make a program that another user may not look into")
			}
			w := newWorkspace(t)
			w.asNobody()
			// Executing what has capabilities that the bounding set lacks fails.
			for i, arg := range w.wrap {
				w.wrap[i] = strings.Replace(arg, "--bounding-set=-all", "--bounding-set=-all,+net_bind_service", 1)
			}
			program := c.make(t, w)
			auto, off, relayed, insists := w.port(), w.port(), w.port(), w.port()
			w.configure(serving("auto", program, auto), serving("off", program, off, `count = "off"`),
				serving("relayed", program, relayed, `listen = "relay"`), serving("insists", program, insists, `listen = "adopt"`))
			d := w.start()
			d.awaitReady(3)
			for name, port := range map[string]int{"auto": auto, "off": off, "relayed": relayed} {
				d.expectWhy(name, `relay: .*cannot be adopted: /\S+ `+c.says)
				mustGet(t, port, "/")
			}
			reason := w.status().instance("insists/0").Reason
			if !regexp.MustCompile(`^cannot start: listen = "adopt": /\S+ ` + c.says).MatchString(reason) {
				t.Errorf("insists/0 has failed: %s", reason)
			}
			d.stop()
		})
	}
}

// What makes itself impossible to look into is seen to do so when it binds.
func TestNotDumpable(t *testing.T) {
	t.Parallel()
	eachUser(t, func(t *testing.T, w *workspace) {
		auto, off, insists := w.port(), w.port(), w.port()
		w.configure(
			app("auto", "undumpable", fmt.Sprintf("port = %d\ninstances = 2", auto)),
			app("off", "undumpable", fmt.Sprintf("port = %d\ncount = \"off\"", off)),
			app("insists", "undumpable", fmt.Sprintf("port = %d\nlisten = \"adopt\"", insists)))
		d := w.start()
		if len(w.wrap) == 0 && os.Getuid() == 0 { // who may look into anything
			d.awaitReady(4)
			d.checkAdopted("off")
			d.checkAdopted("insists")
			mustGet(t, off, "/")
			d.stop()
			return
		}
		d.awaitEvent(`auto .*going on with listen = "relay"`)
		d.awaitEvent(`off .*going on with listen = "relay"`)
		d.awaitStatus("all but one to be ready", func(s status) bool {
			return s.app("auto").Ready == 2 && s.app("off").Ready == 1 && s.app("insists").State == "failed"
		})
		for name, port := range map[string]int{"auto": auto, "off": off} {
			d.expectWhy(name, `relay: .*cannot be adopted: its process may not be looked into`)
			mustGet(t, port, "/")
		}
		reason := w.status().instance("insists/0").Reason
		if !strings.HasPrefix(reason, `cannot start: listen = "adopt": its process may not be looked into`) {
			t.Errorf("insists/0 has failed: %s", reason)
		}
		d.stop()
	})
}

// As root, a command that becomes another user before it binds shares its port
// with its siblings, and with its successors.
func TestUserIsDropped(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		missing(t, "only root can become somebody else")
	}
	setpriv := setpriv(t)
	for _, c := range []struct{ name, refused string }{{"shared", ""}, {"replaced", "pidfd_getfd"}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorkspace(t)
			if c.refused != "" {
				w.refusing(c.refused)
			}
			port := w.port()
			address := fmt.Sprintf("127.0.0.1:%d", port)
			w.configure(adoptingCommand(port, 3, "listen", fmt.Sprintf("[%q, \"--reuid=65534\", \"--regid=65534\", \"--clear-groups\", %q, \"tcp\", \"[::]:%d\"]",
				setpriv, childBinary, port)))
			d := w.start()
			d.awaitReady(3)
			d.checkAdopted("web")
			d.serveAll(address, 200, 3)
			killWhole(t, *w.status().instance("web/1").PID)
			d.awaitReady(4)
			d.serveAll(address, 200, 3)
			w.must("reload", "web")
			d.serveAll(address, 200, 3)
			d.stop()
		})
	}
}

// Ports that need a privilege are refused before anything starts, with a sentence.
func TestAdoptPortWithoutPermission(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	w.asNobody()
	w.configure(toucher, app("web", "http", "port = 81\nlisten = \"adopt\""))
	w.checkRefused(w.run("--no-tui"), 1, `^clusterd: start web: no permission to bind port 81: ports below \d+ need CAP_NET_BIND_SERVICE`)
}

// Leaders die with a clusterd that is killed; nothing of it is left to stop them.
func TestAdoptedDieWithClusterd(t *testing.T) {
	t.Parallel()
	eachUser(t, func(t *testing.T, w *workspace) {
		port := w.port()
		w.configure(adopting(port, 3, "listen", "tcp", fmt.Sprintf("[::]:%d", port)))
		d := w.start()
		d.awaitReady(3)
		d.signal(syscall.SIGKILL)
		d.wait()
		// Leftovers are looked for at the end of each test.
	})
}
