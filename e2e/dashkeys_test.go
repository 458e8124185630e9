package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDashboardReloads also scales, kills, and sees each act's progress.
func TestDashboardReloads(t *testing.T) {
	t.Parallel()
	w, term, _ := dashboard(t, 120, 30)
	before := w.status()
	term.keys("R")
	term.await("reloading web", "/3")
	term.await("web reloaded in", "4/4 ready")
	after := w.status()
	for _, id := range []string{"web/0", "web/1", "web/2"} {
		if *before.instance(id).PID == *after.instance(id).PID {
			t.Errorf("%s has the same pid after a reload", id)
		}
	}
	term.keys("+")
	term.await("web to 4 scaled in", "5/5 ready", "web/3")
	term.keys("-")
	term.await("web to 3 scaled in", "4/4 ready")
	term.keys(":")
	term.typed("scale web=1")
	term.keys("Enter")
	term.await("Scale web to 1?", "2 instances of 3 will end", "[ Cancel ]")
	term.keys("Enter")
	term.keys("j", "X")
	term.await("Kill web/0?", "SIGKILL")
	term.keys("y")
	term.await("web/0 killed in", "4/4 ready", "SIGKILL")
	if s := w.status(); len(s.app("web").Instances) != 3 {
		t.Errorf("%d instances after a scaling that was cancelled", len(s.app("web").Instances))
	}
	term.keys("C-c")
	term.awaitEnd(0)
}

// TestDashboardDetails: of the selected instance, with its secrets masked.
func TestDashboardDetails(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	w.configure(web(w.port(), 2, `env.API_KEY = "sk-123"`))
	term := w.newTerminal(100, 50)
	term.start("-c", "cluster.toml")
	term.await("2/2 ready")
	term.keys("j", "Enter")
	screen := term.await("process ", "counted by", "API_KEY", "CLUSTERD_INSTANCE", "it has not")
	if strings.Contains(screen, "sk-123") {
		t.Errorf("a secret is shown unasked:\n%s", screen)
	}
	term.keys("u")
	term.await("sk-123")
	term.keys("r")
	term.await("generation 1")
	term.keys("Escape")
	term.await(">   web/0", "logs web/0")
	term.keys("C-c")
	term.awaitEnd(0)
}

// TestDashboardLogs searches, copies by way of the terminal, and saves.
func TestDashboardLogs(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	w.write("say.sh", "for i in 1 2 3 4 5 6; do echo line $i; echo trouble $i >&2; done; exec sleep 1000\n")
	w.configure("[apps.job]\ncommand = \"sh say.sh\"\n")
	term := w.newTerminal(100, 30)
	term.must("set-option", "-s", "set-clipboard", "on")
	term.start("-c", "cluster.toml")
	term.await("1/1 ready", "! trouble 6")
	term.keys("2", "/")
	term.typed("trouble [45]")
	term.await("search the log: trouble")
	term.keys("Enter")
	term.await("/trouble [45] 2 of 2")
	term.keys("N")
	term.await("/trouble [45] 1 of 2")
	term.keys("&")
	term.awaitScreen("the matches only", func(s string) bool {
		return strings.Contains(s, "trouble 5") && !strings.Contains(s, "line 6")
	})
	term.keys("y")
	term.await("copied 2 lines")
	if got := term.must("show-buffer"); got != "trouble 4\ntrouble 5\n" {
		t.Errorf("the terminal has got %q", got)
	}
	term.keys("C-s")
	term.await("save to: job-")
	term.keys("Enter")
	term.await("saved 2 lines to job-")
	files, err := filepath.Glob(filepath.Join(w.dir, "job-*.log"))
	if err != nil || len(files) != 1 {
		t.Fatalf("files: %v, %v", files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^\S+ job/0 err trouble 4\n\S+ job/0 err trouble 5\n$`).Match(text) {
		t.Errorf("the file has %q", text)
	}
	term.keys("C-c")
	term.awaitEnd(0)
}

// TestHeldKeysMoveEveryStep: they arrive faster than the screen is drawn.
func TestHeldKeysMoveEveryStep(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	w.configure(app("job", "sleep", "instances = 30"))
	term := w.newTerminal(80, 24)
	term.start("-c", "cluster.toml")
	term.await("30/30 ready")
	term.must("send-keys", "-N", "17", "j")
	term.await(">   job/16")
	term.typed(strings.Repeat("j", 10) + strings.Repeat("k", 5))
	term.await(">   job/21", "logs job/21")
	term.keys("C-c")
	term.awaitEnd(0)
}

// TestSuspendedDashboard gives the shell the terminal, and takes it back with all
// that was on it.
func TestSuspendedDashboard(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	w.configure(web(w.port(), 2))
	d := w.start()
	d.awaitReady(2)
	term := w.newTerminal(80, 24)
	term.command("stty -g > before")
	term.start("dash", "-c", "cluster.toml")
	term.await("2/2 ready")
	term.keys("M")
	term.awaitScreen("the mouse", func(string) bool { return term.value("mouse_button_flag") == "1" })
	term.keys("C-z")
	term.await("end 1: ") // for the shell it is over, for now
	term.awaitPrompt()
	for name, want := range map[string]string{"alternate_on": "0", "cursor_flag": "1", "mouse_button_flag": "0"} {
		if got := term.value(name); got != want {
			t.Errorf("%s is %s while the dashboard is suspended", name, got)
		}
	}
	term.command("stty -g > after; cmp before after && echo same settings")
	term.await("same settings")
	term.command("fg")
	term.await("2/2 ready", "NAME", "logs web", "help")
	term.awaitScreen("the mouse", func(string) bool { return term.value("mouse_button_flag") == "1" })
	term.keys("q")
	term.awaitScreen("the shell", func(string) bool { return term.value("alternate_on") == "0" })
	if got := term.value("mouse_button_flag"); got != "0" {
		t.Error("the mouse is not the terminal's again")
	}
	d.stop()
}

// TestNoDashboardOnADumbTerminal: one that only prints gets what can be printed.
func TestNoDashboardOnADumbTerminal(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	w.configure(web(w.port(), 1))
	d := w.start()
	d.awaitReady(1)
	term := w.newTerminal(150, 30)
	term.command("export TERM=dumb")
	term.start("dash", "-c", "cluster.toml")
	term.await("clusterd logs -f until ctrl-c", "1/1 ready", "NAME", "web/0", "ready after")
	w.must("restart", "web/0")
	term.await("restarting, as asked")
	if strings.Contains(term.colors(), "\x1b[?") {
		t.Error("it moves the cursor of a dumb terminal")
	}
	term.keys("C-c")
	term.awaitEnd(0)
	if r := w.run("dash"); r.code != 1 || !strings.Contains(r.stderr, "clusterd status and clusterd logs -f") {
		t.Errorf("without a terminal: exit code %d, %q", r.code, r.stderr)
	}
	d.stop()
}

// TestDashboardOutlastsAnUpgrade: whoever reads the log of a cluster whose daemon is
// replaced goes on reading where it was.
func TestDashboardOutlastsAnUpgrade(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	w.write("say.sh", "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.05; done\n")
	w.configure(app("job", "sleep"), "[apps.say]\ncommand = \"exec sh say.sh\"\n")
	d := w.start()
	d.awaitReady(2)
	term := w.newTerminal(100, 24)
	term.start("dash", "-c", "cluster.toml")
	term.await("2/2 ready")
	term.keys("G")
	term.await("logs say/0  FOLLOW", "│ line 30")
	term.keys("2", "k", "m")
	line := regexp.MustCompile(`│ line \d+`)
	before := line.FindAllString(term.await("PAUSED"), -1)
	w.must("upgrade")
	since := regexp.MustCompile(`PAUSED \+(\d+)`)
	var came string
	screen := term.awaitScreen("lines of after the upgrade", func(s string) bool {
		if m := since.FindStringSubmatch(s); m != nil {
			defer func() { came = m[1] }()
			return came != "" && came != m[1]
		}
		return false
	})
	if after := line.FindAllString(screen, -1); strings.Join(after, "\n") != strings.Join(before, "\n") {
		t.Errorf("the text moved under the reader:\n%s\nwas\n%s", after, before)
	}
	for _, want := range []string{">   say/0", "2/2 ready"} {
		if !strings.Contains(screen, want) {
			t.Errorf("no %q on the screen:\n%s", want, screen)
		}
	}
	term.keys("f")
	term.await("FOLLOW")
	term.keys("'")
	term.await("mark, ", "PAUSED")
	term.keys("q")
	term.awaitEnd(0)
	d.stop()
}
