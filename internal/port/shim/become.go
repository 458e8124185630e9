package shim

import (
	"errors"
	"strconv"
	"syscall"
	"unsafe"
)

// What a shim tells its parent, as the first byte of a message.
const (
	WordListener = 'L' // with the descriptor for a seccomp.Listener
	WordRefused  = 'R' // with an errno and a text: not prepared, nothing was executed
	WordExec     = 'X' // with an errno: the command could not be executed
)

// init is the whole life of a shim. In any other process it reads the command
// line, and that is all.
func init() {
	args, ok := commandLine()
	if !ok {
		return
	}
	// On the first thread, as all initialisation is: it has the parent-death signal
	// that the parent asked for, and a filter is one thread's.
	o, inherited, names, err := parse(args)
	if err == nil {
		o.become(inherited, names)
	}
	syscall.Exit(1)
}

// commandLine is that of this process if it is a shim. Nobody can ask the runtime
// for it before the package os is there.
func commandLine() (args []string, ok bool) {
	fd, err := syscall.Open("/proc/self/cmdline", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, false
	}
	defer syscall.Close(fd)
	var first [512]byte
	n, _ := syscall.Read(fd, first[:])
	if n <= len(name) || string(first[:len(name)]) != name || first[len(name)] != 0 {
		return nil, false
	}
	all := append([]byte(nil), first[:n]...)
	for n > 0 {
		var more [4096]byte
		if n, err = syscall.Read(fd, more[:]); err != nil {
			return nil, false
		}
		all = append(all, more[:n]...)
	}
	for start, i := 0, 0; i < len(all); i++ {
		if all[i] == 0 {
			args = append(args, string(all[start:i]))
			start = i + 1
		}
	}
	return args, true
}

// become follows the order. It returns only when that failed, and has told the
// parent why.
func (o Order) become(inherited int, names string) {
	control := FirstFD + inherited
	syscall.CloseOnExec(control)
	if err := o.prepare(control); err != nil {
		report(control, WordRefused, err)
		return
	}
	if o.Path == "" {
		if err := listen(); err != nil {
			report(control, WordExec, err)
		}
		return
	}
	env := syscall.Environ()
	if inherited > 0 {
		env = handOver(env, inherited, names)
	}
	report(control, WordExec, syscall.Exec(o.Path, o.Argv, env))
}

// handOver tells the command what it inherits, and nothing of what somebody else
// was given.
func handOver(env []string, inherited int, names string) []string {
	const ours = "LISTEN_"
	var out []string
	for _, kv := range env {
		if len(kv) < len(ours) || kv[:len(ours)] != ours {
			out = append(out, kv)
		}
	}
	return append(out, "LISTEN_PID="+strconv.Itoa(syscall.Getpid()), "LISTEN_FDS="+strconv.Itoa(inherited), "LISTEN_FDNAMES="+names)
}

func (o Order) prepare(control int) error {
	// The kernel has forgotten what the parent asked for if this program may be
	// executed but not read (PR_SET_PDEATHSIG(2const)).
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_PDEATHSIG, uintptr(syscall.SIGKILL), 0); errno != 0 {
		return &failure{"set the parent-death signal", errno}
	}
	if strconv.Itoa(syscall.Getppid()) != o.parent {
		return errors.New("the parent has died")
	}
	if len(o.Filter) == 0 {
		return nil
	}
	fd, err := install(o.Filter)
	if err != nil {
		return err
	}
	if err := syscall.Sendmsg(control, []byte{WordListener}, syscall.UnixRights(fd), nil, 0); err != nil {
		return &failure{"sendmsg", err}
	}
	return nil
}

// install puts a filter on this thread, and returns the listener, which is closed
// on exec. A thread that may not filter itself as it is (it lacks CAP_SYS_ADMIN)
// gives up gaining privileges by executing set-user-ID programs first.
func install(filter []syscall.SockFilter) (fd int, err error) {
	const prSetNoNewPrivs = 38
	fd, errno := seccomp(filter)
	if errno == syscall.EACCES {
		if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, prSetNoNewPrivs, 1, 0, 0, 0, 0); errno != 0 {
			return -1, &failure{"set no_new_privs", errno}
		}
		fd, errno = seccomp(filter)
	}
	if errno != 0 {
		return -1, &failure{"seccomp", errno}
	}
	return fd, nil
}

// From linux/seccomp.h.
const (
	setModeFilter    = 1
	flagSpecAllow    = 1 << 2
	flagNewListener  = 1 << 3
	flagWaitKillable = 1 << 5 // Linux 5.19: else a signal interrupts a call that is being decided, and it is reported again
)

func seccomp(filter []syscall.SockFilter) (fd int, errno syscall.Errno) {
	prog := syscall.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	for _, flags := range []uintptr{flagWaitKillable, 0} {
		var r uintptr
		r, _, errno = syscall.RawSyscall(sysSeccomp, setModeFilter, flags|flagNewListener|flagSpecAllow, uintptr(unsafe.Pointer(&prog)))
		if errno != syscall.EINVAL {
			return int(r), errno
		}
	}
	return -1, errno
}

// listen is what an order without a program asks for.
func listen() error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return err
	}
	return syscall.Listen(fd, 1)
}

// failure is a system call that failed, as os.SyscallError says it.
type failure struct {
	what  string
	errno error
}

func (f *failure) Error() string { return f.what + ": " + f.errno.Error() }
func (f *failure) Unwrap() error { return f.errno }

// report sends a word, an errno, 0 for none, and a text.
func report(control int, word byte, err error) {
	var errno syscall.Errno
	errors.As(err, &errno)
	msg := []byte{word, byte(errno), byte(errno >> 8), byte(errno >> 16), byte(errno >> 24)}
	_ = syscall.Sendmsg(control, append(msg, err.Error()...), nil, nil, 0) // to nobody if the parent has gone
}
