package tui

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// childVariable makes the test binary a program that shows a dashboard on its
// terminal and says how it ended. Its value says when the context ends.
const childVariable = "CLUSTERD_TEST_DASHBOARD"

func childRun() bool {
	until, ok := os.LookupEnv(childVariable)
	if !ok {
		return false
	}
	ctx := context.Background()
	if d, err := time.ParseDuration(until); err == nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	outcome, err := Run(ctx, withLogs(mixed()), Options{Env: os.Getenv})
	fmt.Fprintf(os.Stderr, "outcome %d, error %v\n", outcome, err)
	return true
}

// pty is a terminal, and the program on it.
type pty struct {
	t       *testing.T
	master  *os.File
	slave   *os.File
	cmd     *exec.Cmd
	stderr  bytes.Buffer
	mu      sync.Mutex
	output  bytes.Buffer
	changed chan struct{}
}

// openPty makes a terminal of 80 by 24 cells.
func openPty(t *testing.T) *pty {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	// File.Fd would make its reads block, also when it is closed.
	raw, err := master.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	control := func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err != nil {
			return
		}
		if n, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN); err != nil {
			return
		}
		err = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80})
	}
	if e := raw.Control(control); e != nil || err != nil {
		t.Fatal(e, err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	p := &pty{t: t, master: master, slave: slave, changed: make(chan struct{}, 1)}
	t.Cleanup(func() {
		slave.Close()
		master.Close()
	})
	return p
}

// run starts the dashboard, and reads what it writes.
func (p *pty) run(until string) {
	p.t.Helper()
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append(os.Environ(), childVariable+"="+until, "TERM=xterm-256color", "LANG=C.UTF-8", "NO_COLOR=")
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = p.slave, p.slave, &p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { p.cmd.Process.Kill() })
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 4096)
		for {
			n, err := p.master.Read(buf)
			p.mu.Lock()
			p.output.Write(buf[:n])
			p.mu.Unlock()
			select {
			case p.changed <- struct{}{}:
			default:
			}
			if err != nil {
				return
			}
		}
	}()
	p.t.Cleanup(func() { p.slave.Close(); <-done })
}

func (p *pty) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.String()
}

// await waits until text has been written.
func (p *pty) await(text string) {
	p.t.Helper()
	deadline := time.After(90 * time.Second)
	for !strings.Contains(p.text(), text) {
		select {
		case <-p.changed:
		case <-deadline:
			p.t.Fatalf("no %q in %q", text, p.text())
		}
	}
}

func (p *pty) typed(keys string) {
	if _, err := io.WriteString(p.master, keys); err != nil {
		p.t.Fatal(err)
	}
}

// ended waits for the program's end and tells what it said.
func (p *pty) ended() string {
	p.t.Helper()
	timer := time.AfterFunc(30*time.Second, func() { p.cmd.Process.Kill() })
	defer timer.Stop()
	if err := p.cmd.Wait(); err != nil {
		p.t.Fatalf("%v; it said %q", err, p.stderr.String())
	}
	return p.stderr.String()
}

func (p *pty) settings() unix.Termios {
	s, err := unix.IoctlGetTermios(int(p.slave.Fd()), unix.TCGETS)
	if err != nil {
		p.t.Fatal(err)
	}
	return *s
}

func TestTerminalIsLeftAsItWas(t *testing.T) {
	for _, c := range []struct{ name, until, keys, want string }{
		{"q, answered", "", "qy", "outcome 1, error <nil>\n"},
		{"ctrl-c", "", "\x03", "outcome 1, error <nil>\n"},
		{"context", "1s", "", "outcome 0, error <nil>\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := openPty(t)
			before := p.settings()
			p.run(c.until)
			p.await("api/2")
			p.typed(c.keys)
			if got := p.ended(); got != c.want {
				t.Errorf("it said %q, want %q", got, c.want)
			}
			for _, pair := range [][2]string{
				{"\x1b[?1049h", "\x1b[?1049l"}, // the alternate screen
				{"\x1b[?25l", "\x1b[?25h"},     // the cursor
				{"\x1b[?2004h", "\x1b[?2004l"}, // bracketed paste
			} {
				p.await(pair[1])
				out := p.text()
				if on, off := strings.LastIndex(out, pair[0]), strings.LastIndex(out, pair[1]); on > off {
					t.Errorf("%q is not undone", pair[0])
				}
			}
			if after := p.settings(); after != before {
				t.Errorf("the terminal's settings are %+v, were %+v", after, before)
			}
			// Questions to the terminal, whose answers would be read as keys.
			for _, q := range []string{"\x1b]11;", "\x1b]10;", "\x1b[6n", "\x1b[c", "\x1b[>"} {
				if strings.Contains(p.text(), q) {
					t.Errorf("it asks the terminal %q", q)
				}
			}
		})
	}
}

// TestStuckTerminal stops the terminal's output, as ctrl-s does: the dashboard
// must end all the same when it is told to.
func TestStuckTerminal(t *testing.T) {
	p := openPty(t)
	if err := unix.IoctlSetInt(int(p.slave.Fd()), unix.TCXONC, unix.TCOOFF); err != nil {
		t.Fatal(err)
	}
	p.run("200ms")
	if got := p.ended(); !strings.Contains(got, "the terminal takes no output") {
		t.Errorf("it said %q", got)
	}
}

// TestTerminalGoesAway hangs up, as a closed window does.
func TestTerminalGoesAway(t *testing.T) {
	p := openPty(t)
	p.run("")
	p.await("api/2")
	p.master.Close()
	timer := time.AfterFunc(30*time.Second, func() { p.cmd.Process.Kill() })
	defer timer.Stop()
	err := p.cmd.Wait() // SIGHUP ends it, or the error of its terminal
	if !timer.Stop() {
		t.Error("it goes on without its terminal")
	}
	if err == nil && !strings.Contains(p.stderr.String(), "error") {
		t.Errorf("it ended well, and said %q", p.stderr.String())
	}
}
