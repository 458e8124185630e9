package port

import "golang.org/x/sys/unix"

// held is a listening socket of a slot.
type held struct {
	owner     Owner
	standing  standing
	cohort    *cohort
	fd        int
	inode     uint64
	backlog   int
	listening bool
	drained   bool       // nothing is in its queue or on the way there
	retiring  bool       // it is being closed for good
	seen      descriptor // where a look has found it; none: it has not
	unseen    int        // looks in a row that found it open in no process
	watch     watch
}

// Held is what can be told of a held socket from outside.
type Held struct {
	Addr  Addr
	Inode uint64 // as in the links of /proc/PID/fd: "socket:[INODE]"
}

// Sockets are the held sockets of o.
func (f *Front) Sockets(o Owner) []Held {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []Held
	for _, h := range f.held {
		if h.owner == o {
			out = append(out, Held{h.cohort.addr, h.inode})
		}
	}
	return out
}

// Held returns a duplicate of the held socket of o of that inode, which the caller
// owns.
func (f *Front) Held(o Owner, inode uint64) (fd int, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, h := range f.held {
		if h.owner == o && h.inode == inode {
			fd, err := unix.FcntlInt(uintptr(h.fd), unix.F_DUPFD_CLOEXEC, 0)
			return fd, err == nil
		}
	}
	return -1, false
}

// Queue is how many connections wait for a slot; ok is false when it holds no
// socket.
func (f *Front) Queue(slot int) (n uint64, ok bool) {
	return f.queues(func(o Owner) bool { return o.Slot == slot })
}

// Dropped is how many connections were turned away since a slot's queue was full.
// What a socket counted is forgotten with it.
func (f *Front) Dropped(slot int) (n uint64, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, h := range f.held {
		if h.owner.Slot != slot {
			continue
		}
		if dropped, err := droppedBy(h.fd); err == nil {
			n += dropped
			ok = true
		}
	}
	return n, ok
}

// QueueOf is Queue for one generation.
func (f *Front) QueueOf(o Owner) (n uint64, ok bool) {
	return f.queues(func(other Owner) bool { return other == o })
}

func (f *Front) queues(of func(Owner) bool) (n uint64, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, h := range f.held {
		if of(h.owner) {
			n += uint64(h.queue())
			ok = true
		}
	}
	return n, ok
}

// queue is how many connections wait to be accepted: TCP_INFO of a listening
// socket has it in tcpi_unacked, since Linux 2.6.
func (h *held) queue() uint32 { return queueOf(h.fd) }

func queueOf(fd int) uint32 {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil || info.State != unix.BPF_TCP_LISTEN {
		return 0
	}
	return info.Unacked
}
