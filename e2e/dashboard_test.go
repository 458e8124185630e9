package e2e

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// dashboard runs a cluster behind its dashboard: three web servers and a job.
func dashboard(t *testing.T, columns, rows int, env ...string) (*workspace, *terminal, int) {
	w := newWorkspace(t)
	w.env = env
	port := w.port()
	w.configure(web(port, 3), app("job", "sleep"))
	term := w.newTerminal(columns, rows)
	term.start("-c", "cluster.toml")
	term.await("4/4 ready", "web/2", "job/0")
	return w, term, port
}

// column reads a figure of an instance's line: what ends where the title does.
func column(t *testing.T, screen, instance, title string) string {
	t.Helper()
	heading := lineWith(t, screen, " NAME ")
	end := strings.Index(heading, " "+title+" ")
	if end < 0 {
		t.Fatalf("no column %s in %q", title, heading)
	}
	line := []rune(lineWith(t, screen, " "+instance+" "))
	end += 1 + len(title)
	if end > len(line) {
		t.Fatalf("nothing in column %s of %q", title, string(line))
	}
	fields := strings.Fields(string(line[:end]))
	return fields[len(fields)-1]
}

func TestDashboardCountsRequests(t *testing.T) {
	t.Parallel()
	_, term, port := dashboard(t, 80, 24)
	const n = 60
	served := servedBy(t, port, n)
	term.awaitScreen("every request", func(screen string) bool {
		for id, want := range served {
			if column(t, screen, id, "REQ") != strconv.Itoa(want) {
				return false
			}
		}
		return strings.Contains(lineWith(t, screen, "▾ web"), fmt.Sprintf(" %d ", n))
	})
	term.keys("C-c")
	term.awaitEnd(0)
}

func TestDashboardAtEverySize(t *testing.T) {
	t.Parallel()
	_, term, _ := dashboard(t, 80, 24)
	term.keys("j")
	for _, size := range []struct {
		w, h  int
		shows []string
	}{
		{80, 24, []string{"UP", "P99", "5XX", "SHARE", "listening"}},
		{120, 40, []string{"CPU%", "MEM", "CONN", "P50", "listening"}},
		{200, 60, []string{"CPU%", "process ", "counted by", "connections", "listening"}},
		{60, 12, []string{"REQ/S"}},
		{59, 12, nil},
		{60, 11, nil},
		{149, 37, []string{"COUNT", "listening"}},
		{80, 24, []string{"UP", "P99", "5XX", "SHARE", "listening"}},
	} {
		term.resize(size.w, size.h)
		if size.shows == nil {
			term.await(fmt.Sprintf("too small: %dx%d, clusterd needs 60x12", size.w, size.h))
			continue
		}
		wanted := append(size.shows, "STATE", ">   web/0", "logs web/0")
		term.awaitScreen(fmt.Sprintf("%dx%d", size.w, size.h), func(screen string) bool {
			for _, text := range wanted {
				if !strings.Contains(screen, text) {
					return false
				}
			}
			lines := strings.Split(strings.TrimRight(screen, "\n"), "\n")
			return len(lines) == size.h && strings.Contains(lines[0], "4/4 ready") && strings.Contains(lines[0], " req/s") &&
				strings.Contains(lines[size.h-1], "? help") && len([]rune(strings.TrimRight(lines[0], " "))) >= size.w-2
		})
	}
	term.keys("C-c")
	term.awaitEnd(0)
}

func TestDashboardActs(t *testing.T) {
	t.Parallel()
	w, term, _ := dashboard(t, 100, 30)
	before := w.status()
	pid := *before.instance("web/1").PID

	term.typed("jj") // in one piece
	term.await(">   web/1")
	term.keys("r")
	term.await("web/1 restarted in", "exited with code 0", "restarting, as asked")
	after := w.status()
	if got := *after.instance("web/1").PID; got == pid {
		t.Errorf("web/1 still has pid %d after a restart", pid)
	}
	for _, id := range []string{"web/0", "web/2", "job/0"} {
		if *before.instance(id).PID != *after.instance(id).PID {
			t.Errorf("restarting web/1 restarted %s", id)
		}
	}

	term.keys("x")
	term.await("web/1 stopped in", "○ stopped", "3/4 ready")
	term.keys("x")
	term.await("cannot stop web/1: already stopped")
	term.keys("s")
	term.await("web/1 started in", "4/4 ready")

	term.keys("g", "x")
	term.await("Stop web?", "3 instances", "[ Cancel ]")
	term.keys("Enter")
	term.awaitScreen("no question", func(s string) bool { return !strings.Contains(s, "Stop web?") })
	if s := w.status(); s.app("web").Ready != 3 {
		t.Errorf("Cancel stopped something: %+v", s.app("web"))
	}
	term.keys("x")
	term.await("Stop web?")
	term.keys("y")
	term.await("web stopped in", "1/4 ready")

	term.keys("?")
	term.await("Act on the selected", "stop all and quit")
	term.keys("Escape")
	term.keys("C-c")
	term.awaitEnd(0)
}

// TestDashboardLeavesTheTerminalAsItWas also sees that nothing else is left.
func TestDashboardLeavesTheTerminalAsItWas(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(*workspace, *terminal){
		"q": func(_ *workspace, term *terminal) {
			term.keys("q")
			term.await("Stop e2e and quit?", "2 apps, 4 instances")
			term.keys("y")
		},
		"ctrl-c": func(_ *workspace, term *terminal) { term.keys("C-c") },
		"SIGTERM": func(w *workspace, _ *terminal) {
			if err := syscall.Kill(w.status().PID, syscall.SIGTERM); err != nil {
				t.Error(err)
			}
		},
		"down": func(w *workspace, _ *terminal) { w.must("down") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorkspace(t)
			w.configure(web(w.port(), 3), app("job", "sleep"))
			term := w.newTerminal(80, 24)
			term.command("stty -g > before")
			term.start("-c", "cluster.toml")
			term.await("4/4 ready")
			if term.value("alternate_on") != "1" {
				t.Error("the dashboard is not on the alternate screen")
			}
			leave(w, term)
			term.awaitEnd(0)
			if on := term.value("alternate_on"); on != "0" {
				t.Errorf("alternate_on is %s", on)
			}
			if shown := term.value("cursor_flag"); shown != "1" {
				t.Errorf("cursor_flag is %s", shown)
			}
			term.command("stty -g > after; cmp before after && echo same settings")
			term.await("\nsame settings")
			w.awaitNobody()
		})
	}
}

func TestTerminalGoesAway(t *testing.T) {
	t.Parallel()
	w, term, _ := dashboard(t, 80, 24)
	term.close()
	w.awaitNobody()
}

// TestSecondInterrupt: one instance ignores SIGTERM, and the user has no
// patience.
func TestSecondInterruptBehindTheDashboard(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	w.configure(app("deaf", "ignoreterm", `stop_timeout = "10m"`))
	term := w.newTerminal(80, 24)
	term.start("-c", "cluster.toml")
	term.await("1/1 ready", "ignoring signals")
	term.keys("C-c")
	term.await("stopping")
	if len(w.marked()) == 0 {
		t.Fatal("it has ended, although it ignores SIGTERM")
	}
	term.keys("C-c")
	term.await("killing everything that still runs")
	term.awaitEnd(0)
	w.awaitNobody()
}

func TestAttachedDashboard(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	w.configure(web(w.port(), 2))
	d := w.start()
	d.awaitReady(2)
	one, two := w.newTerminal(80, 24), w.newTerminal(120, 40)
	for _, term := range []*terminal{one, two} {
		term.start("dash", "-c", "cluster.toml")
		term.await("2/2 ready", "q leave")
	}
	one.keys("j", "r")
	one.await("web/0 restarted in")
	two.keys("j")
	two.await("restarting, as asked")
	one.keys("q")
	one.awaitEnd(0)
	two.keys("C-c")
	two.awaitEnd(0)
	if s := w.status(); s.app("web").Ready != 2 {
		t.Errorf("leaving dashboards has changed the cluster: %+v", s)
	}

	one.command("clear")
	one.start("dash", "-c", "cluster.toml")
	one.await("2/2 ready")
	d.signal(syscall.SIGKILL)
	screen := one.await("no answer for")
	lineWith(t, screen, "web/1") // the last that was known
	one.keys("j", "x")
	one.await("the cluster does not answer")

	again := w.start()
	again.awaitReady(2)
	one.awaitScreen("the new cluster", func(s string) bool {
		return strings.Contains(s, "2/2 ready") && !strings.Contains(s, "no answer")
	})
	one.keys("Q")
	one.await("Stop e2e and quit?")
	one.keys("y")
	one.awaitEnd(0)
	if code := again.wait(); code != 0 {
		t.Errorf("the cluster ended with exit code %d", code)
	}
}

// TestFloodDoesNotHoldUpTheDashboard: an instance that writes as fast as it can.
func TestFloodDoesNotHoldUpTheDashboard(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	w.configure(app("job", "sleep", "instances = 3"), "[apps.flood]\ncommand = [\"yes\", \"water\"]\n")
	term := w.newTerminal(80, 24)
	term.start("-c", "cluster.toml")
	term.await("4/4 ready")
	term.keys("G")
	term.await("logs flood/0", "│ water")
	term.keys("Tab", "k")
	paused := term.awaitScreen("lines that come while paused", func(s string) bool {
		return regexp.MustCompile(`PAUSED \+[\d,]+`).MatchString(s)
	})
	if !strings.Contains(paused, "│ water") {
		t.Errorf("the log is empty while it is paused:\n%s", paused)
	}
	term.keys("Tab", "g")
	term.typed("jjj")
	term.await(">   job/2")
	term.keys("r")
	term.await("job/2 restarted in")
	term.keys("C-c")
	term.awaitEnd(0)
}

func TestPasteIsNoCommand(t *testing.T) {
	t.Parallel()
	w, term, _ := dashboard(t, 80, 24)
	term.must("set-buffer", "jxyXyqy")
	term.must("paste-buffer", "-p")
	term.await("pasted text is not taken for keys", ">▾ web")
	if s := w.status(); s.app("web").Ready != 3 {
		t.Errorf("a paste has done something: %+v", s)
	}
	term.keys("C-c")
	term.awaitEnd(0)
}

func TestDashboardColors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		env  []string
		sgr  bool
		more bool // than sixteen colours
		utf8 bool
	}{
		"sixteen colours": {nil, true, false, true},
		"256 colours":     {[]string{"CLUSTERD_THEME=dark"}, true, true, true},
		"256 on sixteen":  {[]string{"CLUSTERD_THEME=dark", "TERM=screen"}, true, false, true},
		"NO_COLOR":        {[]string{"NO_COLOR=1", "CLUSTERD_THEME=dark"}, false, false, true},
		"ASCII":           {[]string{"LC_ALL=C"}, true, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, term, _ := dashboard(t, 80, 24, append([]string{"NO_COLOR="}, c.env...)...)
			screen := term.colors()
			if got := strings.Contains(screen, "\x1b["); got != c.sgr {
				t.Errorf("escape sequences: %t, want %t:\n%q", got, c.sgr, screen)
			}
			if more := regexp.MustCompile(`\x1b\[[\d;]*[34]8[;:]`).FindString(screen); (more != "") != c.more {
				t.Errorf("more than the terminal's own colours: %q, want some: %t", more, c.more)
			}
			if got := strings.ContainsFunc(screen, func(r rune) bool { return r > '~' }); got != c.utf8 {
				t.Errorf("characters beyond ASCII: %t, want %t:\n%s", got, c.utf8, screen)
			}
			term.keys("C-c")
			term.awaitEnd(0)
		})
	}
}

// TestNoDashboardForAClusterThatCannotStart: the sentence has to stay on the
// screen.
func TestNoDashboardForAClusterThatCannotStart(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	port := w.port()
	w.configure(web(port, 1))
	d := w.start()
	d.awaitReady(1)

	other := newWorkspace(t)
	other.configure(web(port, 1))
	term := other.newTerminal(120, 24)
	term.start("-c", "cluster.toml")
	screen := term.awaitEnd(1)
	if want := fmt.Sprintf("port %d is already in use: held by pid %d", port, d.pid()); !strings.Contains(screen, want) {
		t.Errorf("no %q on the screen:\n%s", want, screen)
	}
	term.command("clear")
	term.w = w // the other's folder
	term.start("-c", "cluster.toml")
	screen = term.awaitEnd(1)
	if !strings.Contains(screen, "clusterd dash -c cluster.toml") {
		t.Errorf("a second clusterd does not name the dashboard of the first:\n%s", screen)
	}
	d.stop()
}
