package proc

import (
	"context"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// leader is the process that clusterd itself started for an instance: leader
// of a session and a process group of its own.
type leader struct {
	pid      int
	pidfd    *os.File
	run      string
	launcher *launcher

	mu   sync.Mutex     // held while signalling, so that End cannot let go meanwhile
	gone bool           // End has let go: the number may be anybody's
	seen map[int]uint64 // who was below the leader or otherwise its, by pid: when it started
}

func (p *leader) PID() int { return p.pid }

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
	// The leader is unreaped, so the group's number is its own.
	return unix.Kill(-p.pid, sig)
}

func (p *leader) Members() []int {
	var pids []int
	members, _ := p.look()
	for _, m := range members {
		pids = append(pids, m.pid)
	}
	return pids
}

func (p *leader) Usage() (ticks, pages uint64, ok bool) {
	var all []member
	_ = descend([]int{p.pid}, func(m member) {
		all = append(all, m)
		ticks += m.ticks
		pages += m.pages
	})
	p.remember(all)
	return ticks, pages, len(all) > 0
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

// remember keeps members for the time when nothing tells any more whose they
// are: orphans of another session that have cleared their environment, like
// servers that make themselves daemons and change their title.
func (p *leader) remember(found []member) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := make(map[int]uint64, len(found))
	for _, m := range found {
		now[m.pid] = m.start
	}
	for pid, start := range p.seen {
		if _, ok := now[pid]; ok {
			continue
		}
		// A look may miss somebody, see children.
		if st, err := readStat(pid); err == nil && st.start == start || err != nil && !gone(err) {
			now[pid] = start
		}
	}
	p.seen = now
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
		if err == nil && len(left) == 0 {
			empty++
			continue
		}
		empty = 0
		if ctx.Err() != nil {
			p.kill(left)
			time.Sleep(poll)
		} else {
			select {
			case <-ctx.Done():
				poll = endPollMin
			case <-time.After(poll):
			}
		}
		poll = min(2*poll, endPollMax)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone = true
	p.launcher.mu.Lock()
	defer p.launcher.mu.Unlock()
	_, _ = unix.Wait4(p.pid, nil, 0, nil)
	delete(p.launcher.leaders, p.pid)
	p.pidfd.Close()
}
