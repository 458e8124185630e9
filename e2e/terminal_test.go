package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// terminal is a shell in a real terminal, which tmux emulates.
type terminal struct {
	w      *workspace
	tmux   string
	socket string
	starts int
}

// newTerminal opens a terminal of the workspace with a shell in it.
func (w *workspace) newTerminal(columns, rows int) *terminal {
	w.t.Helper()
	path, err := exec.LookPath("tmux")
	if err != nil {
		missing(w.t, "tmux is not installed")
	}
	term := &terminal{w: w, tmux: path, socket: filepath.Join(filepath.Dir(w.dir), fmt.Sprintf("tmux%d", len(w.terminals)))}
	w.terminals = append(w.terminals, term)
	term.must("-f", "/dev/null", "new-session", "-d", "-c", w.dir, "-x", fmt.Sprint(columns), "-y", fmt.Sprint(rows),
		"env", "PS1=prompt> ", "ENV=", "LANG=C.UTF-8", "TERM=tmux-256color", "sh")
	w.t.Cleanup(func() {
		if w.t.Failed() {
			if screen, err := term.run("capture-pane", "-p"); err == nil {
				w.t.Log("the terminal shows:\n" + screen)
			}
		}
		term.close()
	})
	return term
}

// awaitPrompt waits until the shell wants to hear something. What is typed before it
// does may be thrown away by it.
func (term *terminal) awaitPrompt() {
	term.w.t.Helper()
	term.awaitScreen("a prompt", func(screen string) bool { return strings.HasSuffix(strings.TrimSpace(screen), "prompt>") })
}

// command gives the shell a line.
func (term *terminal) command(line string) {
	term.w.t.Helper()
	term.awaitPrompt()
	term.keys(line, "Enter")
}

// close closes the window: whatever runs in it gets a SIGHUP.
func (term *terminal) close() { _, _ = term.run("kill-server") }

func (term *terminal) run(args ...string) (string, error) {
	cmd := exec.Command(term.tmux, append([]string{"-S", term.socket}, args...)...)
	cmd.Env = append(os.Environ(), "TMUX=")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (term *terminal) must(args ...string) string {
	term.w.t.Helper()
	out, err := term.run(args...)
	if err != nil {
		term.w.t.Fatalf("tmux %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return out
}

// start runs clusterd in the terminal; the shell says how it ended.
func (term *terminal) start(args ...string) {
	term.w.t.Helper()
	term.starts++
	// In a file of its own, since the line is longer than the screen.
	file, err := os.CreateTemp(filepath.Dir(term.socket), "start")
	if err != nil {
		term.w.t.Fatal(err)
	}
	defer file.Close()
	if _, err := fmt.Fprintln(file, term.w.shell(args...)); err != nil {
		term.w.t.Fatal(err)
	}
	term.command(fmt.Sprintf("sh %s; echo end %d: $?", file.Name(), term.starts))
}

// keys presses keys by tmux's names for them; what is no name is typed.
func (term *terminal) keys(keys ...string) {
	term.w.t.Helper()
	term.must(append([]string{"send-keys"}, keys...)...)
}

// typed sends text in one piece, as held keys come over a slow line.
func (term *terminal) typed(text string) {
	term.w.t.Helper()
	term.must("send-keys", "-l", text)
}

func (term *terminal) resize(columns, rows int) {
	term.w.t.Helper()
	term.must("resize-window", "-x", fmt.Sprint(columns), "-y", fmt.Sprint(rows))
}

func (term *terminal) screen() string {
	term.w.t.Helper()
	return term.must("capture-pane", "-p")
}

// colors is screen with its escape sequences.
func (term *terminal) colors() string {
	term.w.t.Helper()
	return term.must("capture-pane", "-p", "-e")
}

// value is one of tmux's own variables, such as cursor_flag.
func (term *terminal) value(name string) string {
	term.w.t.Helper()
	return strings.TrimSpace(term.must("display-message", "-p", "#{"+name+"}"))
}

// await waits until all texts are on the screen, and returns it.
func (term *terminal) await(texts ...string) string {
	term.w.t.Helper()
	return term.awaitScreen(fmt.Sprintf("%q", texts), func(screen string) bool {
		for _, text := range texts {
			if !strings.Contains(screen, text) {
				return false
			}
		}
		return true
	})
}

// awaitScreen waits until the screen is as ok wants it, and returns it.
func (term *terminal) awaitScreen(what string, ok func(string) bool) string {
	term.w.t.Helper()
	end := time.Now().Add(deadline)
	for {
		screen := term.screen()
		if ok(screen) {
			return screen
		}
		if time.Now().After(end) {
			term.w.t.Fatalf("waited in vain for %s on the screen:\n%s", what, screen)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// awaitEnd waits until clusterd has ended and the shell has the terminal again.
func (term *terminal) awaitEnd(code int) string {
	term.w.t.Helper()
	return term.await(fmt.Sprintf("end %d: %d", term.starts, code))
}

// awaitNobody waits until nothing with the workspace's mark is alive.
func (w *workspace) awaitNobody() {
	w.t.Helper()
	for end := time.Now().Add(deadline); len(w.marked()) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("still alive: %v", w.marked())
		}
	}
}

// lineWith is the one line of a screen that has text in it.
func lineWith(t testing.TB, screen, text string) string {
	t.Helper()
	for line := range strings.Lines(screen) {
		if strings.Contains(line, text) {
			return line
		}
	}
	t.Fatalf("no line with %q on the screen:\n%s", text, screen)
	return ""
}
