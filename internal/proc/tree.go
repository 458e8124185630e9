package proc

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// member is one process of an instance. Its number and the time it started
// name it for good; the number alone may be somebody else's tomorrow.
type member struct {
	pid int
	stat
}

// signal sends sig to exactly this process.
func (m member) signal(sig unix.Signal) {
	fd, err := unix.PidfdOpen(m.pid, 0)
	if err != nil {
		return // gone
	}
	defer unix.Close(fd)
	// The descriptor is bound to whoever has the number now; if that is still
	// the process that was seen, it can become nobody else.
	if st, err := readStat(m.pid); err == nil && st.start == m.start {
		_ = unix.PidfdSendSignal(fd, sig, nil, 0)
	}
}

func (m member) kill() { m.signal(unix.SIGKILL) }

// stat is what is needed of /proc/PID/stat, see proc_pid_stat(5).
type stat struct {
	zombie  bool
	parent  int
	group   int
	session int
	ticks   uint64 // user and system time, with that of children that were waited for, in clock ticks
	start   uint64 // clock ticks after boot
	threads uint64
	faults  uint64 // of memory, as fork(2) has them, also those of children that were waited for
	pages   uint64 // resident
}

func readStat(pid int) (stat, error) {
	b, err := readProc("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return stat{}, err
	}
	// The command's name stands in parentheses and may hold anything.
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(f) < 22 {
		return stat{}, fmt.Errorf("/proc/%d/stat: %d fields", pid, len(f))
	}
	field := func(n int) uint64 { // numbered as in the man page
		v, _ := strconv.ParseUint(f[n-3], 10, 64)
		return v
	}
	return stat{
		// The state is that of the first thread only. Others may outlive it, and
		// have the process's children until the last of them has ended.
		zombie:  (f[0] == "Z" || f[0] == "X") && field(20) <= 1,
		parent:  int(field(4)),
		group:   int(field(5)),
		session: int(field(6)),
		ticks:   field(14) + field(15) + field(16) + field(17),
		start:   field(22),
		threads: field(20),
		faults:  field(10) + field(11),
		pages:   field(24),
	}, nil
}

// readProc is os.ReadFile for /proc, whose files are read all the time: it takes
// a fourth of the system calls, since it does not ask whether it could wait for
// them, nor mostly for their end.
func readProc(name string) ([]byte, error) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(fd)
	for b := make([]byte, 0, 512); ; b = slices.Grow(b, 512) {
		room := cap(b) - len(b)
		n, err := unix.Read(fd, b[len(b):cap(b)])
		if err != nil {
			return nil, &fs.PathError{Op: "read", Path: name, Err: err}
		}
		b = b[:len(b)+n]
		// Of more than a page the kernel may give a part (fs/seq_file.c).
		if n == 0 || n < room && room < 2048 {
			return b, nil
		}
	}
}

// gone tells of an error of /proc that the process has ended, or may not even
// be looked at, and so is none of clusterd's. After any other error, as when
// descriptors are short, nobody knows.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) || errors.Is(err, fs.ErrPermission)
}

// children lists the children of a process, zombies included; with an error
// not all of them. The kernel may leave out a child while others are exiting
// (proc_pid_task_children(5)): who needs to know that there is none asks twice.
func children(pid int) (out []int, err error) {
	tasks := fmt.Sprintf("/proc/%d/task", pid)
	threads, err := os.ReadDir(tasks)
	if err != nil && !gone(err) {
		return nil, err
	}
	err = nil
	for _, t := range threads {
		own, readErr := childrenOf(filepath.Join(tasks, t.Name()))
		err = cmp.Or(readErr, err)
		out = append(out, own...)
	}
	return out, err
}

// childrenOf reads the list of a thread. One that is gone has none.
func childrenOf(task string) (out []int, err error) {
	b, err := readProc(task + "/children")
	if err != nil && gone(err) {
		err = nil
	}
	for _, f := range bytes.Fields(b) {
		if n, err := strconv.Atoi(string(f)); err == nil {
			out = append(out, n)
		}
	}
	return out, err
}

// descend calls each for some processes and their descendants, zombies
// included; with an error not for all of them.
func descend(roots []int, each func(member)) (err error) {
	for len(roots) > 0 {
		pid := roots[0]
		below, belowErr := children(pid)
		roots = append(roots[1:], below...)
		st, statErr := readStat(pid)
		switch {
		case statErr == nil:
			each(member{pid, st})
		case gone(statErr):
			statErr = nil
		}
		err = cmp.Or(err, belowErr, statErr)
	}
	return err
}

// family lists the living ones of some processes and of their descendants; with
// an error not all of them.
func family(roots []int) (out []member, err error) {
	err = descend(roots, func(m member) {
		if !m.zombie {
			out = append(out, m)
		}
	})
	return out, err
}

// members lists the living processes of the instance that leaderPID leads:
// the leader and its descendants, and the orphans of its session, or with its
// mark in their environment, or that were seen to be its before, with their
// descendants. Since clusterd is a subreaper, every descendant is below it,
// however it forked. With an error there may be more of them; with errUnclear
// the orphan of which nobody can say yet whose it is.
func (l *launcher) members(leaderPID int, seen func(member) bool) ([]member, error) {
	roots := []int{leaderPID}
	orphans, err := l.orphans()
	var unclear error
	for _, pid := range orphans {
		leader, orphanErr := 0, error(nil)
		switch st, statErr := readStat(pid); {
		case statErr != nil && !gone(statErr):
			orphanErr = statErr
		case statErr != nil || st.zombie:
		case seen(member{pid, st}):
			leader = leaderPID
		default:
			leader, orphanErr = l.leaderOf(member{pid, st})
		}
		switch {
		case orphanErr == errUnclear:
			unclear = orphanErr
		case orphanErr != nil:
			err = orphanErr
		case leader == leaderPID:
			roots = append(roots, pid)
		}
	}
	out, familyErr := family(roots)
	return out, cmp.Or(err, familyErr, unclear)
}

// runVariable is the environment variable that tells which run an orphan
// descends from when it has left the leader's session (a daemon's double fork).
const runVariable = "CLUSTERD_RUN="

// errUnclear means that more can be said of an orphan in a moment: a process
// has no environment while another program replaces it, in execve(2), and while
// it is ending.
var errUnclear = errors.New("an orphan has no environment")

// leaderOf says which leader an orphan descends from; 0 when nothing tells.
func (l *launcher) leaderOf(orphan member) (leader int, err error) {
	if l.isLeader(orphan.session) {
		return orphan.session, nil
	}
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", orphan.pid))
	switch {
	case errors.Is(err, unix.ESRCH):
		return 0, errUnclear
	case err != nil && !gone(err):
		return 0, err
	case err != nil:
		return 0, nil
	case len(env) == 0:
		return 0, errUnclear
	}
	for kv := range bytes.SplitSeq(env, []byte{0}) {
		if run, ok := bytes.CutPrefix(kv, []byte(runVariable)); ok {
			return l.leaderOfRun(string(run)), nil
		}
	}
	return 0, nil
}

// reapOrphans takes the zombies that the death of their parents made children
// of clusterd, whoever they are. It never takes a leader, nor a process of
// clusterd's own session, which is somebody else's to wait for: the init process
// takes it a while later if nobody has.
func (l *launcher) reapOrphans() {
	// One signal may stand for many children: its channel needs no more room.
	died := make(chan os.Signal, 1)
	signal.Notify(died, unix.SIGCHLD)
	own, err := unix.Getsid(0)
	if err != nil {
		return
	}
	unclaimed := map[int]time.Time{}
	for range died {
		if !l.reapZombies(own, unclaimed) {
			time.AfterFunc(reapAgain, func() {
				select {
				case died <- unix.SIGCHLD:
				default: // there is one already
				}
			})
		}
		// Many deaths at once cost one look.
		time.Sleep(20 * time.Millisecond)
	}
}

const (
	// reapAgain is when zombies are looked for that could not be taken.
	reapAgain = 100 * time.Millisecond
	// claimFor is how long a zombie is left to whoever may wait for it.
	claimFor = time.Second
)

// reapZombies takes the zombies that there are, but for those of a session, whose
// first sight it notes in unclaimed. It is not complete when some may be left.
func (l *launcher) reapZombies(own int, unclaimed map[int]time.Time) (complete bool) {
	orphans, err := children(os.Getpid())
	complete = err == nil
	for _, pid := range orphans {
		st, err := readStat(pid)
		switch {
		case err != nil:
			complete = complete && gone(err)
		case !st.zombie || st.session == own && os.Getpid() != 1:
		case st.session != own:
			complete = l.reap(pid) && complete
		case unclaimed[pid].IsZero():
			unclaimed[pid] = time.Now()
			complete = false
		case time.Since(unclaimed[pid]) < claimFor:
			complete = false
		default:
			complete = l.reap(pid) && complete
		}
	}
	maps.DeleteFunc(unclaimed, func(pid int, _ time.Time) bool { return !slices.Contains(orphans, pid) })
	return complete
}

// reap takes a zombie that is no leader. While a launch is under way nobody
// can say that of any.
func (l *launcher) reap(pid int) (known bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.leaders[pid] != nil {
		return true
	}
	if l.launching {
		return false
	}
	_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
	return true
}
