package e2e

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
)

// What TestMain has prepared for all tests, where every user may execute it.
var (
	clusterdBinary string
	childBinary    string // this test binary, see child
)

// raceDetector tells whether clusterd is built with it.
var raceDetector = os.Getenv("CLUSTERD_E2E_RACE") == "1"

func TestMain(m *testing.M) {
	if mode := os.Getenv(childVariable); mode != "" {
		os.Exit(child(mode))
	}
	if signal.Ignored(syscall.SIGHUP) { // as under nohup, which clusterd would inherit
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	}
	code, err := suite(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func suite(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "clusterd-e2e-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	// Go's own build folder is closed to the unprivileged user of some tests.
	if err := os.Chmod(dir, 0o755); err != nil {
		return 0, err
	}
	clusterdBinary = filepath.Join(dir, "clusterd")
	if err := build(clusterdBinary); err != nil {
		return 0, err
	}
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	childBinary = filepath.Join(dir, "e2e-child")
	if err := copyFile(childBinary, self); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

func build(target string) error {
	args := []string{"build", "-buildvcs=false", "-o", target}
	if raceDetector {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, "clusterd/cmd/clusterd")...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build clusterd: %w", err)
	}
	return os.Chmod(target, 0o755)
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close(), os.Chmod(to, 0o755))
}

// missing skips a test for lack of a tool or a privilege; where the tests run
// for a verdict, in CI, it fails it.
func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("%s, and this is CI", what)
	}
	t.Skipf("SKIPPED: %s", what)
}
