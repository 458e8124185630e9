package proc

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"golang.org/x/sys/unix"

	"clusterd/internal/config"
)

func TestStartable(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("run", 0o755)
	write("text", 0o644)
	for _, sub := range []string{"folder", "bin"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write("bin/tool", 0o755)
	write("bin/data", 0o644)

	argv := func(args ...string) config.Command { return config.Command{Argv: args} }
	for _, x := range []struct {
		name    string
		command config.Command
		cwd     string // below dir
		path    string // of the app; "" is that of the environment, /nowhere
		want    string // what the error says, with dir as DIR; "" is none
	}{
		{name: "absolute", command: argv(dir + "/run")},
		{name: "relative to cwd", command: argv("./run", "x")},
		{name: "relative to another cwd", command: argv("./tool"), cwd: "bin"},
		{name: "in PATH", command: argv("tool"), path: "/nowhere:" + dir + "/bin"},
		{name: "in a relative PATH", command: argv("tool"), path: "bin"},
		{name: "a line for the shell", command: config.Command{Line: "no-such-thing --at-all", Shell: "/bin/sh"}},

		{name: "not in PATH", command: argv("tool"), want: `command "tool": not found in PATH (/nowhere)`},
		{name: "not in the app's PATH", command: argv("sh"), path: "/nowhere:/no", want: `command "sh": not found in PATH (/nowhere:/no)`},
		{name: "not executable in PATH", command: argv("data"), path: dir + "/bin", want: `command "data": not found in PATH (DIR/bin)`},
		{name: "a folder in PATH", command: argv("folder"), path: dir, want: `command "folder": not found in PATH (DIR)`},
		{name: "missing", command: argv("./tool"), want: `command "DIR/tool": no such file`},
		{name: "no program", command: argv("./text"), want: `command "DIR/text": not executable, or in a folder that may not be entered (chmod +x?)`},
		{name: "a folder", command: argv("./folder"), want: `command "DIR/folder": is a directory`},
		{name: "below a file", command: argv("./text/run"), want: `command "DIR/text/run": not a directory`},
		{name: "no shell", command: config.Command{Line: "true", Shell: "/bin/no-such-shell"}, want: `command "/bin/no-such-shell": no such file`},
		{name: "no cwd", command: argv("/bin/sh"), cwd: "gone", want: "working directory: stat DIR/gone: no such file or directory"},
		{name: "cwd is a file", command: argv("/bin/sh"), cwd: "text", want: "working directory: DIR/text is not a directory"},
	} {
		t.Run(x.name, func(t *testing.T) {
			a := config.App{Command: x.command, Cwd: filepath.Join(dir, x.cwd)}
			if x.path != "" {
				a.Env = map[string]string{"PATH": x.path}
			}
			var got string
			if err := startable(a, []string{"HOME=/", "PATH=/nowhere"}); err != nil {
				got = strings.ReplaceAll(err.Error(), dir, "DIR")
			}
			if got != x.want {
				t.Errorf("%q, want %q", got, x.want)
			}
		})
	}
}

// untouchable is a way that must not be taken.
type untouchable struct {
	noPort
	t *testing.T
}

func (w untouchable) open() error {
	w.t.Error("a port is taken though an app cannot be started")
	return nil
}

// Everything that is wrong is said at once, and nothing is started.
func TestPreflightStartsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good, noProgram, noDir := worker("good", 2), worker("program", 1), worker("dir", 1)
		noProgram.Command.Argv = []string{"no-such-program"}
		noProgram.Env = map[string]string{"PATH": "/bin"}
		noDir.Cwd = "/no/such/folder"
		// These are not to be started, so nothing needs to be right.
		later, none := noDir, noDir
		later.Name, later.Autostart = "later", false
		none.Name, none.Instances = "none", 0

		f := newFake(t, nil, good, noProgram, noDir, later, none)
		for _, a := range f.apps {
			a.way.way = untouchable{t: t}
		}
		f.run(false)
		err := <-f.result
		want := `start program: command "no-such-program": not found in PATH (/bin)` + "\n" +
			"start dir: working directory: stat /no/such/folder: no such file or directory"
		if err == nil || err.Error() != want {
			t.Errorf("Run says:\n%v\nwant:\n%s", err, want)
		}
		if _, ok := errors.AsType[*CommandError](err); !ok {
			t.Error("no *CommandError")
		}
		if n := len(f.os.started()); n != 0 {
			t.Errorf("%d processes were started", n)
		}
		select {
		case <-f.Started():
			t.Error("it counts as started")
		default:
		}
	})
}

// Only what is wrong with a command itself is its mistake; the rest may pass.
func TestExecErrorsThatPass(t *testing.T) {
	for _, errno := range []unix.Errno{unix.ETXTBSY, unix.EAGAIN, unix.ENOMEM, unix.EMFILE, unix.EIO} {
		err := execError("/bin/sh", "/", errno)
		if want := "execute /bin/sh: " + errno.Error(); err.Error() != want || !errors.Is(err, errno) {
			t.Errorf("%v, want %s", err, want)
		}
		if _, mistake := errors.AsType[*CommandError](err); mistake {
			t.Errorf("%v counts as a mistake", err)
		}
	}
}
