package proc

import (
	"context"
	"maps"
	"math"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"clusterd/internal/cgroup"
	"clusterd/internal/port"
)

// leader is the process that clusterd itself started for an instance: leader
// of a session and a process group of its own.
type leader struct {
	pid      int
	pidfd    *os.File
	run      string
	launcher *launcher
	adoption *port.Adoption // nil: it is not adopted

	sig   syscall.Signal // that the group was sent last, and orphans are too; 0: none
	heard map[int]uint64 // orphans that were, by pid: when each started

	mu   sync.Mutex     // held while signalling, so that End cannot let go meanwhile
	gone bool           // End has let go: the number may be anybody's
	seen map[int]uint64 // who was below the leader or claimed, or otherwise its, by pid: when it started

	// Of Usage, which is called by one goroutine at a time.
	family []member // the leader and who is below it
	asleep int      // readings in a row in which they had done nothing
}

func (p *leader) PID() int { return p.pid }

// group is the control group of the run, which is there if its CPU time is limited.
func (p *leader) group() cgroup.Group { return p.launcher.groups.Group(p.run) }

// siginfoChild is the part of siginfo_t that waitid(2) fills in; its place is
// the same on every 64-bit Linux.
type siginfoChild struct {
	signo, errno, code int32
	_                  int32
	pid                int32
	uid                uint32
	status             int32
	_                  [100]byte
}

func (p *leader) Exited() exitStatus {
	var info siginfoChild
	wait := func(fd uintptr) bool {
		info = siginfoChild{}
		err := unix.Waitid(unix.P_PIDFD, int(fd), (*unix.Siginfo)(unsafe.Pointer(&info)), unix.WEXITED|unix.WNOWAIT|unix.WNOHANG, nil)
		return (err == nil && info.pid != 0) || err == unix.ECHILD
	}
	raw, err := p.pidfd.SyscallConn()
	if err == nil {
		err = raw.Read(wait)
	}
	if err != nil { // the descriptor cannot be polled here: wait in a thread
		_ = unix.Waitid(unix.P_PIDFD, int(p.pidfd.Fd()), (*unix.Siginfo)(unsafe.Pointer(&info)), unix.WEXITED|unix.WNOWAIT, nil)
	}
	// Now, before those below it that have just lost it hide any further.
	_, _ = p.look()
	const exited = 1 // CLD_EXITED; else CLD_KILLED or CLD_DUMPED
	if info.code == exited {
		return exitStatus{code: int(info.status)}
	}
	return exitStatus{code: -1, signal: syscall.Signal(info.status)}
}

func (p *leader) Signal(sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return os.ErrProcessDone
	}
	p.sig, p.heard = sig, map[int]uint64{}
	go func() {
		found, _ := p.look()
		p.tell(found)
	}()
	// The leader is unreaped, so the group's number is its own.
	return unix.Kill(-p.pid, sig)
}

// tell sends the signal of the group to each member that is out of its reach and
// has no parent to tell it, once.
func (p *leader) tell(found []member) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sig == 0 || p.gone {
		return
	}
	for _, m := range found {
		if m.group != p.pid && m.parent == os.Getpid() && p.heard[m.pid] != m.start {
			p.heard[m.pid] = m.start
			m.signal(p.sig)
		}
	}
}

func (p *leader) Members() []int {
	var pids []int
	members, _ := p.look()
	for _, m := range members {
		pids = append(pids, m.pid)
	}
	return pids
}

// sleepAtMost is how many readings in a row trust that a family which does nothing
// has not grown, see sleeps.
const sleepAtMost = 10

func (p *leader) Usage() (ticks, pages uint64, ok bool) {
	if p.asleep++; p.asleep > sleepAtMost || !p.sleeps() {
		p.family, p.asleep = nil, 0
		_ = descend([]int{p.pid}, func(m member) { p.family = append(p.family, m) })
		p.remember(p.family)
	}
	for _, m := range p.family {
		ticks += m.ticks
		pages += m.pages
	}
	return ticks, pages, len(p.family) > 0
}

// sleeps tells whether the family that is known has done nothing to speak of since
// it was looked at: then it is the same, for who starts a process takes time and
// memory, and its members need not be searched for, which takes ten times as long.
func (p *leader) sleeps() bool {
	for i, m := range p.family {
		st, err := readStat(m.pid)
		if err != nil {
			return false
		}
		p.family[i].pages, st.pages = st.pages, m.pages
		if st != m.stat {
			return false
		}
	}
	return len(p.family) > 0
}

// look lists the members that there are, as launcher.members does.
func (p *leader) look() ([]member, error) {
	found, err := p.launcher.members(p.pid, func(m member) bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.seen[m.pid] == m.start
	})
	p.remember(found)
	return found, err
}

// known are the members that are remembered, by their start. Whoever learns of the
// end of the leader may be looking at them.
func (p *leader) known() map[int]uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.seen)
}

// remember keeps members for the time when nothing tells any more whose they
// are: orphans of another session that have cleared their environment, like
// servers that make themselves daemons and change their title.
func (p *leader) remember(found []member) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := make(map[int]uint64, len(found))
	for _, m := range found {
		now[m.pid] = m.start
		if m.session != p.pid && !m.zombie && p.seen[m.pid] != m.start {
			p.launcher.guard.strayed(m, p.pid)
		}
	}
	for pid, start := range p.seen {
		if _, ok := now[pid]; ok {
			continue
		}
		// A look may miss somebody, see children.
		if st, err := readStat(pid); err == nil && st.start == start || err != nil && !gone(err) {
			now[pid] = start
		} else {
			p.launcher.guard.forgets(pid)
		}
	}
	p.seen = now
}

// claim keeps a process as a member, with those above it: it is the instance's,
// and may have left session, parents and environment behind before anyone looked.
func (p *leader) claim(pid int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for below := uint64(math.MaxUint64); pid != p.pid && pid != os.Getpid() && !p.gone; {
		st, err := readStat(pid)
		if err != nil || st.start > below { // its parent has just ended, and the number is another's
			return
		}
		if p.seen == nil {
			p.seen = map[int]uint64{}
		}
		if st.session != p.pid && p.seen[pid] != st.start {
			p.launcher.guard.strayed(member{pid, st}, p.pid)
		}
		p.seen[pid] = st.start
		pid, below = st.parent, st.start
	}
}

func (p *leader) Kill() {
	left, _ := p.look()
	p.kill(left)
}

// kill ends the leader's group, and the members that were found. The former
// works even when there are no descriptors left to find anybody with.
func (p *leader) kill(found []member) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return
	}
	_ = unix.Kill(-p.pid, unix.SIGKILL) // its number, as in Signal
	_ = p.group().Kill()                // where the kernel can; whom it misses is killed below, as without a group
	for _, m := range found {
		m.kill()
	}
}

// How often End looks whether everything is gone: often at first, for the
// usual case, then seldom, for a slow one.
const (
	endPollMin = time.Millisecond
	endPollMax = 50 * time.Millisecond
	// unclearFor is how long an orphan without an environment may turn out to be
	// the instance's. One that has really been given none costs every end this.
	unclearFor = 200 * time.Millisecond
)

func (p *leader) End(ctx context.Context) {
	poll := endPollMin
	var unclearSince time.Time
	// Nobody left once may be an accident, see children.
	for empty := 0; empty < 2; {
		left, err := p.look()
		if err == errUnclear && len(left) == 0 {
			if unclearSince.IsZero() {
				unclearSince = time.Now()
			}
			if time.Since(unclearSince) < unclearFor {
				empty = 0
				time.Sleep(endPollMin)
				continue
			}
			err = nil
		}
		if err == nil && len(left) == 0 && !p.group().Populated() {
			empty++
			continue
		}
		empty = 0
		if ctx.Err() != nil {
			p.kill(left)
			time.Sleep(poll)
		} else {
			p.tell(left) // also what has become an orphan by the leader's end
			select {
			case <-ctx.Done():
				poll = endPollMin
			case <-time.After(poll):
			}
		}
		poll = min(2*poll, endPollMax)
	}
	p.letGo()
	if p.adoption == nil {
		return
	}
	// The kernel says that nobody is left only now: since Linux 5.9 a process counts
	// until it is reaped, to 6.10.
	select {
	case <-p.adoption.Served():
	case <-time.After(servedLimit): // somebody has got out of sight
	}
}

// servedLimit is how long the answer to the last call of a process may take.
const servedLimit = time.Second

// letGo reaps the leader.
func (p *leader) letGo() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone = true
	p.launcher.mu.Lock()
	defer p.launcher.mu.Unlock()
	_, _ = unix.Wait4(p.pid, nil, 0, nil)
	delete(p.launcher.leaders, p.pid)
	p.launcher.guard.ended(p.pid)
	_ = p.group().Remove() // at worst an empty folder stays, until clusterd's own goes
	p.pidfd.Close()
}
