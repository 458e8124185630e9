package setup

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// tell makes this test binary say who it is, and by which signal it dies with its
// parent.
const tell = "CLUSTERD_TEST_TELL"

func init() {
	if os.Getenv(tell) != "" {
		runtime.LockOSThread()
	}
}

func TestMain(m *testing.M) {
	if Ordered() {
		Run()
	}
	if os.Getenv(tell) != "" {
		var sig int32
		if err := unix.Prctl(unix.PR_GET_PDEATHSIG, uintptr(unsafe.Pointer(&sig)), 0, 0, 0); err != nil {
			panic(err)
		}
		fmt.Println(os.Geteuid(), syscall.Signal(sig))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// run has a shell do a script as ordered, and returns what it prints.
func run(t *testing.T, o Order, path, script string) (string, error) {
	t.Helper()
	cmd := exec.Command(Path)
	cmd.Args = o.Args(path, []string{"sh", "-c", script})
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread() // it dies with the thread that forks it
	defer runtime.UnlockOSThread()
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func TestLimitAndMask(t *testing.T) {
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		order        Order
		script, want string
	}{
		{Order{Nofile: 99, Umask: new(0o27)}, "ulimit -Sn; ulimit -Hn; umask", "99\n99\n0027"},
		{Order{Umask: new(0)}, "ulimit -Hn; umask", strconv.FormatUint(files.Max, 10) + "\n0000"},
	} {
		if out, err := run(t, tt.order, "/bin/sh", tt.script); err != nil || out != tt.want {
			t.Errorf("%+v: %v: %q, want %q", tt.order, err, out, tt.want)
		}
	}
}

func TestUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	const script = `id -u; id -g; id -G; grep ^CapEff /proc/self/status`
	out, err := run(t, Order{User: &User{UID: 65534, GID: 65533, Groups: []int{65533, 7}}}, "/bin/sh", script)
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if want := "65534\n65533\n65533 7\nCapEff:\t0000000000000000"; out != want {
		t.Errorf("%q, want %q", out, want)
	}
}

// Another user has the parent-death signal all the same.
func TestParentDeathSignal(t *testing.T) {
	o, want := Order{Umask: new(0)}, fmt.Sprintln(os.Geteuid(), syscall.SIGKILL)
	if os.Geteuid() == 0 {
		o.User = &User{UID: 65534, GID: 65534}
		want = fmt.Sprintln(65534, syscall.SIGKILL)
	}
	t.Setenv(tell, "1")
	// By a link to this very file: its folder may be closed to others.
	out, err := run(t, o, "/proc/self/exe", "")
	if err != nil || out != strings.TrimSpace(want) {
		t.Errorf("%v: %s, want %s", err, out, want)
	}
}

func TestFailure(t *testing.T) {
	for _, tt := range []struct {
		order      Order
		path, want string
	}{
		{Order{Umask: new(0)}, "/none", "clusterd: cannot start: execute /none: no such file or directory"},
		{Order{Nofile: 1 << 40}, "/bin/sh", "clusterd: cannot start: limit open files to 1099511627776: operation not permitted"},
	} {
		out, err := run(t, tt.order, tt.path, "")
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != failed || out != tt.want {
			t.Errorf("%v: %s, want %s", err, out, tt.want)
		}
	}
}
