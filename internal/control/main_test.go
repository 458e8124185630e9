package control

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"clusterd/internal/proc"
)

// dialVariable makes this test binary the child of a test: it sends a request
// to the socket that the variable names, and says what comes back.
const dialVariable = "CLUSTERD_TEST_DIAL"

func TestMain(m *testing.M) {
	if socket := os.Getenv(dialVariable); socket != "" {
		fmt.Print(ask(socket))
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func ask(socket string) string {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return "no connection: " + err.Error()
	}
	defer conn.Close()
	_, _ = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: clusterd\r\n\r\n", pathStatus)
	b := make([]byte, 15)
	n, err := conn.Read(b)
	if err != nil {
		return "no answer"
	}
	return string(b[:n])
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

// place is a place of the test's own. The folders of t.TempDir may be too deep
// for a socket.
func place(t *testing.T) Place {
	t.Helper()
	t.Setenv("XDG_RUNTIME_DIR", shortDir(t))
	p, err := PlaceOf("/test/cluster.toml")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "clusterd-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// fakeCluster answers as it is told to.
type fakeCluster struct {
	snapshot func(context.Context) (*proc.Snapshot, error)
	detail   func(target string) (*proc.Detail, error)
	logs     func(proc.LogQuery) (proc.LogPage, error)
	changed  func(after uint64) <-chan struct{}
	do       func(context.Context, proc.Action) error
	report   proc.Applied
	dial     func(ctx context.Context, target string) (net.Conn, error)
}

func (c *fakeCluster) Snapshot(ctx context.Context) (*proc.Snapshot, error) { return c.snapshot(ctx) }
func (c *fakeCluster) Detail(_ context.Context, target string) (*proc.Detail, error) {
	return c.detail(target)
}
func (c *fakeCluster) Logs(_ context.Context, q proc.LogQuery) (proc.LogPage, error) {
	return c.logs(q)
}
func (c *fakeCluster) Report(context.Context) proc.Applied         { return c.report }
func (c *fakeCluster) LogsChanged(after uint64) <-chan struct{}    { return c.changed(after) }
func (c *fakeCluster) Do(ctx context.Context, a proc.Action) error { return c.do(ctx, a) }

func (c *fakeCluster) Dial(ctx context.Context, target string) (net.Conn, error) {
	return c.dial(ctx, target)
}

// serve serves c at a place of its own until the test ends.
func serve(t *testing.T, c Cluster, down func()) (*Server, Place) {
	t.Helper()
	p := place(t)
	lock, err := p.Lock()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(lock.Release)
	s, err := Serve(p, c, Hooks{Down: down})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, p
}

// client is a client of the cluster at p until the test ends.
func client(t *testing.T, p Place) *Client {
	t.Helper()
	c, err := Dial(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func mode(t *testing.T, path string) os.FileMode {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode()
}

// folder is where the control files of p are.
func folder(p Place) string { return filepath.Dir(p.Socket) }
