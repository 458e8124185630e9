// Package setup starts processes that are to have other limits, another mask or
// another user than this one: the program that imports it, executed again under
// another name, changes itself and then becomes the command. The process keeps
// its PID, parent, session, descriptors and parent-death signal.
package setup

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Path is the program to execute for an Order: this one, even when its file has
// been replaced meanwhile.
const Path = "/proc/self/exe"

// name is what the program is called as then (argv[0]).
const name = "clusterd-setup"

// Order is what to change. The zero Order is nothing.
type Order struct {
	Nofile int // RLIMIT_NOFILE, soft and hard; 0: as it is
	Umask  *int
	User   *User
}

// User is whom to become.
type User struct {
	UID, GID int
	Groups   []int // all supplementary ones
}

// Empty tells that nothing is to be changed.
func (o Order) Empty() bool { return o.Nofile == 0 && o.Umask == nil && o.User == nil }

// Args is the command line that gives the order to a child of this process,
// which then becomes the program at path with the command line argv.
func (o Order) Args(path string, argv []string) []string {
	order, err := json.Marshal(o)
	if err != nil {
		panic(err) // numbers
	}
	return append([]string{name, string(order), strconv.Itoa(os.Getpid()), path}, argv...)
}

// Ordered tells whether this process was started by Args. Its main has to call
// Run then, before anything else.
func Ordered() bool { return len(os.Args) >= 5 && os.Args[0] == name }

// failed is the exit code of a process that could not become its command, as
// shells have it.
const failed = 126

// Run does what was ordered and becomes the command. When that fails, it says why
// on stderr and ends the process.
func Run() {
	runtime.LockOSThread() // user and parent-death signal are the thread's, and so is the exec
	path, argv := os.Args[3], os.Args[4:]
	var o Order
	err := json.Unmarshal([]byte(os.Args[1]), &o)
	if err == nil {
		err = o.apply(os.Args[2])
	}
	if err == nil {
		err = fmt.Errorf("execute %s: %w", path, syscall.Exec(path, argv, os.Environ()))
	}
	fmt.Fprintln(os.Stderr, "clusterd: cannot start:", err)
	os.Exit(failed)
}

func (o Order) apply(parent string) error {
	if o.Nofile != 0 {
		// Not that of package unix, after which package syscall would set at
		// the exec what this process was started with.
		n := syscall.Rlimit{Cur: uint64(o.Nofile), Max: uint64(o.Nofile)}
		if err := syscall.Setrlimit(unix.RLIMIT_NOFILE, &n); err != nil {
			return fmt.Errorf("limit open files to %d: %w", o.Nofile, err)
		}
	}
	if o.Umask != nil {
		unix.Umask(*o.Umask)
	}
	if o.User == nil {
		return nil
	}
	if err := o.User.become(); err != nil {
		return err
	}
	// Another user means no parent-death signal any more, see
	// PR_SET_PDEATHSIG(2const).
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("set the parent-death signal: %w", err)
	}
	if strconv.Itoa(os.Getppid()) != parent {
		return fmt.Errorf("the parent has died")
	}
	return nil
}

// become changes this thread only: package syscall would change all threads,
// which the exec makes an end of in any case.
func (u User) become() error {
	if err := setgroups(u.Groups); err != nil {
		return fmt.Errorf("set the groups: %w", err)
	}
	gid, uid := uintptr(u.GID), uintptr(u.UID)
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESGID, gid, gid, gid); errno != 0 {
		return fmt.Errorf("become group %d: %w", u.GID, errno)
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uid, uid, uid); errno != 0 {
		return fmt.Errorf("become user %d: %w", u.UID, errno)
	}
	return nil
}
