package proc

import (
	"context"
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"clusterd/internal/cgroup"
	"clusterd/internal/port"
	"clusterd/internal/setup"
)

// spec is what to execute for one generation of an instance.
type spec struct {
	args   []string // the program first; looked up in the PATH of env when it has no slash
	env    []string
	dir    string
	stdout *os.File // given to the process; the caller keeps and closes its own
	stderr *os.File
	run    string // unique among all runs of all clusterds; also in env, as runVariable
	access access
	cpus   float64     // the most that it may use, with all below it; 0: no limit
	setup  setup.Order // what the process changes of itself before it becomes its command
}

// access is what a process needs to get onto its port. The zero value is for
// one that does so by itself.
type access struct {
	// adopt makes what decides the bind and listen calls of the process and all
	// below it, which pids lists; nil: nobody does. grip is that of its adoption.
	adopt func(pids func() []int) *port.Adoption
	grip  port.Grip
	// inherited are sockets to be given, as descriptors 3 and on; the caller
	// closes its own. names are theirs, for LISTEN_FDNAMES.
	inherited []int
	names     []string
}

func (a access) shim() *port.Shim {
	if a.adopt == nil && len(a.inherited) == 0 {
		return nil
	}
	return &port.Shim{Adopt: a.adopt != nil, Grip: a.grip, Inherited: a.names}
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
	// Signal sends sig to the leader's process group, and soon after that to members
	// outside of it that are, or become, orphans.
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
// instances die with it, and its guardian ends the rest.
type launcher struct {
	thread thread
	guard  *guard
	groups cgroup.Own // where control groups are made, for those that are limited

	asking readings // of the orphans

	mu        sync.Mutex
	leaders   map[int]*leader // by pid, until End lets go
	launching bool            // there may be a leader that is not in leaders yet
}

type launch struct {
	path  string
	args  []string
	env   []string
	dir   string
	run   string
	files []uintptr // the process's, by descriptor
	group *os.File  // the control group to be born in; nil: clusterd's
	setup setup.Order
}

// newLauncher makes this process a subreaper (Linux 3.4), so that whatever an
// instance starts stays below it in the tree of processes, begins to reap the
// orphans that this brings, and starts its guardian, which holds files open. Call it
// once in a process.
func newLauncher(held ...*os.File) (*launcher, error) {
	g, err := newGuard(held)
	if err != nil {
		return nil, err
	}
	l, err := launcherWith(g)
	if err != nil {
		return nil, err
	}
	l.begin()
	return l, nil
}

func launcherWith(g *guard) (*launcher, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("become a subreaper: %w", err)
	}
	return &launcher{guard: g, groups: cgroup.Find(), thread: newThread(), leaders: map[int]*leader{}}, nil
}

// begin begins to reap.
func (l *launcher) begin() {
	go l.reapOrphans()
	go l.noteOrphans()
}

// start forks and executes s. The error of a command that cannot be executed
// is a sentence that says why; that of a process that cannot be given access to
// its port is a *port.RefusedError. It blocks for as long as the file systems of
// the command and its folder do; what can be found out about them is found out
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
	r := launch{
		path:  path,
		args:  s.args,
		env:   s.env,
		dir:   s.dir,
		run:   s.run,
		setup: s.setup,
		files: []uintptr{null.Fd(), s.stdout.Fd(), s.stderr.Fd()},
	}
	for _, fd := range s.access.inherited {
		r.files = append(r.files, uintptr(fd))
	}
	if s.cpus > 0 {
		if r.group, err = l.groups.Limited(s.run, s.cpus); err != nil {
			return nil, fmt.Errorf("limits.cpu = %g: %w", s.cpus, err)
		}
		defer r.group.Close()
	}
	var p *leader
	if shim := s.access.shim(); shim != nil {
		p, err = l.startShim(r, *shim, s.access.adopt)
	} else {
		p, err = l.fork(r)
	}
	if err != nil && r.group != nil {
		_ = l.groups.Group(s.run).Remove()
		if err == syscall.ENOSYS {
			err = fmt.Errorf("limits.cpu = %g: clone3 (Linux 5.7) is not allowed here, with which processes begin in a control group", s.cpus)
		}
	}
	if errno, ok := err.(syscall.Errno); ok { // as it comes from fork(2) or execve(2)
		err = execError(path, s.dir, errno)
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

// startShim is fork by way of a shim, which executes the command when it has
// prepared the process for it.
func (l *launcher) startShim(r launch, shim port.Shim, adopt func(func() []int) *port.Adoption) (*leader, error) {
	ours, theirs, err := port.ShimPair()
	if err != nil {
		return nil, err
	}
	defer ours.Close()
	r.path, r.args = port.ShimPath, shim.Args(r.path, r.args)
	r.files = append(r.files, theirs.Fd())
	p, err := l.fork(r)
	theirs.Close()
	if err != nil {
		return nil, err
	}
	listener, err := port.AwaitShim(ours)
	if err != nil {
		now, cancel := context.WithCancel(context.Background())
		cancel()
		p.End(now)
		return nil, err
	}
	if listener != nil {
		// Its only errors are those of a listener that is broken; then the calls
		// fail with ENOSYS, and the process says so.
		p.adoption = adopt(p.Members)
		go func() { _ = p.adoption.Serve(listener, p.claim) }()
	}
	return p, nil
}

// fork starts a process in the launcher's thread.
func (l *launcher) fork(r launch) (*leader, error) {
	if !r.setup.Empty() {
		r.path, r.args = setup.Path, r.setup.Args(r.path, r.args)
	}
	var p *leader
	var err error
	l.thread.do(func() { p, err = l.forkHere(r) })
	return p, err
}

// forkHere does what has to be done in the launcher's thread. No lock is held
// meanwhile: an execve(2) takes as long as the file system of the program.
func (l *launcher) forkHere(r launch) (*leader, error) {
	l.mu.Lock()
	l.launching = true
	l.mu.Unlock()
	pidfd := -1
	sys := &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL, PidFD: &pidfd}
	if r.group != nil {
		sys.UseCgroupFD, sys.CgroupFD = true, int(r.group.Fd())
	}
	pid, _, err := syscall.StartProcess(r.path, r.args, &syscall.ProcAttr{
		Dir:   r.dir,
		Env:   r.env,
		Files: r.files,
		Sys:   sys,
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.launching = false
	if err != nil {
		return nil, err
	}
	p := &leader{pid: pid, run: r.run, launcher: l}
	if p.pidfd, err = pollable(pid, pidfd); err != nil {
		unix.Kill(pid, unix.SIGKILL) // unreaped: it cannot be anybody else
		unix.Wait4(pid, nil, 0, nil)
		return nil, err
	}
	l.leaders[pid] = p
	l.guard.leads(pid)
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
