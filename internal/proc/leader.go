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

	mu   sync.Mutex // held while signalling, so that End cannot let go meanwhile
	gone bool       // End has let go: the number may be anybody's
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
	members, _ := p.launcher.members(p.pid)
	for _, m := range members {
		pids = append(pids, m.pid)
	}
	return pids
}

func (p *leader) Kill() {
	left, _ := p.launcher.members(p.pid)
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
		left, err := p.launcher.members(p.pid)
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
