package relay

import (
	"os"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxPollers bounds how many of them a relay has on a machine of many CPUs. Each
// goes on with its share of the parked pairs.
const maxPollers = 8

// pollers are those of one relay. They begin with its first connections.
type pollers struct {
	mu      sync.Mutex
	all     []*poller
	given   int
	closed  bool
	running sync.WaitGroup
}

// next is the poller of the next pair.
func (ps *pollers) next() (*poller, error) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if ps.closed {
		return nil, errEnded
	}
	if len(ps.all) < min(runtime.GOMAXPROCS(0), maxPollers) {
		p, err := newPoller()
		if err == nil {
			ps.all = append(ps.all, p)
			ps.running.Go(p.run)
		} else if len(ps.all) == 0 {
			return nil, err
		}
	}
	ps.given++
	return ps.all[ps.given%len(ps.all)], nil
}

// close ends all of them, and waits for what they are at.
func (ps *pollers) close() {
	ps.mu.Lock()
	ps.closed = true
	for _, p := range ps.all {
		p.file.Close()
	}
	ps.all = nil
	ps.mu.Unlock()
	ps.running.Wait()
}

// poller learns from the kernel which sockets have something to say, see epoll(7),
// and either wakes the goroutine that waits for that, or goes on with the pair if
// it is parked. Events are those of change (EPOLLET): one that was told is not told
// again before there is more.
type poller struct {
	file *os.File // the runtime's poller waits for the epoll descriptor, as for any other
	fd   int

	mu      sync.Mutex
	sockets map[int32]*socket // that are watched, by descriptor
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // for NewFile
		unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	return &poller{file: os.NewFile(uintptr(fd), "epoll"), fd: fd, sockets: map[int32]*socket{}}, nil
}

// watch asks for events of a socket, for the first time or for more of them.
func (p *poller) watch(s *socket, events uint32, first bool) error {
	op := unix.EPOLL_CTL_MOD
	if first {
		op = unix.EPOLL_CTL_ADD
		p.mu.Lock()
		p.sockets[int32(s.fd)] = s
		p.mu.Unlock()
	}
	err := unix.EpollCtl(p.fd, op, s.fd, &unix.EpollEvent{Events: events | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(s.fd)})
	if err != nil && first {
		p.forget(s)
	}
	return os.NewSyscallError("epoll_ctl", err)
}

// forget is called before the socket's descriptor is closed, by which the kernel
// forgets it too. Events on their way may still be told to the descriptor's next
// socket, which finds nothing then.
func (p *poller) forget(s *socket) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.sockets, int32(s.fd))
}

// run works until the poller is closed.
func (p *poller) run() {
	raw, err := p.file.SyscallConn()
	if err != nil {
		return
	}
	var events [64]unix.EpollEvent
	_ = raw.Read(func(fd uintptr) bool {
		for {
			n, err := waitNothing(int(fd), events[:])
			switch {
			case err == syscall.EINTR:
				continue
			case err != nil:
				return true
			}
			for _, e := range events[:n] {
				p.tell(e)
			}
			if n < len(events) {
				return false
			}
		}
	})
}

func (p *poller) tell(e unix.EpollEvent) {
	p.mu.Lock()
	s := p.sockets[e.Fd]
	p.mu.Unlock()
	if s == nil {
		return
	}
	if pair := s.notify(e.Events); pair != nil {
		pair.stir()
	}
}
