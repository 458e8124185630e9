package port

import (
	"net"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// Who cannot be looked into may have a socket open.
func TestUnknownIsOpen(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ours, none := inodeOf(t, l.(*net.TCPListener)), uint64(1)
	child := exec.Command("sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	all := []int{child.Process.Pid, os.Getpid()}
	find := func(inode uint64, pids ...int) (open bool, at descriptor) {
		at.pid = 1
		open = at.find(inode, pids)
		return open, at
	}
	if open, at := find(ours, all...); !open || at.pid != os.Getpid() {
		t.Errorf("its own socket: %v, %v", open, at)
	}
	if open, at := find(none, all...); open || at != (descriptor{}) {
		t.Errorf("no socket: %v, %v", open, at)
	}
	shortOfDescriptors(t, func() {
		if open, at := find(none, all...); !open || at != (descriptor{}) {
			t.Errorf("without descriptors to look: %v, %v", open, at)
		}
	})
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it has ended", func() bool { return ended(child.Process.Pid) })
	if open, _ := find(none, child.Process.Pid); open {
		t.Error("what has ended and is not reaped has something open")
	}
	_ = child.Wait()
	if open, _ := find(none, child.Process.Pid); open {
		t.Error("what is gone has something open")
	}
}

func inodeOf(t *testing.T, l *net.TCPListener) uint64 {
	t.Helper()
	f, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

// shortOfDescriptors does something while this process can open nothing more.
func shortOfDescriptors(t *testing.T, do func()) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 0, Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
	}()
	do()
}
