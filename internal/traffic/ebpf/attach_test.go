package ebpf

import (
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// What is to be counted is only what came between Attach and Detach.
func TestDetachEndsCounting(t *testing.T) {
	c := newCounter(t, 2)
	ln := plainListener(t, "tcp", "127.0.0.1:0")
	once := func(want0, want1 uint64) {
		t.Helper()
		converse(t, ln, "GET / HTTP/1.1\r\n\r\n", func(rest int) int { return rest })
		if got0, got1 := read(t, c, 0).Requests, read(t, c, 1).Requests; got0 != want0 || got1 != want1 {
			t.Errorf("counted %d and %d, want %d and %d", got0, got1, want0, want1)
		}
	}
	once(0, 0)
	control(t, ln, func(fd int) error { return c.Attach(0, fd) })
	once(1, 0)
	control(t, ln, func(fd int) error { return c.Attach(1, fd) })
	once(1, 1)
	control(t, ln, c.Detach)
	once(1, 1)
	control(t, ln, c.Detach)
	once(1, 1)
}

// A connection goes on to be counted when its listening socket does not.
func TestAcceptedConnectionsKeepTheirFilter(t *testing.T) {
	c := newCounter(t, 1)
	ln := listen(t, c, 0, "tcp", "127.0.0.1:0")
	s := serve(t, ln)
	web := client(t, false, true)
	for want := range uint64(3) {
		resp, err := web.Get(s.url)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if got := read(t, c, 0).Requests; got != want+1 {
			t.Errorf("counted %d of %d", got, want+1)
		}
		control(t, ln, c.Detach)
	}
	if s.conns.Load() != 1 {
		t.Errorf("%d connections were made", s.conns.Load())
	}
}

// Sockets that outlive the counter pass everything on.
func TestClosedCounterLetsPass(t *testing.T) {
	if err := Supported(); err != nil {
		missing(t, err.Error())
	}
	c, err := New(1)
	if err != nil {
		t.Fatal(err)
	}
	ln := listen(t, c, 0, "tcp", "127.0.0.1:0")
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	large := strings.Repeat("0123456789", 50000)
	if got := converse(t, ln, large, func(rest int) int { return rest }); string(got) != large {
		t.Errorf("%d bytes were sent, and %d or others arrived", len(large), len(got))
	}
}

// A filter that the app has set stays.
func TestForeignFilterStays(t *testing.T) {
	c := newCounter(t, 1)
	ln := plainListener(t, "tcp", "127.0.0.1:0")
	keepAll := unix.SockFilter{Code: unix.BPF_RET, K: 1 << 20}
	control(t, ln, func(fd int) error {
		return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &keepAll})
	})
	control(t, ln, func(fd int) error {
		if err := c.Attach(0, fd); err == nil || !strings.Contains(err.Error(), "a filter of its own") {
			t.Errorf("attach: %v", err)
		}
		if err := c.Detach(fd); err != nil {
			t.Errorf("detach: %v", err)
		}
		if held, err := filterOf(fd); held != foreign || err != nil {
			t.Errorf("the filter is gone: %v, %v", held, err)
		}
		return nil
	})
}

// What cannot be attached says why.
func TestAttachRefuses(t *testing.T) {
	c := newCounter(t, 2)
	multipath, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_MPTCP)
	if err != nil {
		multipath = -1
	}
	defer unix.Close(multipath)
	for _, tt := range []struct {
		slot, fd int
		want     string
	}{
		{-1, 0, "there are only slots 0 to 1"},
		{2, 0, "there are only slots 0 to 1"},
		{0, -1, "bad file descriptor"},
		{0, multipath, "MPTCP"},
	} {
		if tt.want == "MPTCP" && multipath < 0 {
			continue
		}
		if err := c.Attach(tt.slot, tt.fd); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("attach slot %d to %d: %v, want %q", tt.slot, tt.fd, err, tt.want)
		}
	}
	if _, err := c.Read(2); err == nil {
		t.Error("slot 2 of 2 was read")
	}
	if _, err := New(0); err == nil {
		t.Error("a counter of 0 slots was made")
	}
}

// capabilities makes this test binary the child of the test below.
const capabilities = "CLUSTERD_TEST_CAPABILITIES"

// CAP_BPF is enough to count requests, and CAP_NET_ADMIN is all that replies need
// beside it; without CAP_BPF, that is what is said.
func TestCapabilities(t *testing.T) {
	if os.Getenv(capabilities) != "" {
		t.Skip("it is the child of itself")
	}
	if os.Getuid() != 0 {
		missing(t, "only root can start a process with other capabilities")
	}
	for _, tt := range []struct {
		name string
		caps []uintptr
		run  string
		want string
	}{
		{"CAP_BPF", []uintptr{unix.CAP_BPF}, "TestCountedIsServed|TestConversations", "ok"},
		{"CAP_BPF and CAP_NET_ADMIN", []uintptr{unix.CAP_BPF, unix.CAP_NET_ADMIN}, "TestReplies", "ok"},
		{"CAP_NET_ADMIN", []uintptr{unix.CAP_NET_ADMIN}, "", "counting by eBPF needs the capability CAP_BPF"},
		{"none", nil, "", "counting by eBPF needs the capability CAP_BPF"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := exec.Command("/proc/self/exe", "-test.v", "-test.run=^(TestSupportedSays|"+tt.run+")$")
			cmd.Env = append(os.Environ(), capabilities+"="+tt.want)
			cmd.SysProcAttr = &syscall.SysProcAttr{
				Credential:  &syscall.Credential{Uid: 65534, Gid: 65534},
				AmbientCaps: tt.caps,
			}
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), "--- PASS: TestSupportedSays") || strings.Contains(string(out), "--- SKIP") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// TestSupportedSays is the child of TestCapabilities.
func TestSupportedSays(t *testing.T) {
	want := os.Getenv(capabilities)
	if want == "" {
		t.Skip("it is a part of TestCapabilities")
	}
	got := "ok"
	if err := Supported(); err != nil {
		got = err.Error()
	}
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if strings.HasPrefix(line, "CapEff:") {
			t.Log(line)
		}
	}
}
