package control

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"clusterd/internal/proc"
)

// patience is how long a test waits for what has to happen.
const patience = 90 * time.Second

func TestSnapshotArrivesWhole(t *testing.T) {
	port, pid, rate := 8080, 912, 56.25
	want := &proc.Snapshot{
		Name: "shop", Config: "/test/cluster.toml", PID: 812, Version: "v1", Uptime: 12.5, Stopping: true,
		Apps: []proc.AppSnapshot{{
			Name: "web", Command: "bun server.ts", Port: &port, State: proc.StateBackoff, Reason: "web/1: exit 1 <&>",
			RequestsPerS: &rate, RequestsHistory: []float64{1, 2.5}, Listen: "relay",
			Instances: []proc.InstanceSnapshot{
				{ID: "web/0", State: proc.StateReady, PID: &pid, Status: &proc.Classes{Success: 3}, Latency: &proc.Latency{P99: 1.5}},
				{ID: "web/1", State: proc.StateBackoff, LastExit: &proc.Exit{Code: -1, Signal: "SIGKILL", At: time.Unix(1e9, 5).UTC(), After: 0.25}},
			},
		}},
	}
	_, p := serve(t, &fakeCluster{snapshot: func(context.Context) (*proc.Snapshot, error) { return want, nil }}, nil)
	got, err := client(t, p).Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestDetailArrivesWhole(t *testing.T) {
	want := &proc.Detail{
		Target: "web/0", Cwd: "/srv", Env: []proc.Variable{{Name: "A", Value: "<&> é"}},
		Exits:   []proc.PastExit{{Instance: "web/0", Generation: 3, Exit: proc.Exit{Code: 1, At: time.Unix(1e9, 5).UTC(), After: 0.25}}},
		Latency: []proc.Bucket{{Upto: 0.5, Count: 3}, {Count: 1}}, History: []float64{1, 2.5},
	}
	_, p := serve(t, &fakeCluster{detail: func(target string) (*proc.Detail, error) {
		if target != "web/0" {
			return nil, errors.New("no instance " + target)
		}
		return want, nil
	}}, nil)
	got, err := client(t, p).Detail(t.Context(), "web/0")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := client(t, p).Detail(t.Context(), "web/9 & more"); err == nil || err.Error() != "no instance web/9 & more" {
		t.Errorf("an unknown target: %v", err)
	}
}

func TestLogsArriveWhole(t *testing.T) {
	want := proc.LogPage{
		Lines: []proc.Line{{Seq: 8, At: time.Unix(1e9, 5).UTC(), Instance: "web/0", Stream: proc.StreamErr, Text: "\x1b[31m<é>\x1b[0m"}},
		Next:  9, Dropped: 3,
	}
	var asked atomic.Value
	_, p := serve(t, &fakeCluster{logs: func(q proc.LogQuery) (proc.LogPage, error) { asked.Store(q); return want, nil }}, nil)
	c := client(t, p)
	for _, q := range []proc.LogQuery{
		{},
		{Targets: []string{"web", "job/2"}, After: 1<<64 - 1, Limit: 50, Forward: true},
	} {
		got, err := c.Logs(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(q, asked.Load()); diff != "" {
			t.Errorf("the query changed:\n%s", diff)
		}
	}
}

// NextLogs waits for a line that is asked for, past those of others, and
// neither side goes on waiting when ctx ends or the server closes.
func TestNextLogsWaits(t *testing.T) {
	var mu sync.Mutex
	news := make(chan struct{})
	notify := func() {
		mu.Lock()
		defer mu.Unlock()
		close(news)
		news = make(chan struct{})
	}
	waiting := make(chan uint64, 10)
	var lines atomic.Pointer[[]proc.Line]
	lines.Store(&[]proc.Line{})
	s, p := serve(t, &fakeCluster{
		logs: func(q proc.LogQuery) (proc.LogPage, error) {
			return proc.LogPage{Next: q.After + 1, Lines: *lines.Load()}, nil
		},
		changed: func(after uint64) <-chan struct{} {
			mu.Lock()
			defer mu.Unlock()
			waiting <- after
			return news
		},
	}, nil)
	c := client(t, p)
	type result struct {
		page proc.LogPage
		err  error
	}
	ended := make(chan result, 1)
	next := func(ctx context.Context, after uint64) {
		page, err := c.NextLogs(ctx, proc.LogQuery{After: after})
		ended <- result{page, err}
	}

	ctx, cancel := context.WithCancel(t.Context())
	go next(ctx, 7)
	if after := await(t, waiting); after != 8 {
		t.Errorf("it waits for lines after %d, want after what it has seen, 8", after)
	}
	notify() // somebody else's line
	if after := await(t, waiting); after != 9 {
		t.Errorf("then it waits for lines after %d, want 9", after)
	}
	select {
	case r := <-ended:
		t.Fatalf("it does not wait: %+v", r)
	default:
	}
	cancel()
	if r := await(t, ended); !errors.Is(r.err, context.Canceled) {
		t.Errorf("when ctx ends: %v", r.err)
	}

	go next(t.Context(), 8)
	await(t, waiting)
	lines.Store(&[]proc.Line{{Seq: 9, Text: "hello"}})
	notify()
	if r := await(t, ended); r.err != nil || len(r.page.Lines) != 1 {
		t.Errorf("%+v", r)
	}

	lines.Store(&[]proc.Line{})
	go next(t.Context(), 20)
	await(t, waiting)
	s.Close()
	if r := await(t, ended); r.err != nil && !errors.Is(r.err, ErrNotRunning) {
		t.Errorf("when the server closes: %v", r.err)
	}
}

func await[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatal("waited in vain")
		panic("unreachable")
	}
}

func TestDo(t *testing.T) {
	const sentence = "web/0 is failed: exit 1\nno app \"wbe\": the cluster has web; 100 % <sure>"
	var got proc.Action
	_, p := serve(t, &fakeCluster{do: func(_ context.Context, a proc.Action) error {
		got = a
		if a.Verb == proc.VerbStop {
			return errors.New(sentence)
		}
		return nil
	}}, nil)
	c := client(t, p)
	want := proc.Action{Verb: proc.VerbRestart, Targets: []string{"web", "job/1"}}
	if err := c.Do(t.Context(), want); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if err := c.Do(t.Context(), proc.Action{Verb: proc.VerbStop}); err == nil || err.Error() != sentence {
		t.Errorf("%v, want %s", err, sentence)
	}
}

// An action takes as long as it takes, and ends for the cluster, too, when the
// client goes away.
func TestDoEndsWithItsClient(t *testing.T) {
	begun, ended := make(chan struct{}, 1), make(chan struct{}, 1)
	_, p := serve(t, &fakeCluster{do: func(ctx context.Context, _ proc.Action) error {
		begun <- struct{}{}
		<-ctx.Done()
		ended <- struct{}{}
		return ctx.Err()
	}}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	answer := make(chan error, 1)
	c := client(t, p)
	go func() { answer <- c.Do(ctx, proc.Action{Verb: proc.VerbStop}) }()
	await(t, begun)
	cancel()
	await(t, ended)
	if err := await(t, answer); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestDown(t *testing.T) {
	var downs atomic.Int32
	_, p := serve(t, &fakeCluster{}, func() { downs.Add(1) })
	c := client(t, p)
	if err := c.Down(t.Context()); err != nil {
		t.Error(err)
	}
	// The handler may still be running when the answer is there.
	for deadline := time.Now().Add(patience); downs.Load() == 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if n := downs.Load(); n != 1 {
		t.Errorf("down is called %d times", n)
	}
}

func TestSocketIsPrivate(t *testing.T) {
	old := syscall.Umask(0)
	_, p := serve(t, &fakeCluster{}, nil)
	syscall.Umask(old)
	if m := mode(t, p.Socket); m != os.ModeSocket|0o600 {
		t.Errorf("the socket has mode %s", m)
	}
}

func TestCloseRemovesTheSocket(t *testing.T) {
	s, p := serve(t, &fakeCluster{snapshot: func(context.Context) (*proc.Snapshot, error) { return &proc.Snapshot{}, nil }}, nil)
	c := client(t, p)
	if _, err := c.Snapshot(t.Context()); err != nil {
		t.Error(err)
	}
	s.Close()
	if _, err := os.Lstat(p.Socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket after Close: %v", err)
	}
	if _, err := Dial(t.Context(), p); !errors.Is(err, ErrNotRunning) {
		t.Errorf("Dial after Close: %v", err)
	}
	if _, err := c.Snapshot(t.Context()); !errors.Is(err, ErrNotRunning) {
		t.Errorf("Snapshot after Close: %v", err)
	}
	s.Close() // a second time
}

// A cluster that ends in the middle of an answer is not running any more.
func TestCloseDuringAnAnswer(t *testing.T) {
	begun := make(chan struct{}, 1)
	s, p := serve(t, &fakeCluster{do: func(ctx context.Context, _ proc.Action) error {
		begun <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}}, nil)
	c := client(t, p)
	answer := make(chan error, 1)
	go func() { answer <- c.Do(t.Context(), proc.Action{Verb: proc.VerbStop}) }()
	await(t, begun)
	s.Close()
	if err := await(t, answer); !errors.Is(err, ErrNotRunning) {
		t.Errorf("%v, want %v", err, ErrNotRunning)
	}
}

func TestNotRunning(t *testing.T) {
	if _, err := Dial(t.Context(), place(t)); err != ErrNotRunning {
		t.Errorf("%v, want %v", err, ErrNotRunning)
	}
}

// Whatever is sent gets an answer in JSON, and the server goes on.
func TestRequestsThatAreNone(t *testing.T) {
	_, p := serve(t, &fakeCluster{
		snapshot: func(context.Context) (*proc.Snapshot, error) { return nil, proc.ErrDown },
		logs:     func(proc.LogQuery) (proc.LogPage, error) { t.Error("Logs is called"); return proc.LogPage{}, nil },
		do:       func(context.Context, proc.Action) error { t.Error("Do is called"); return nil },
	}, func() { t.Error("down is called") })
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", p.Socket)
	}}
	defer transport.CloseIdleConnections()
	for _, x := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "/", "", 404, "nothing is at /"},
		{"GET", "/v1/status/x", "", 404, "nothing is at /v1/status/x"},
		{"POST", pathStatus, "", 405, "POST is not for /v1/status"},
		{"GET", pathAction, "", 405, "GET is not for /v1/action"},
		{"GET", pathDown, "", 405, "GET is not for /v1/down"},
		{"GET", pathTunnel, "", 405, "GET is not for /v1/tunnel"},
		{"POST", pathTunnel + "?target=web/0", "", 426, "a tunnel takes the header Upgrade: tcp"},
		{"GET", pathLogs + "?after=x", "", 400, `after: strconv.ParseUint: parsing "x": invalid syntax`},
		{"GET", pathLogs + "?after=-1", "", 400, `after: strconv.ParseUint: parsing "-1": invalid syntax`},
		{"GET", pathLogs + "?limit=1e9", "", 400, `limit: strconv.Atoi: parsing "1e9": invalid syntax`},
		{"POST", pathAction, "", 400, "read the action: EOF"},
		{"POST", pathAction, "{", 400, "read the action: unexpected EOF"},
		{"POST", pathAction, "[1]", 400, "read the action: json: cannot unmarshal array into Go value of type proc.Action"},
		{"POST", pathAction, `{"targets":["` + strings.Repeat("x", 1<<20) + `"]}`, 400, "read the action: http: request body too large"},
		{"GET", pathStatus, "", 409, "the cluster is down"},
	} {
		req, err := http.NewRequest(x.method, "http://clusterd"+x.path, strings.NewReader(x.body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := transport.RoundTrip(req)
		if err != nil {
			t.Errorf("%s %s: %v", x.method, x.path, err)
			continue
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		var f failure
		if err := errors.Join(err, json.Unmarshal(b, &f)); err != nil {
			t.Errorf("%s %s: %q: %v", x.method, x.path, b, err)
		}
		if resp.StatusCode != x.status || f.Error != x.want || resp.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s: %s, %q, want %d, %q", x.method, x.path, resp.Status, f.Error, x.status, x.want)
		}
	}

	// What is not HTTP at all is answered by net/http itself.
	conn, err := net.Dial("unix", p.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = conn.Write([]byte("\x00\xff\r\n\r\n"))
	if b, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 400 ") {
		t.Errorf("no HTTP: %q, %v", b, err)
	}
	if got := ask(p.Socket); got != "HTTP/1.1 409 Co" {
		t.Errorf("afterwards: %q", got)
	}
}

// Other users are kept out by the modes of folder and socket, and by the server
// if somebody opens those.
func TestOtherUsersAreRefused(t *testing.T) {
	if os.Getuid() != 0 {
		missing(t, "only root can ask as another user")
	}
	_, p := serve(t, &fakeCluster{snapshot: func(context.Context) (*proc.Snapshot, error) { return &proc.Snapshot{}, nil }}, nil)
	for _, x := range []struct {
		user int
		open bool
		want string
	}{
		{0, false, "HTTP/1.1 200 OK"},
		{65534, false, "no connection: dial unix " + p.Socket + ": connect: permission denied"},
		{65534, true, "no answer"},
		{0, true, "HTTP/1.1 200 OK"},
	} {
		if x.open {
			for _, path := range []string{filepath.Dir(folder(p)), folder(p), p.Socket} {
				if err := os.Chmod(path, 0o777); err != nil {
					t.Fatal(err)
				}
			}
		}
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), dialVariable+"="+p.Socket)
		// The binary is open already, so its folder may be closed to the user.
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(x.user), Gid: uint32(x.user)}}
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		if string(out) != x.want {
			t.Errorf("user %d, files open: %v: %q, want %q", x.user, x.open, out, x.want)
		}
	}
}

func TestApplyIsReported(t *testing.T) {
	want := proc.Applied{Changes: []string{"web: removed"}, Error: "x", Mistake: true}
	_, p := serve(t, &fakeCluster{report: want}, nil)
	got, err := client(t, p).Apply(t.Context())
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
}
