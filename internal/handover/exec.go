package handover

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// variable is the environment variable that names the descriptor of the bag.
const variable = "CLUSTERD_HANDOVER"

// Exec replaces this program by the one at path, with the same arguments and
// environment, and hands the bag over. It returns only if that could not be done:
// the program goes on, with everything in the bag as before.
//
// The kernel ends all other threads, and sends the parent-death signal of each
// child whose parent was one of these (kernel/exit.c): the caller must be locked to
// the thread that has started those children. The next program begins in this
// thread, as the first one of the process.
func (b *Bag) Exec(path string) error {
	f, err := b.write()
	if err != nil {
		return fmt.Errorf("hand over: %w", err)
	}
	defer f.Close()
	env := append(environment(), variable+"="+strconv.Itoa(int(f.Fd())))
	// Whatever is started meanwhile would have the descriptors as well.
	syscall.ForkLock.Lock()
	defer syscall.ForkLock.Unlock()
	fds := []int{int(f.Fd())}
	b.mu.Lock()
	for fd := range b.fds {
		fds = append(fds, fd)
	}
	b.mu.Unlock()
	for _, fd := range fds {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
			b.keepHere(fds)
			return fmt.Errorf("hand over descriptor %d: %w", fd, err)
		}
	}
	err = syscall.Exec(path, os.Args, env)
	b.keepHere(fds)
	return fmt.Errorf("execute %s: %w", path, err)
}

// keepHere has descriptors closed in execve(2) again.
func (b *Bag) keepHere(fds []int) {
	for _, fd := range fds {
		unix.CloseOnExec(fd)
	}
}

// environment is that of this process, without what is only for itself.
func environment() []string {
	var out []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, variable+"=") {
			out = append(out, kv)
		}
	}
	return out
}

// Received is the bag that this process was handed, nil if it was started in the
// usual way. It is to be called once, before anything is started. With an error,
// what was handed over cannot be taken, and is lost.
func Received() (*Bag, error) {
	value, ok := os.LookupEnv(variable)
	if !ok {
		return nil, nil
	}
	os.Unsetenv(variable)
	fd, err := strconv.Atoi(value)
	if err != nil || fd < 0 {
		return nil, fmt.Errorf("take over: %s=%s names no descriptor", variable, value)
	}
	unix.CloseOnExec(fd)
	f := os.NewFile(uintptr(fd), "handover")
	if f == nil {
		return nil, errors.New("take over: nothing was handed over")
	}
	defer f.Close()
	b, err := read(f)
	if err != nil {
		return nil, fmt.Errorf("take over: %w", err)
	}
	return b, nil
}
