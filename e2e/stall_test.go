package e2e

import (
	"fmt"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openPty makes a terminal that nobody reads until the test does.
func openPty(t *testing.T) (master, slave *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	master = os.NewFile(uintptr(fd), "/dev/ptmx")
	t.Cleanup(func() { master.Close() })
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 60, Col: 200})
	}
	if err != nil {
		t.Fatal(err)
	}
	if slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

// full tells whether whoever writes to a terminal has to wait.
func full(t *testing.T, slave *os.File) bool {
	t.Helper()
	fds := []unix.PollFd{{Fd: int32(slave.Fd()), Events: unix.POLLOUT}}
	if _, err := unix.Poll(fds, 0); err != nil && err != unix.EINTR {
		t.Fatal(err)
	}
	return fds[0].Revents&unix.POLLOUT == 0
}

func awaitFull(t *testing.T, slave *os.File) {
	t.Helper()
	for end := time.Now().Add(deadline); !full(t, slave); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the terminal is not full")
		}
	}
}

// recovery is how long it takes from the death of an instance until its successor
// is ready.
func (w *workspace) recovery(id string) time.Duration {
	w.t.Helper()
	pid := *w.status().instance(id).PID
	killed := time.Now()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		w.t.Fatal(err)
	}
	for end := time.Now().Add(deadline); ; time.Sleep(10 * time.Millisecond) {
		if in := w.status().instance(id); in.State == "ready" && *in.PID != pid {
			return in.Since.Sub(killed)
		}
		if time.Now().After(end) {
			w.t.Fatalf("%s is not started again", id)
		}
	}
}

// TestStalledTerminal has a dashboard on a terminal that takes no more output:
// instances that crash are started again as fast as before that, and clusterd
// still ends when it is told to.
func TestStalledTerminal(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	w.env = []string{"TERM=xterm-256color", "LANG=C.UTF-8"}
	const each = 4 // none of them crashes twice, which would be waited for
	w.configure("[apps.flood]\ncommand = [\"yes\", \"water\"]\n", web(w.port(), 2*each))
	master, slave := openPty(t)
	d := w.prepare("-c", "cluster.toml")
	d.cmd.Stdin, d.cmd.Stdout, d.cmd.Stderr = slave, slave, slave
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() { // somebody reads, until told to stop
		defer close(stopped)
		buf := make([]byte, 1<<16)
		for {
			select {
			case <-stop:
				return
			default:
			}
			_ = master.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
			_, _ = master.Read(buf)
		}
	}()
	d.begin()
	for w.run("wait").code == 3 { // it is not there yet
		time.Sleep(10 * time.Millisecond)
	}
	read, stalled := make([]time.Duration, each), make([]time.Duration, each)
	for i := range read {
		read[i] = w.recovery(fmt.Sprintf("web/%d", i))
	}

	close(stop)
	<-stopped
	awaitFull(t, slave)
	for i := range stalled {
		stalled[i] = w.recovery(fmt.Sprintf("web/%d", each+i))
	}
	awaitFull(t, slave) // it still is, but for what the kernel has moved on meanwhile
	// The fastest of each, since the machine is busy with other tests.
	if was, is := slices.Min(read), slices.Min(stalled); is > 10*was {
		t.Errorf("with a terminal that takes no output a crashed instance is ready after %v, else after %v", is, was)
	}
	d.signal(syscall.SIGTERM)
	<-d.exited
	w.awaitNobody()
}
