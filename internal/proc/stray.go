package proc

import (
	"cmp"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// sweepFor is how long sweep waits for what it has killed. What is still there
// then hangs in the kernel, and nobody can do anything about it.
const sweepFor = 5 * time.Second

// sweep ends every process below clusterd that is not of a running instance:
// those that left their instance's session, parents and environment behind.
// Nobody knows which instance they were of, so they are let live as long as
// the cluster does. It returns the pids of those that do not die.
func (l *launcher) sweep() []int {
	deadline := time.Now().Add(sweepFor)
	for empty := 0; ; time.Sleep(endPollMin) {
		left, err := l.strays()
		if len(left) == 0 && err == nil {
			// Once may be an accident, see children.
			if empty++; empty == 2 {
				return nil
			}
			continue
		}
		empty = 0
		if time.Now().After(deadline) {
			var pids []int
			for _, m := range left {
				pids = append(pids, m.pid)
			}
			return pids
		}
		for _, m := range left {
			m.kill()
		}
	}
}

// strays lists the living children of clusterd that lead no instance, and
// their descendants. A child in clusterd's own session is no instance's: it was
// there before clusterd was, and is somebody else's business. With an error
// there may be more.
func (l *launcher) strays() ([]member, error) {
	own, err := unix.Getsid(0)
	if err != nil {
		return nil, os.NewSyscallError("getsid", err)
	}
	var roots []int
	orphans, err := children(os.Getpid())
	for _, pid := range orphans {
		st, statErr := readStat(pid)
		switch {
		case statErr == nil && st.session != own && !l.isLeader(pid) && !l.guard.is(pid):
			roots = append(roots, pid)
		case statErr != nil && !gone(statErr):
			err = statErr
		}
	}
	out, familyErr := family(roots)
	return out, cmp.Or(err, familyErr)
}

// noteEvery is how often it is looked for orphans that the guardian does not know.
const noteEvery = time.Second

// noteOrphans tells the guardian of orphans. Of those nothing may say whose they
// are once clusterd is gone.
func (l *launcher) noteOrphans() {
	own, err := unix.Getsid(0)
	if err != nil {
		return
	}
	var before []int
	for range time.Tick(noteEvery) {
		orphans, err := l.orphans()
		if err != nil {
			continue
		}
		var now []int
		for _, pid := range orphans {
			if st, err := readStat(pid); err == nil && !st.zombie && st.session != own {
				l.guard.strayed(member{pid, st}, 0)
				now = append(now, pid)
			}
		}
		for _, pid := range before {
			if !slices.Contains(now, pid) {
				l.guard.forgets(pid)
			}
		}
		before = now
	}
}
