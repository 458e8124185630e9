package proc

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// spec is what to execute for one generation of an instance.
type spec struct {
	args   []string // the program first; looked up in the PATH of env when it has no slash
	env    []string
	dir    string
	stdout *os.File // given to the process; the caller keeps and closes its own
	stderr *os.File
	run    string // unique among all runs of all clusterds; also in env, as runVariable
}

// exitStatus is how a process ended.
type exitStatus struct {
	code   int            // -1 when a signal ended it
	signal syscall.Signal // 0 when it exited by itself
}

// String says it in words: "exited with code 1", "was killed by SIGKILL".
func (s exitStatus) String() string {
	if s.signal != 0 {
		return "was killed by " + signalName(s.signal)
	}
	return fmt.Sprintf("exited with code %d", s.code)
}

// process is a running instance: a session leader and all its descendants,
// wherever they moved to. It is the OS half of an instance; the event loop
// decides when to call what. Tests put a fake in its place.
type process interface {
	PID() int
	// Exited blocks until the leader has ended, and says how. The leader stays
	// a zombie, so that no signal can reach a stranger with its number.
	Exited() exitStatus
	// Signal sends sig to the leader's process group.
	Signal(sig syscall.Signal) error
	// Members lists the living processes of the instance, the leader included.
	Members() []int
	// Usage is what the leader and all processes below it have used: CPU time in
	// clock ticks, and resident memory in pages. It is not ok when there are none.
	Usage() (ticks, pages uint64, ok bool)
	// Kill sends SIGKILL to every member. It returns at once; who forked
	// meanwhile is left to End.
	Kill()
	// End waits until no member is left, kills those that are still there when
	// ctx ends, and then lets go of the leader. Nothing else may be called
	// after it.
	End(ctx context.Context)
}

// launcher starts processes. Its one thread lives as long as the process does:
// the kernel ties a parent-death signal to the thread that forked (prctl(2),
// PR_SET_PDEATHSIG). Of a clusterd killed by SIGKILL, the leaders of its
// instances die with it; their descendants do not, unless they see to that.
type launcher struct {
	requests chan launch

	mu        sync.Mutex
	leaders   map[int]*leader // by pid, until End lets go
	launching bool            // there may be a leader that is not in leaders yet
}

type launch struct {
	spec  spec
	path  string
	stdin *os.File
	reply chan launched
}

type launched struct {
	leader *leader
	err    error
}

// newLauncher makes this process a subreaper (Linux 3.4), so that whatever an
// instance starts stays below it in the tree of processes, and begins to reap
// the orphans that this brings. Call it once in a process.
func newLauncher() (*launcher, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("become a subreaper: %w", err)
	}
	l := &launcher{requests: make(chan launch), leaders: map[int]*leader{}}
	go l.serve()
	go l.reapOrphans()
	return l, nil
}

func (l *launcher) serve() {
	runtime.LockOSThread()
	for r := range l.requests {
		p, err := l.fork(r)
		r.reply <- launched{p, err}
	}
}

// start forks and executes s. The error of a command that cannot be executed
// is a sentence that says why. It blocks for as long as the file systems of the
// command and its folder do; what can be found out about them is found out
// before the thread is asked that all launches share.
func (l *launcher) start(s spec) (process, error) {
	path, err := executable(s.args[0], s.dir, s.env)
	if err != nil {
		return nil, err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	reply := make(chan launched, 1)
	l.requests <- launch{s, path, null, reply}
	r := <-reply
	if errno, ok := r.err.(syscall.Errno); ok { // as it comes from fork(2) or execve(2)
		return nil, execError(path, s.dir, errno)
	}
	if r.err != nil {
		return nil, r.err
	}
	return r.leader, nil
}

// fork does what has to be done in the launcher's thread. No lock is held
// meanwhile: an execve(2) takes as long as the file system of the program.
func (l *launcher) fork(r launch) (*leader, error) {
	l.mu.Lock()
	l.launching = true
	l.mu.Unlock()
	pidfd := -1
	pid, _, err := syscall.StartProcess(r.path, r.spec.args, &syscall.ProcAttr{
		Dir:   r.spec.dir,
		Env:   r.spec.env,
		Files: []uintptr{r.stdin.Fd(), r.spec.stdout.Fd(), r.spec.stderr.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL, PidFD: &pidfd},
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.launching = false
	if err != nil {
		return nil, err
	}
	p := &leader{pid: pid, run: r.spec.run, launcher: l}
	if p.pidfd, err = pollable(pid, pidfd); err != nil {
		unix.Kill(pid, unix.SIGKILL) // unreaped: it cannot be anybody else
		unix.Wait4(pid, nil, 0, nil)
		return nil, err
	}
	l.leaders[pid] = p
	return p, nil
}

// pollable wraps a pidfd so that waiting for it parks a goroutine, not a thread.
func pollable(pid, fd int) (*os.File, error) {
	if fd < 0 { // no clone3 here, as in some sandboxes
		var err error
		if fd, err = unix.PidfdOpen(pid, 0); err != nil {
			return nil, fmt.Errorf("pidfd_open (needs Linux 5.3): %w", err)
		}
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fd), "pidfd"), nil
}

// isLeader tells whether pid is an instance's leader that End has not let go.
func (l *launcher) isLeader(pid int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.leaders[pid] != nil
}

// leaderOfRun is the pid of the leader of a run, 0 when it is none of ours.
func (l *launcher) leaderOfRun(run string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	for pid, p := range l.leaders {
		if p.run == run {
			return pid
		}
	}
	return 0
}

// signalName is "SIGTERM", or "signal 40" for one without a name.
func signalName(s syscall.Signal) string {
	if name := unix.SignalName(s); name != "" {
		return name
	}
	return fmt.Sprintf("signal %d", int(s))
}
