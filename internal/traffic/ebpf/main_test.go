package ebpf

import (
	"context"
	"net"
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newCounter makes a Counter that is closed with the test.
func newCounter(t testing.TB, slots int) *Counter {
	t.Helper()
	if err := Supported(); err != nil {
		missing(t, err.Error())
	}
	c, err := New(slots)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	if os.Getenv(elsewhere) != "" {
		takeSeats(t, c)
	}
	return c
}

// listen opens a listening socket whose connections count for slot.
func listen(t testing.TB, c *Counter, slot int, network, addr string) *net.TCPListener {
	t.Helper()
	ln := plainListener(t, network, addr)
	control(t, ln, func(fd int) error { return c.Attach(slot, fd) })
	return ln
}

// plainListener opens a listening socket of TCP, not MPTCP.
func plainListener(t testing.TB, network, addr string) *net.TCPListener {
	t.Helper()
	var config net.ListenConfig
	config.SetMultipathTCP(false)
	ln, err := config.Listen(context.Background(), network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln.(*net.TCPListener)
}

// control calls do with the listener's descriptor.
func control(t testing.TB, ln *net.TCPListener, do func(fd int) error) {
	t.Helper()
	raw, err := ln.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = do(int(fd)) }); err != nil {
		t.Fatal(err)
	}
	if failed != nil {
		t.Fatal(failed)
	}
}

// read returns the totals of a slot.
func read(t testing.TB, c *Counter, slot int) Counts {
	t.Helper()
	counts, err := c.Read(slot)
	if err != nil {
		t.Fatal(err)
	}
	return counts
}

// missing skips a test that cannot be done here; where all of them have to be
// done, it fails it.
func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(what)
	}
	t.Skip("SKIPPED, NOT TESTED: " + what)
}
