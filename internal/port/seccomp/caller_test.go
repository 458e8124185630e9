package seccomp

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"clusterd/internal/port/shim"
)

// callerVariable makes this test binary a process whose calls are reported.
const callerVariable = "CLUSTERD_TEST_CALLER"

func TestMain(m *testing.M) {
	if os.Getenv(callerVariable) != "" {
		os.Exit(beCaller())
	}
	goleak.VerifyTestMain(m)
}

// secret is what a caller has in its memory.
var secret = [16]byte([]byte("0123456789abcdef"))

// beCaller makes the calls that it is told to on stdin, and says what each has
// come to.
func beCaller() int {
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var errno unix.Errno
		switch word, n, _ := strings.Cut(lines.Text(), " "); word {
		case "bind":
			_, _, errno = unix.Syscall(unix.SYS_BIND, 0, uintptr(unsafe.Pointer(&secret)), 16)
		case "listen":
			at, _ := strconv.Atoi(n)
			_, _, errno = unix.Syscall(unix.SYS_LISTEN, uintptr(at), 7, 0)
		case "option":
			one := 1
			_, _, errno = unix.Syscall6(unix.SYS_SETSOCKOPT, 0, unix.SOL_SOCKET, unix.SO_REUSEPORT, uintptr(unsafe.Pointer(&one)), 4, 0)
		case "cloexec":
			at, _ := strconv.Atoi(n)
			flags, err := unix.FcntlInt(uintptr(at), unix.F_GETFD, 0)
			fmt.Println(flags, err)
			continue
		}
		fmt.Println(int(errno))
	}
	return 0
}

// process is a caller.
type process struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.Writer
	out *bufio.Reader
	l   *Listener
}

func start(t *testing.T) *process {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	theirs := os.NewFile(uintptr(fds[1]), "pair")
	defer unix.Close(fds[0])
	defer theirs.Close()
	p := &process{t: t, cmd: exec.Command(shim.Path)}
	p.cmd.Args = shim.Order{
		Filter: Filter(Option{unix.SOL_SOCKET, unix.SO_REUSEPORT}),
		Path:   shim.Path,
		Argv:   []string{"caller"},
	}.Args()
	p.cmd.Env = append(os.Environ(), callerVariable+"=1")
	p.cmd.ExtraFiles = []*os.File{theirs}
	p.cmd.Stderr = os.Stderr
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.in, p.out = in, bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.end)
	theirs.Close()
	oob := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(fds[0], make([]byte, 1), oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil || n == 0 {
		rest, _ := io.ReadAll(p.out)
		t.Fatalf("no listener comes: %v: %s", err, rest)
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil {
		t.Fatal(err)
	}
	got, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		t.Fatal(err)
	}
	if p.l, err = NewListener(got[0]); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *process) end() {
	if p.cmd.ProcessState == nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	}
	if p.l != nil {
		p.l.Close()
	}
}

// does has the caller make a call, and returns that.
func (p *process) does(what string) *Call {
	p.t.Helper()
	if _, err := fmt.Fprintln(p.in, what); err != nil {
		p.t.Fatal(err)
	}
	c, err := p.l.Receive()
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

// says is what the last call has come to.
func (p *process) says() string {
	p.t.Helper()
	line, err := p.out.ReadString('\n')
	if err != nil {
		p.t.Fatalf("%q: %v", line, err)
	}
	return strings.TrimSpace(line)
}

func (p *process) expect(want string) {
	p.t.Helper()
	if got := p.says(); got != want {
		p.t.Errorf("the call comes to %s, want %s", got, want)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAnswers(t *testing.T) {
	p := start(t)
	must(t, p.does("listen 0").Continue())
	p.expect(strconv.Itoa(int(unix.ENOTSOCK))) // the kernel says so: it is a pipe
	must(t, p.does("listen 0").Return(0))
	p.expect("0")
	must(t, p.does("listen 0").Fail(unix.EADDRINUSE))
	p.expect(strconv.Itoa(int(unix.EADDRINUSE)))
	must(t, p.does("option").Fail(unix.EDOM))
	p.expect(strconv.Itoa(int(unix.EDOM)))
}

func TestCall(t *testing.T) {
	p := start(t)
	c := p.does("listen 1")
	if c.Number != unix.SYS_LISTEN || c.Args[0] != 1 || c.Args[1] != 7 {
		t.Errorf("listen(1, 7) is reported as %+v", c)
	}
	if pid, err := c.Process(); err != nil || pid != p.cmd.Process.Pid {
		t.Errorf("it is by pid %d, want %d: %v", pid, p.cmd.Process.Pid, err)
	}
	if !c.Valid() {
		t.Error("it is not valid while its caller waits")
	}
	if dup, err := c.Descriptor(99); !errors.Is(err, unix.EBADF) {
		t.Errorf("a duplicate of a descriptor that is not open: %d, %v", dup, err)
	}
	must(t, c.Return(0))
	p.expect("0")
	if c.Valid() {
		t.Error("it is still valid when it has been answered")
	}
	if err := c.Return(0); err != nil {
		t.Errorf("an answer that comes too late: %v", err)
	}

	c = p.does("bind")
	if b, err := c.Memory(c.Args[1], int(c.Args[2])); err != nil || !bytes.Equal(b, secret[:]) {
		t.Errorf("its memory has %q, want %q: %v", b, secret, err)
	}
	if b, err := c.Memory(1, 16); !errors.Is(err, unix.EIO) {
		t.Errorf("at an address where there is nothing: %q, %v", b, err)
	}
	must(t, c.Return(0))
	p.expect("0")
}

// A socket that is put into a process is the process's, under the number and with
// the flag that were asked for.
func TestPut(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	file, err := l.(*net.TCPListener).File()
	must(t, err)
	defer file.Close()
	p := start(t)
	for at, cloexec := range map[int]bool{17: true, 23: false} {
		c := p.does(fmt.Sprint("listen ", at))
		must(t, c.Put(int(file.Fd()), at, cloexec))
		dup, err := c.Descriptor(at)
		must(t, err)
		var put, held unix.Stat_t
		must(t, unix.Fstat(dup, &put))
		must(t, unix.Fstat(int(file.Fd()), &held))
		unix.Close(dup)
		if put.Ino != held.Ino {
			t.Errorf("descriptor %d is inode %d, want %d", at, put.Ino, held.Ino)
		}
		must(t, c.Continue())
		p.expect("0") // it listens, and may again
		_, err = fmt.Fprintln(p.in, "cloexec", at)
		must(t, err)
		want := "0 <nil>"
		if cloexec {
			want = "1 <nil>"
		}
		p.expect(want)
	}
}

// A caller that dies takes its calls along, and the last one the listener.
func TestCallerDies(t *testing.T) {
	p := start(t)
	c := p.does("listen 0")
	must(t, p.cmd.Process.Kill())
	_ = p.cmd.Wait()
	if c.Valid() {
		t.Error("a call of the dead is valid")
	}
	if err := c.Put(0, 0, true); !errors.Is(err, unix.ENOENT) {
		t.Errorf("a descriptor put into the dead: %v", err)
	}
	must(t, c.Fail(unix.EPERM))
	if c, err := p.l.Receive(); err != io.EOF {
		t.Errorf("after the last process: %v, %v", c, err)
	}
}

// Whoever waits for calls hears of the end of the last caller, and of Close.
func TestReceiveEnds(t *testing.T) {
	for _, c := range []struct {
		what string
		end  func(p *process)
		eof  bool
	}{
		{"the caller ends", func(p *process) { _ = p.cmd.Process.Kill() }, true},
		{"the listener closes", func(p *process) { _ = p.l.Close() }, false},
	} {
		t.Run(c.what, func(t *testing.T) {
			p := start(t)
			ended := make(chan error, 1)
			go func() {
				_, err := p.l.Receive()
				ended <- err
			}()
			c.end(p)
			select {
			case err := <-ended:
				if err == nil || c.eof != (err == io.EOF) {
					t.Error(err)
				}
			case <-time.After(30 * time.Second):
				t.Fatal("it still waits")
			}
		})
	}
}

// Without anybody who answers, a call fails.
func TestListenerIsClosed(t *testing.T) {
	p := start(t)
	must(t, p.l.Close())
	_, err := fmt.Fprintln(p.in, "listen 0")
	must(t, err)
	p.expect(strconv.Itoa(int(unix.ENOSYS)))
}

// Whoever stops receiving leaves what has not been received to the next listener, and
// gets what has been.
func TestStop(t *testing.T) {
	p := start(t)
	must(t, p.does("listen 0").Return(0))
	p.expect("0")
	received := p.does("listen 0")
	stopped := make(chan error, 1)
	go func() {
		_, err := p.l.Receive()
		stopped <- err
	}()
	p.l.Stop()
	if err := <-stopped; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v, want %v", err, os.ErrDeadlineExceeded)
	}
	must(t, received.Return(0))
	p.expect("0")
	_, err := fmt.Fprintln(p.in, "listen 0")
	must(t, err)
	fd, err := p.l.Dup()
	must(t, err)
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	if n, err := unix.Poll(poll, 30000); n != 1 {
		t.Fatalf("no call waits: %v", err)
	}
	if c, err := p.l.Receive(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("one that has been stopped receives %v, %v", c, err)
	}
	must(t, p.l.Close())
	p.l, err = NewListener(fd)
	must(t, err)
	c, err := p.l.Receive()
	must(t, err)
	must(t, c.Return(0))
	p.expect("0")
}
