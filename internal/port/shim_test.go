package port

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// shimmed starts a shim for a command and returns what AwaitShim does, and what
// the process prints until its end.
func shimmed(t *testing.T, s Shim, path string, argv, env []string, files ...*os.File) (out string, err error) {
	t.Helper()
	ours, theirs, err := ShimPair()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	cmd := exec.Command(ShimPath)
	cmd.Args = s.Args(path, argv)
	cmd.Env = append(os.Environ(), env...)
	cmd.ExtraFiles = append(slices.Clone(files), theirs)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd.Stdout, cmd.Stderr = w, w
	runtime.LockOSThread() // it dies with the thread that forks it
	defer runtime.UnlockOSThread()
	err = cmd.Start()
	w.Close()
	theirs.Close()
	if err != nil {
		t.Fatal(err)
	}
	l, err := AwaitShim(ours)
	if l != nil {
		served := make(chan error)
		go func() { served <- Adopt(1, s.Grip, nil, nil, Watch{}).Serve(l, nil) }()
		defer func() {
			if err := <-served; err != nil {
				t.Error(err)
			}
		}()
	}
	b, readErr := io.ReadAll(r)
	if waitErr := cmd.Wait(); waitErr != nil && err == nil {
		t.Errorf("the command ended with %v", waitErr)
	}
	if readErr != nil {
		t.Fatal(readErr)
	}
	return string(b), err
}

func (s Shim) String() string {
	return map[bool]string{true: fmt.Sprint("adopt ", s.Grip == Replace), false: "plain"}[s.Adopt]
}

// A command that cannot be executed is known as such, and why.
func TestShimExecErrors(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct {
		name, path string
		want       syscall.Errno
	}{
		{"missing", filepath.Join(dir, "missing"), unix.ENOENT},
		{"a folder", dir, unix.EACCES},
		{"not executable", file("plain", "x", 0o644), unix.EACCES},
		{"no program", file("text", "x", 0o755), unix.ENOEXEC},
		{"a script without its interpreter", file("script", "#!/nowhere/sh\n", 0o755), unix.ENOENT},
		{"through a file", file("other", "x", 0o755) + "/x", unix.ENOTDIR},
	} {
		for _, s := range []Shim{{}, {Adopt: true}, {Adopt: true, Grip: Replace}} {
			t.Run(fmt.Sprint(c.name, " ", s.String()), func(t *testing.T) {
				closesAll(t)
				out, err := shimmed(t, s, c.path, []string{"x"}, nil)
				if err != c.want || out != "" {
					t.Errorf("got %v and %q, want %v", err, out, c.want)
				}
			})
		}
	}
}

// The process is given its sockets by systemd's protocol, and nothing else of it.
func TestShimInherits(t *testing.T) {
	closesAll(t)
	var files []*os.File
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		file, err := l.(*net.TCPListener).File()
		l.Close()
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		files = append(files, file)
	}
	script := `echo "$LISTEN_PID $LISTEN_FDS $LISTEN_FDNAMES $LISTEN_OTHER $KEPT"; test "$LISTEN_PID" = $$ && echo mine; ls -l /proc/self/fd | grep -c socket:; exec ls /proc/$$/fd`
	out, err := shimmed(t, Shim{Inherited: []string{"web", "admin"}}, "/bin/sh", []string{"sh", "-c", script},
		[]string{"LISTEN_PID=1", "LISTEN_FDS=7", "LISTEN_FDNAMES=old", "LISTEN_OTHER=older", "KEPT=kept"}, files...)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out, "\n")
	if !strings.HasSuffix(lines[0], " 2 web:admin  kept") || lines[1] != "mine" || lines[2] != "2" {
		t.Errorf("the process has %q", out)
	}
}

// Without sockets to be given, the variables are the command's own, and the shim
// leaves nothing open.
func TestShimLeavesNoTrace(t *testing.T) {
	for _, s := range []Shim{{}, {Adopt: true}, {Adopt: true, Grip: Replace}} {
		t.Run(s.String(), func(t *testing.T) {
			closesAll(t)
			out, err := shimmed(t, s, "/bin/sh", []string{"sh", "-c", "echo $LISTEN_FDS; readlink /proc/$$/fd/*; true"}, []string{"LISTEN_FDS=7"})
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(out, "7\n") || strings.Contains(out, "socket:") || strings.Contains(out, "seccomp") {
				t.Errorf("the process has %q", out)
			}
		})
	}
}

// Of all the packages of the program, a shim waits for hardly more than the runtime
// and syscall to be initialised: the others take many times as long.
func TestShimComesFirst(t *testing.T) {
	out, err := shimmed(t, Shim{}, "/bin/true", []string{"true"}, []string{"GODEBUG=inittrace=1"})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out, "init syscall @") {
		t.Fatalf("it is not told what is initialised: %q", out)
	}
	for _, late := range []string{"time", "os", "unicode", "reflect", "net", "fmt", "golang.org/x/sys/unix", "github.com/cilium/ebpf"} {
		if strings.Contains(out, "init "+late+" @") {
			t.Errorf("it waits for %s", late)
		}
	}
}

// What a shim says is told apart, whatever it says.
func TestAwaitShim(t *testing.T) {
	for _, c := range []struct {
		name, message string
		want          string
	}{
		{"nothing", "", ""},
		{"refused", "R\x01\x00\x00\x00it may not", "it may not"},
		{"not executed", "X\x02\x00\x00\x00whatever", unix.ENOENT.Error()},
		{"a listener without one", "L", `the shim said "L"`},
		{"cut short", "X\x02", `the shim said "X\x02"`},
		{"gibberish", "hello", `the shim said "hello"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			closesAll(t)
			ours, theirs, err := ShimPair()
			if err != nil {
				t.Fatal(err)
			}
			defer ours.Close()
			if c.message != "" {
				if _, err := theirs.WriteString(c.message); err != nil {
					t.Fatal(err)
				}
			}
			theirs.Close()
			l, err := AwaitShim(ours)
			if l != nil || c.want == "" && err != nil || c.want != "" && (err == nil || err.Error() != c.want) {
				t.Errorf("got %v, %v, want %s", l, err, c.want)
			}
			if _, refused := errors.AsType[*RefusedError](err); refused != (c.name == "refused") {
				t.Errorf("%v is a refusal: %v", err, refused)
			}
		})
	}
}
