package port

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
)

// closedAfter is how many looks in a row have to find a socket closed: some
// servers close one only to open another.
const closedAfter = 3

// Look tells whether o can be reached: it holds a socket. One that three looks in
// a row have found closed or shut down in all of its processes, which pids lists,
// is released. Look blocks for as long as it takes to read some of /proc: little
// where all sockets are where they were seen last, and then pids is not asked.
func (f *Front) Look(o Owner, pids func() []int) (reachable bool) {
	pids = sync.OnceValue(pids)
	f.mu.Lock()
	seen, shut := map[uint64]descriptor{}, map[uint64]bool{} // by inode
	for _, h := range f.held {
		if h.owner == o {
			seen[h.inode] = h.seen
			shut[h.inode] = !h.listening
		}
	}
	f.mu.Unlock()
	for inode, at := range seen {
		if shut[inode] {
			at = descriptor{}
		} else if !at.is(inode) {
			at.find(inode, pids())
		}
		seen[inode] = at
	}
	f.retire(func(h *held) bool {
		at, looked := seen[h.inode]
		if !looked || h.owner != o || h.standing == vacant {
			return false
		}
		h.seen = at
		if h.unseen++; at != (descriptor{}) {
			h.unseen = 0
		}
		return h.unseen >= closedAfter
	})
	return len(seen) == 0 || f.holds(o)
}

// holds tells whether o has a socket that is not being released.
func (f *Front) holds(o Owner) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.ContainsFunc(f.held, func(h *held) bool { return h.owner == o && !h.retiring })
}

// A descriptor is one of a process. The zero value is none.
type descriptor struct{ pid, fd int }

// is tells whether it is that of the socket.
func (d descriptor) is(inode uint64) bool {
	if d.pid == 0 {
		return false
	}
	to, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", d.pid, d.fd))
	return err == nil && to == socketLink(uint32(inode))
}

// find makes it one of the socket, or none where the processes do not have it
// open. It looks at no more of theirs than it takes: those of listening sockets
// are among the first.
func (d *descriptor) find(inode uint64, pids []int) bool {
	for _, pid := range pids {
		if fd, ok := descriptorOf(pid, socketLink(uint32(inode))); ok {
			*d = descriptor{pid, fd}
			return true
		}
	}
	*d = descriptor{}
	return false
}

func descriptorOf(pid int, link string) (fd int, ok bool) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if to, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil && to == link {
			n, err := strconv.Atoi(e.Name())
			return n, err == nil
		}
	}
	return 0, false
}
