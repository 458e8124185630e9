package port

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// probeVariable makes this test binary the child of a test: it probes the port
// that the variable names, and says what it learns.
const probeVariable = "CLUSTERD_TEST_PROBE"

func TestMain(m *testing.M) {
	if job := os.Getenv(serverVariable); job != "" {
		os.Exit(beServer(strings.Fields(job)))
	}
	if port, err := strconv.Atoi(os.Getenv(probeVariable)); err == nil {
		if err := Probe("127.0.0.1", port); err != nil {
			os.Stdout.WriteString(err.Error())
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// freePort is a port that was free on every address a moment ago, from the same
// range as private ports, where no outgoing connection gets in the way.
func freePort(t *testing.T) int {
	t.Helper()
	port, err := NewPrivate(nil).Take()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// descriptors is how many files this process has open.
func descriptors(t *testing.T) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// closesAll fails the test when it leaves a file open. Call it first.
func closesAll(t *testing.T) {
	t.Helper()
	var pipe [2]int // the runtime's poller keeps files of its own
	if err := unix.Pipe2(pipe[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	for _, fd := range pipe {
		os.NewFile(uintptr(fd), "pipe").Close()
	}
	before := descriptors(t)
	t.Cleanup(func() {
		if after := descriptors(t); after > before {
			t.Errorf("%d files are left open", after-before)
		}
	})
}

// needIPv6 skips the test on a machine without IPv6.
func needIPv6(t *testing.T) {
	t.Helper()
	if !haveIPv6() {
		missing(t, "this machine has no IPv6")
	}
}

// missing skips a test that cannot be done here; where all of them have to be
// done, it fails it.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(what)
	}
	t.Skip("SKIPPED, NOT TESTED: " + what)
}
