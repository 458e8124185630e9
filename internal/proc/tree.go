package proc

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// member is one process of an instance. Its number and the time it started
// name it for good; the number alone may be somebody else's tomorrow.
type member struct {
	pid   int
	start uint64
}

// kill ends exactly this process.
func (m member) kill() {
	fd, err := unix.PidfdOpen(m.pid, 0)
	if err != nil {
		return // gone
	}
	defer unix.Close(fd)
	// The descriptor is bound to whoever has the number now; if that is still
	// the process that was seen, it can become nobody else.
	if st, err := readStat(m.pid); err == nil && st.start == m.start {
		_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
	}
}

// stat is what is needed of /proc/PID/stat, see proc_pid_stat(5).
type stat struct {
	zombie  bool
	session int
	ticks   uint64 // user and system time, in clock ticks
	start   uint64 // clock ticks after boot
	pages   uint64 // resident
}

func readStat(pid int) (stat, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
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
		session: int(field(6)),
		ticks:   field(14) + field(15),
		start:   field(22),
		pages:   field(24),
	}, nil
}

// children lists the children of a process, zombies included. The kernel may
// leave out a child while others are exiting (proc_pid_task_children(5)): who
// needs to know that there is none asks twice.
func children(pid int) []int {
	var out []int
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	for _, t := range tasks {
		b, err := os.ReadFile(t + "/children")
		if err != nil {
			continue
		}
		for _, f := range bytes.Fields(b) {
			if n, err := strconv.Atoi(string(f)); err == nil {
				out = append(out, n)
			}
		}
	}
	return out
}

// members lists the living processes of the instance that leaderPID leads:
// the leader and its descendants, and the orphans of its session or with its
// mark in their environment, with their descendants. Since clusterd is a
// subreaper, every descendant is below it, however it forked. unsure tells that
// there is an orphan of which nobody can say yet whose it is.
func (l *launcher) members(leaderPID int) (out []member, unsure bool) {
	roots := []int{leaderPID}
	for _, pid := range children(os.Getpid()) {
		if l.isLeader(pid) {
			continue
		}
		leader, unknown := l.leaderOf(pid)
		unsure = unsure || unknown
		if leader == leaderPID {
			roots = append(roots, pid)
		}
	}
	return family(roots), unsure
}

// runVariable is the environment variable that tells which run an orphan
// descends from when it has left the leader's session (a daemon's double fork).
const runVariable = "CLUSTERD_RUN="

// leaderOf says which leader an orphan descends from; 0 when nothing tells.
// unsure means that more can be said in a moment: a process has no environment
// while another program replaces it, in execve(2), and while it is ending.
func (l *launcher) leaderOf(pid int) (leader int, unsure bool) {
	st, err := readStat(pid)
	if err != nil || st.zombie {
		return 0, false
	}
	if l.isLeader(st.session) {
		return st.session, false
	}
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return 0, errors.Is(err, unix.ESRCH)
	}
	for kv := range bytes.SplitSeq(env, []byte{0}) {
		if run, ok := bytes.CutPrefix(kv, []byte(runVariable)); ok {
			return l.leaderOfRun(string(run)), false
		}
	}
	return 0, len(env) == 0
}

// reapOrphans takes the zombies that the death of their parents made children
// of clusterd, whoever they are. It never takes a leader, nor a process of
// clusterd's own session, which is somebody else's to wait for.
func (l *launcher) reapOrphans() {
	// One signal may stand for many children: its channel needs no more room.
	died := make(chan os.Signal, 1)
	signal.Notify(died, unix.SIGCHLD)
	own, err := unix.Getsid(0)
	if err != nil {
		return
	}
	for range died {
		for _, pid := range children(os.Getpid()) {
			if st, err := readStat(pid); err != nil || !st.zombie || st.session == own {
				continue
			}
			if l.isLeader(pid) {
				continue
			}
			_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
		}
		// Many deaths at once cost one look.
		time.Sleep(20 * time.Millisecond)
	}
}
