package relay

import (
	"maps"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// watchEvery is how often the relay looks for clients that have gone; Stall, if
// that is shorter.
const watchEvery = 15 * time.Second

// watch ends the connections whose clients have gone. Who reads from a client
// or writes to it finds out as well, but while an instance takes its time nobody
// may do either. A client that has closed its connection looks like one that
// has only said all; the kernel's keep-alive probes, which net.Listener asks
// for, tell in a minute or two.
func (r *Relay) watch() {
	defer r.running.Done()
	tick := time.NewTicker(min(r.limits.Stall, watchEvery))
	defer tick.Stop()
	for {
		r.mu.Lock()
		closed, changed := r.closed || r.frozen.Load(), r.changed
		r.mu.Unlock()
		if closed {
			return
		}
		select {
		case <-changed:
		case <-tick.C:
			r.endGone()
		}
	}
}

func (r *Relay) endGone() {
	r.mu.Lock()
	pairs := slices.Collect(maps.Keys(r.pairs))
	r.mu.Unlock()
	for _, p := range pairs {
		if gone(p.in.raw) {
			p.abort()
		}
	}
}

// gone tells that the other end has reset the connection or has not answered
// the kernel for too long. It takes no error from who reads or writes.
func gone(conn syscall.RawConn) (failed bool) {
	_ = conn.Control(func(fd uintptr) { // it may be closed already
		fds := []unix.PollFd{{Fd: int32(fd)}} // POLLERR needs no asking
		n, err := unix.Poll(fds, 0)
		failed = err == nil && n > 0 && fds[0].Revents&unix.POLLERR != 0
	})
	return failed
}
