package port

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// arrivals waits until a connection waits at one of several listening sockets, or
// one of them has been shut down, or until a time has passed. What arrives while
// nobody waits for it wakes nobody up, however much it is.
//
// For this, epoll instances are nested (epoll(7)): one has all sockets, and is in
// another one for a single event at a time, for which the runtime's poller waits.
// The time is a timerfd's, since each wake-up by a timer of the runtime's wakes
// two more of its threads.
type arrivals struct {
	sockets, timer int
	latch          *os.File
}

func newArrivals() (a *arrivals, err error) {
	a = &arrivals{sockets: -1, timer: -1}
	defer func() {
		if err != nil {
			a.end()
			a.close()
			a = nil
		}
	}()
	latch, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	_ = unix.SetNonblock(latch, true) // for the poller's sake
	a.latch = os.NewFile(uintptr(latch), "epoll")
	if a.sockets, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return a, os.NewSyscallError("epoll_create1", err)
	}
	if a.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK); err != nil {
		return a, os.NewSyscallError("timerfd_create", err)
	}
	for fd, events := range map[int]uint32{a.sockets: unix.EPOLLONESHOT, a.timer: unix.EPOLLIN} {
		if err := unix.EpollCtl(latch, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)}); err != nil {
			return a, os.NewSyscallError("epoll_ctl", err)
		}
	}
	return a, nil
}

// add has a socket watched, until remove. One whose descriptor is closed before may
// be watched for ever: others may refer to it.
func (a *arrivals) add(fd int) error {
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(a.sockets, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN}))
}

// remove has a socket watched no more; it need not have been.
func (a *arrivals) remove(fd int) { _ = unix.EpollCtl(a.sockets, unix.EPOLL_CTL_DEL, fd, nil) }

// sleep blocks for d, which is more than 0. It is false after end, also if that
// comes while it blocks. Only one goroutine may sleep or await.
func (a *arrivals) sleep(d time.Duration) bool { return a.block(d, false) }

// await is sleep until something is there, which may be from the start.
func (a *arrivals) await(atMost time.Duration) bool { return a.block(atMost, true) }

func (a *arrivals) block(d time.Duration, arrivals bool) bool {
	raw, err := a.latch.SyscallConn()
	if err != nil {
		return false
	}
	begun := false
	err = raw.Read(func(latch uintptr) bool {
		if !begun {
			begun = true
			_ = unix.TimerfdSettime(a.timer, 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}, nil)
			if arrivals {
				_ = unix.EpollCtl(int(latch), unix.EPOLL_CTL_MOD, a.sockets, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT, Fd: int32(a.sockets)})
			}
		}
		var events [2]unix.EpollEvent
		n, err := unix.EpollWait(int(latch), events[:], 0)
		for _, e := range events[:max(n, 0)] {
			// Of an await that the timer has ended, an arrival may be left.
			if arrivals || e.Fd == int32(a.timer) {
				return true
			}
		}
		return err != nil && err != unix.EINTR
	})
	return err == nil
}

// end ends what blocks.
func (a *arrivals) end() {
	if a.latch != nil {
		a.latch.Close()
	}
}

// close comes after end, when nothing blocks any more.
func (a *arrivals) close() {
	for _, fd := range []int{a.sockets, a.timer} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}
