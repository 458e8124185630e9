package control

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"clusterd/internal/handover"
)

// Place is where the control files of one cluster are. The daemon and its
// clients find the same one from the path of the config file.
type Place struct {
	Socket string
	lock   string
}

// PlaceOf returns the place of the cluster whose config file is at path, which
// must be absolute, with symbolic links resolved. It makes the folder, in
// $XDG_RUNTIME_DIR, or in the temp directory where that is not set, and makes
// sure that nobody else can write to it.
func PlaceOf(path string) (Place, error) {
	dir, err := runtimeDir()
	if err != nil {
		return Place{}, err
	}
	sum := sha256.Sum256([]byte(path))
	base := filepath.Join(dir, hex.EncodeToString(sum[:8]))
	p := Place{Socket: base + ".sock", lock: base + ".lock"}
	if max := len(unix.RawSockaddrUnix{}.Path) - 1; len(p.Socket) > max {
		return Place{}, fmt.Errorf("the path of the control socket, %s, is longer than the %d bytes that a socket can have; "+
			"set XDG_RUNTIME_DIR to a shorter one", p.Socket, max)
	}
	return p, nil
}

func runtimeDir() (string, error) {
	dir := filepath.Join(os.TempDir(), "clusterd-"+strconv.Itoa(os.Getuid()))
	if xdg := os.Getenv("XDG_RUNTIME_DIR"); xdg != "" && !belongsToOther(xdg) {
		dir = filepath.Join(xdg, "clusterd")
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("make the folder of the control socket: %w", err)
	}
	// In a shared temp directory somebody else may have been there first.
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return "", fmt.Errorf("look at the folder of the control socket, %s: %w", dir, err)
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return "", fmt.Errorf("%s is to be the folder of the control socket, but is no folder", dir)
	case int(st.Uid) != os.Getuid():
		return "", fmt.Errorf("%s is to be the folder of the control socket, but belongs to user %d; set XDG_RUNTIME_DIR", dir, st.Uid)
	case st.Mode&0o077 != 0:
		return "", fmt.Errorf("%s is to be the folder of the control socket, but others may enter it; chmod 700 it", dir)
	}
	return dir, nil
}

// belongsToOther tells that a folder is there and another user's, as
// XDG_RUNTIME_DIR is after su or sudo -E.
func belongsToOther(dir string) bool {
	var st unix.Stat_t
	return unix.Stat(dir, &st) == nil && int(st.Uid) != os.Getuid()
}

// RunningError says that a cluster runs already.
type RunningError struct{ PID int } // 0: not known

func (e *RunningError) Error() string {
	if e.PID == 0 {
		return "this cluster is already running"
	}
	return fmt.Sprintf("this cluster is already running, as pid %d", e.PID)
}

// Lock is held by the daemon of a cluster as long as it lives; the kernel drops
// it with the last process that has its file open.
type Lock struct{ file *os.File }

// A daemon that was killed is cleaned up after, which takes a moment.
const (
	lockPatience = 10 * time.Second
	lockPoll     = 10 * time.Millisecond
)

// processEnded tells that there is no such process any more, but for its parent's sake.
func processEnded(pid int) bool {
	if pid == 0 {
		return false // nobody knows
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return errors.Is(err, fs.ErrNotExist) || bytes.Contains(b, []byte(") Z "))
}

// File is what has to be open for the lock to be held.
func (l *Lock) File() *os.File { return l.file }

// Lock takes the cluster's lock, or returns a *RunningError. While what a killed
// daemon has left behind is being ended, it waits.
func (p Place) Lock() (*Lock, error) {
	f, err := os.OpenFile(p.lock, os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock of the cluster: %w", err)
	}
	// A lock of the open file (fcntl(2), F_OFD_SETLK), since others can ask
	// about it without taking it, and a guardian can hold it on.
	for begun := time.Now(); ; time.Sleep(lockPoll) {
		err = unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EACCES) {
			break
		}
		if pid := readPID(f); !processEnded(pid) || time.Since(begun) > lockPatience {
			f.Close()
			return nil, &RunningError{PID: pid}
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", p.lock, err)
	}
	// The pid is only for people; the lock is what counts.
	if err = f.Truncate(0); err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("write %s: %w", p.lock, err)
	}
	return &Lock{f}, nil
}

// HandOver keeps the lock in b, for TakeLock in the next program.
func (l *Lock) HandOver(b *handover.Bag) (fd int, err error) { return b.KeepFile(l.file) }

// TakeLock is the lock that was handed over.
func TakeLock(fd int, b *handover.Bag) (*Lock, error) {
	fd, err := b.Take(fd)
	if err != nil {
		return nil, fmt.Errorf("take the lock of the cluster over: %w", err)
	}
	return &Lock{os.NewFile(uintptr(fd), "lock")}, nil
}

// Holder tells whether a daemon holds the cluster's lock, and its pid (0: not
// known). It does not get in the way of one that starts.
func (p Place) Holder() (pid int, held bool, err error) {
	f, err := os.OpenFile(p.lock, os.O_RDWR|unix.O_CLOEXEC, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("open the lock of the cluster: %w", err)
	}
	defer f.Close()
	l := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &l); err != nil {
		return 0, false, fmt.Errorf("look at the lock %s: %w", p.lock, err)
	}
	if l.Type == unix.F_UNLCK {
		return 0, false, nil
	}
	return readPID(f), true, nil
}

// readPID is the pid in a lock's file, or 0.
func readPID(f *os.File) int {
	b := make([]byte, 20)
	n, _ := f.ReadAt(b, 0) // io.EOF: it is shorter
	pid, _ := strconv.Atoi(string(b[:n]))
	return pid
}

// Release lets go of the lock. Its file stays: removing it would let two
// daemons lock two files of the same name.
func (l *Lock) Release() { l.file.Close() }
