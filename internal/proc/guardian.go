package proc

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"clusterd/internal/cgroup"
)

// The guardian is a small process beside clusterd, which it outlives by a moment:
// when clusterd ends without having ended everything, as by SIGKILL, the guardian
// does. The kernel has killed the leaders of the instances by then, but neither
// what they had started nor a leader that has changed its user.
//
// It knows the leaders, and the members that have left their session, by what
// clusterd tells it; all others by the session of a leader, or by the mark in their
// environment. Out of its reach is only who has left session, parents and
// environment within the last second, and who may not be killed by clusterd's
// user.

// guardianName is how the guardian is called: os.Args[0].
const guardianName = "guardian"

// IsGuardian tells whether this process is to be a guardian: RunGuardian is then
// all that it is to do.
func IsGuardian() bool { return len(os.Args) == 4 && os.Args[0] == guardianName }

// guardianFD is where a guardian hears from clusterd. Further descriptors are only
// held open for it.
const guardianFD = 3

// RunGuardian waits until clusterd is gone, ends what that has left behind, and
// returns.
func RunGuardian() {
	// They are clusterd's to act on; a service manager sends them to all.
	signal.Ignore(unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGTSTP)
	name := append([]byte(guardianName), 0)
	_ = unix.Prctl(unix.PR_SET_NAME, pointerTo(name), 0, 0, 0)
	debug.SetGCPercent(10)
	since, err := strconv.ParseUint(os.Args[3], 10, 64)
	if err != nil {
		return
	}
	w := newWard(os.Args[2], since)
	if w.listen(os.NewFile(guardianFD, "clusterd")) {
		w.end()
	}
}

// ward is what a guardian has to end.
type ward struct {
	token   string         // what the names of all runs of this clusterd begin with
	since   uint64         // when clusterd started, in clock ticks after boot
	leaders map[int]uint64 // when each started, by pid
	strays  map[int]stray
	pruneAt int // strays
}

type stray struct {
	leader int // 0: nobody knows whose it is
	start  uint64
}

func newWard(token string, since uint64) *ward {
	return &ward{token: token, since: since, leaders: map[int]uint64{}, strays: map[int]stray{}, pruneAt: pruneFrom}
}

// What clusterd says, a line each.
const (
	sayLeads = "leads" // PID START
	sayStray = "stray" // PID START LEADER
	sayEnded = "ended" // PID of a leader of which nothing is left
	sayBye   = "bye"   // clusterd has ended everything, and is about to end itself
)

// listen hears what clusterd says until it is gone. It returns whether that left
// anything to do.
func (w *ward) listen(clusterd io.Reader) bool {
	lines := bufio.NewScanner(clusterd)
	for lines.Scan() {
		var verb string
		var pid, leader int
		var start uint64
		_, _ = fmt.Sscan(lines.Text(), &verb, &pid, &start, &leader) // some have fewer
		switch verb {
		case sayLeads:
			w.leaders[pid] = start
		case sayStray:
			w.strays[pid] = stray{leader, start}
			w.prune()
		case sayEnded:
			delete(w.leaders, pid)
			for id, s := range w.strays {
				if s.leader == pid {
					delete(w.strays, id)
				}
			}
		case sayBye:
			return false
		}
	}
	return true
}

// pruneFrom is how many strays may be known before it is looked who still lives.
const pruneFrom = 1000

func (w *ward) prune() {
	if len(w.strays) < w.pruneAt {
		return
	}
	for pid, s := range w.strays {
		if st, err := readStat(pid); err != nil || st.start != s.start {
			delete(w.strays, pid)
		}
	}
	w.pruneAt = max(pruneFrom, 2*len(w.strays))
}

// end kills everything, and returns when nothing is left but what cannot be
// killed.
func (w *ward) end() {
	deadline := time.Now().Add(sweepFor)
	groups := cgroup.Find().GroupsOf(w.token + ".")
	for _, g := range groups {
		_ = g.Kill() // where the kernel can; the rest is for all of them
	}
	// Twice, since a process may have been forked while the others were read.
	for empty := 0; empty < 2 && time.Now().Before(deadline); time.Sleep(endPollMin) {
		left := w.left()
		if len(left) > 0 || slices.ContainsFunc(groups, cgroup.Group.Populated) {
			empty = 0
		} else {
			empty++
		}
		for _, m := range left {
			m.kill()
		}
	}
	for _, g := range groups {
		_ = g.Remove()
	}
}

// left lists the living processes of the cluster.
func (w *ward) left() (out []member) {
	all := everyone()
	below := map[int][]member{}
	var doomed []member
	for _, m := range all {
		below[m.parent] = append(below[m.parent], m)
		if w.knows(m) {
			doomed = append(doomed, m)
		}
	}
	seen := map[int]bool{os.Getpid(): true}
	for len(doomed) > 0 {
		m := doomed[0]
		doomed = doomed[1:]
		if seen[m.pid] {
			continue
		}
		seen[m.pid] = true
		doomed = append(doomed, below[m.pid]...)
		if !m.zombie {
			out = append(out, m)
		}
	}
	return out
}

// knows tells whether a process is one of the cluster's, by itself and not by its
// parents.
func (w *ward) knows(m member) bool {
	if start, ok := w.leaders[m.session]; ok && m.start >= start {
		return true
	}
	if s, ok := w.strays[m.pid]; ok && s.start == m.start {
		return true
	}
	return m.start >= w.since && w.marked(m.pid)
}

// marked tells whether the environment of a process says that it is of a run.
func (w *ward) marked(pid int) bool {
	env, err := readProc(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return false
	}
	mark := []byte(runVariable + w.token + ".")
	return bytes.HasPrefix(env, mark) || bytes.Contains(env, append([]byte{0}, mark...))
}

// everyone lists all processes that can be seen.
func everyone() (out []member) {
	dirs, _ := filepath.Glob("/proc/[1-9]*")
	for _, dir := range dirs {
		pid, err := strconv.Atoi(strings.TrimPrefix(dir, "/proc/"))
		if err != nil {
			continue
		}
		if st, err := readStat(pid); err == nil {
			out = append(out, member{pid, st})
		}
	}
	return out
}
