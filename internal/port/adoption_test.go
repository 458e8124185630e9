package port

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"clusterd/internal/port/seccomp"
)

// serverVariable makes this test binary a server that knows nothing of
// adoption: it holds what the server does, see beServer.
const serverVariable = "CLUSTERD_TEST_SERVER"

// beServer runs a job: a kind of server, and its port.
func beServer(job []string) int {
	port := job[1]
	serve := func(network, address string) error {
		var lc net.ListenConfig
		lc.SetMultipathTCP(strings.HasPrefix(job[0], "mptcp"))
		l, err := lc.Listen(context.Background(), network, address)
		if err != nil {
			return err
		}
		fmt.Println("listening")
		for {
			conn, err := l.Accept()
			if err != nil {
				return err
			}
			fmt.Fprintln(conn, os.Getpid())
			conn.Close()
		}
	}
	var err error
	switch job[0] {
	case "dual", "mptcp":
		err = serve("tcp", ":"+port)
	case "v4":
		err = serve("tcp4", "0.0.0.0:"+port)
	case "v6only":
		err = serve("tcp6", "[::]:"+port)
	case "loopback":
		err = serve("tcp", "127.0.0.1:"+port)
	case "loopback6":
		err = serve("tcp", "[::1]:"+port)
	case "epoll":
		err = serveEpoll(port)
	case "epolls":
		err = serveEpolls(port)
	case "particular":
		err = serveParticular(port, job[2])
	case "probes":
		err = probeFirst(port, serve)
	case "waits":
		err = listenWhenTold(port)
	case "again":
		err = serveAgain(port)
	case "manyoptions":
		err = setMany(port)
	case "twice": // binds its port again, as a mistake
		if _, err = net.Listen("tcp4", "0.0.0.0:"+port); err == nil {
			_, err = net.Listen("tcp4", "0.0.0.0:"+port)
			fmt.Println(errors.Is(err, unix.EADDRINUSE))
			time.Sleep(time.Minute)
		}
	case "below": // a child of a child serves
		cmd := exec.Command("/bin/sh", "-c", "exec /proc/self/exe; true")
		cmd.Path, cmd.Args = "/proc/self/exe", []string{"server"}
		cmd.Env = []string{serverVariable + "=v4 " + port}
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		err = cmd.Run()
	}
	fmt.Println(err)
	return 1
}

// serveEpoll registers its socket with epoll before it binds it, as some C++
// servers do, and never looks at it in any other way.
func serveEpoll(port string) error {
	n, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return err
	}
	ep, err := unix.EpollCreate1(0)
	if err != nil {
		return err
	}
	if err := unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET&0xffffffff, Fd: 77, Pad: 78}); err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: n}); err != nil {
		return err
	}
	if err := unix.Listen(fd, 1); err != nil {
		return err
	}
	fmt.Println("listening")
	for events := make([]unix.EpollEvent, 1); ; {
		if n, err := unix.EpollWait(ep, events, -1); n != 1 || events[0].Fd != 77 || events[0].Pad != 78 {
			if err == unix.EINTR {
				continue
			}
			return fmt.Errorf("epoll: %d %v %v", n, events, err)
		}
		for {
			conn, _, err := unix.Accept(fd)
			if err != nil {
				break
			}
			_, _ = unix.Write(conn, []byte(strconv.Itoa(os.Getpid())+"\n"))
			unix.Close(conn)
		}
	}
}

// adopted is a server under adoption.
type adopted struct {
	*Adoption
	t         *testing.T
	cmd       *exec.Cmd
	pid       chan int // holds one, once it has been started
	out       *bufio.Reader
	listening chan Listening
	refused   chan string
	ended     chan error // Serve has returned
}

// adopt starts a server with a job of this binary, or with args another one.
func adopt(t *testing.T, port int, g Grip, b Berth, job string, args ...string) *adopted {
	t.Helper()
	a := &adopted{
		t:         t,
		pid:       make(chan int, 1),
		listening: make(chan Listening, 10),
		refused:   make(chan string, 10),
		ended:     make(chan error, 1),
	}
	ours, theirs, err := ShimPair()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	defer theirs.Close()
	path, argv := "/proc/self/exe", []string{"server"}
	if len(args) > 0 {
		path, argv = args[0], args
	}
	a.cmd = exec.Command(ShimPath)
	a.cmd.Args = Shim{Adopt: true, Grip: g}.Args(path, argv)
	a.cmd.Env = append(os.Environ(), serverVariable+"="+job)
	a.cmd.ExtraFiles = []*os.File{theirs}
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	a.cmd.Stdout, a.cmd.Stderr = in, in
	a.out = bufio.NewReader(out)
	runtime.LockOSThread() // the child dies with the thread that forks it
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	a.pid <- a.cmd.Process.Pid
	theirs.Close()
	l, err := AwaitShim(ours)
	if err != nil {
		t.Fatal(err)
	}
	if d, ok := b.(*Direct); ok {
		d.PIDs = a.pids
	}
	a.serveBy(Adopt(port, g, a.pids, b, Watch{
		Listening: func(l Listening) { a.listening <- l },
		Refused:   func(reason string) { a.refused <- reason },
	}), l)
	t.Cleanup(func() {
		a.kill()
		out.Close()
		runtime.UnlockOSThread()
	})
	return a
}

// serveBy has an adoption decide from here on.
func (a *adopted) serveBy(by *Adoption, l *seccomp.Listener) {
	a.Adoption = by
	go func() { a.ended <- by.Serve(l, nil) }()
}

// pids are the first process of the server, once there is one.
func (a *adopted) pids() []int {
	pid := <-a.pid
	a.pid <- pid
	return []int{pid}
}

// kill ends the server, and all that is of it, and waits for the end of the
// adoption.
func (a *adopted) kill() {
	if a.cmd.ProcessState != nil {
		return
	}
	_ = unix.Kill(-a.cmd.Process.Pid, unix.SIGKILL)
	_ = a.cmd.Wait()
	if err := await(a.t, a.ended); err != nil {
		a.t.Errorf("the adoption ended with %v", err)
	}
}

func await[T any](t *testing.T, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatal("nothing has happened")
		panic("")
	}
}

// line is the next line that the server prints.
func (a *adopted) line() string {
	a.t.Helper()
	line, err := a.out.ReadString('\n')
	if err != nil {
		a.t.Fatalf("the server printed %q: %v", line, err)
	}
	return strings.TrimSpace(line)
}

func read(t *testing.T, conn net.Conn) string {
	t.Helper()
	b, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// grips are all of them, by name.
var grips = map[string]Grip{"share": Share, "replace": Replace}

// A server that binds the public port is moved to the private one.
func TestMoved(t *testing.T) {
	for name, grip := range grips {
		t.Run(name, func(t *testing.T) { testMoved(t, grip) })
	}
}

func testMoved(t *testing.T, grip Grip) {
	for _, x := range []struct{ job, at string }{
		{"dual", "127.0.0.1"},
		{"mptcp", "127.0.0.1"},
		{"v4", "127.0.0.1"},
		{"v6only", "::1"},
		{"loopback", "127.0.0.1"},
		{"loopback6", "::1"},
		{"epoll", "127.0.0.1"},
	} {
		if grip == Replace && x.job == "epoll" {
			continue // see TestReplaceRefuses
		}
		t.Run(x.job, func(t *testing.T) {
			if strings.Contains(x.at, ":") || x.job == "dual" {
				needIPv6(t)
			}
			public, private := freePort(t), freePort(t)
			a := adopt(t, public, grip, &Moved{Private: private}, fmt.Sprint(x.job, " ", public))
			l := await(t, a.listening)
			want := netip.AddrPortFrom(netip.MustParseAddr(x.at), uint16(private))
			if l.DialAddr() != want {
				t.Errorf("it listens at %s, want %s", l.DialAddr(), want)
			}
			if got := read(t, dial(t, x.at, private)); got != strconv.Itoa(a.cmd.Process.Pid) {
				t.Errorf("pid %s answers, want %d", got, a.cmd.Process.Pid)
			}
			if found, err := Listeners(public); err != nil || len(found) > 0 {
				t.Errorf("somebody listens on the public port: %v %v", found, err)
			}
		})
	}
}

func TestMovedTwice(t *testing.T) {
	for name, grip := range grips {
		t.Run(name, func(t *testing.T) {
			public, private := freePort(t), freePort(t)
			a := adopt(t, public, grip, &Moved{Private: private}, fmt.Sprint("twice ", public))
			if got := a.line(); got != "true" {
				t.Errorf("the second bind failed with EADDRINUSE: %s", got)
			}
		})
	}
}

// What is not for the declared port is none of the adoption's business.
func TestElsewhere(t *testing.T) {
	for name, grip := range grips {
		t.Run(name, func(t *testing.T) {
			declared, other := freePort(t), freePort(t)
			a := adopt(t, declared, grip, &Moved{Private: freePort(t)}, fmt.Sprint("loopback ", other))
			if got := a.line(); got != "listening" {
				t.Fatalf("the server says %q", got)
			}
			if got := read(t, dial(t, "127.0.0.1", other)); got != strconv.Itoa(a.cmd.Process.Pid) {
				t.Errorf("pid %s answers, want %d", got, a.cmd.Process.Pid)
			}
			if len(a.listening)+len(a.refused) > 0 {
				t.Error("the adoption has something to say about it")
			}
		})
	}
}

// The filter is inherited however deep, and its end is that of the last.
func TestBelow(t *testing.T) {
	public, private := freePort(t), freePort(t)
	a := adopt(t, public, Share, &Moved{Private: private}, fmt.Sprint("below ", public))
	await(t, a.listening)
	pid, err := strconv.Atoi(read(t, dial(t, "127.0.0.1", private)))
	if err != nil || pid == a.cmd.Process.Pid {
		t.Fatalf("pid %d answers: %v", pid, err)
	}
	a.cmd.Process.Kill()
	a.cmd.Wait()
	select {
	case err := <-a.ended:
		t.Fatalf("the adoption ended before the last process: %v", err)
	default:
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := await(t, a.ended); err != nil {
		t.Error(err)
	}
}

// troubled is a Berth in which a bind comes to grief before it is tried.
type troubled struct {
	Berth
	bound  int // calls
	before func(c *caller, n int) error
}

func (b *troubled) bind(c *caller, s socket, at netip.AddrPort) (verdict, error) {
	b.bound++
	if err := b.before(c, b.bound); err != nil {
		return proceed, err
	}
	return b.Berth.bind(c, s, at)
}

// What goes wrong since a process dies says nothing of its program.
func TestTheDeadAreNotRefused(t *testing.T) {
	public := freePort(t)
	b := &troubled{Berth: &Moved{Private: freePort(t)}, before: func(c *caller, _ int) error {
		if err := unix.Kill(int(c.TID), unix.SIGKILL); err != nil {
			return err
		}
		for c.Valid() {
			time.Sleep(time.Millisecond)
		}
		return errors.New("its memory cannot be read")
	}}
	a := adopt(t, public, Share, b, fmt.Sprint("v4 ", public))
	_ = a.cmd.Wait()
	if err := await(t, a.ended); err != nil || b.bound != 1 {
		t.Errorf("after %d calls it ended with %v", b.bound, err)
	}
	if len(a.refused) > 0 {
		t.Errorf("refused: %s", <-a.refused)
	}
}

// Where clusterd has no descriptors left for a while, the server waits.
func TestShortOfDescriptors(t *testing.T) {
	public, private := freePort(t), freePort(t)
	b := &troubled{Berth: &Moved{Private: private}, before: func(_ *caller, n int) error {
		if n <= 3 {
			return fmt.Errorf("look at the caller: %w", os.NewSyscallError("pidfd_getfd", unix.EMFILE))
		}
		return nil
	}}
	a := adopt(t, public, Share, b, fmt.Sprint("v4 ", public))
	await(t, a.listening)
	read(t, dial(t, "127.0.0.1", private))
	if b.bound != 4 || len(a.refused) > 0 {
		t.Errorf("%d calls, %d refusals", b.bound, len(a.refused))
	}
}
