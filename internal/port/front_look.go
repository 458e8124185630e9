package port

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// closedAfter is how many looks in a row have to find a socket closed: some
// servers close one only to open another.
const closedAfter = 3

// Look tells whether o can be reached: it holds a socket. One that three looks in
// a row have found closed or shut down in all of its processes, which pids lists,
// is released; who may not be looked into may have it open. Look blocks for as long
// as it takes to read some of /proc: little where all sockets are where they were seen
// last, and then pids is not asked.
func (f *Front) Look(o Owner, pids func() []int) (reachable bool) {
	pids = sync.OnceValue(pids)
	f.mu.Lock()
	seen, open := map[uint64]descriptor{}, map[uint64]bool{} // by inode
	for _, h := range f.held {
		if h.owner == o {
			seen[h.inode] = h.seen
			open[h.inode] = h.listening
		}
	}
	f.mu.Unlock()
	for inode, at := range seen {
		if open[inode] && !at.is(inode) {
			open[inode] = at.find(inode, pids())
			seen[inode] = at
		}
	}
	f.retire(func(h *held) bool {
		at, looked := seen[h.inode]
		if !looked || h.owner != o || h.standing == vacant {
			return false
		}
		h.seen = at
		if h.unseen++; open[h.inode] {
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

// find makes it one of the socket, or none where no process is seen to have it open,
// and tells whether one has it, or may have: who may not be looked into. It looks at no
// more of their descriptors than it takes: those of listening sockets are among the first.
func (d *descriptor) find(inode uint64, pids []int) (open bool) {
	*d = descriptor{}
	for _, pid := range pids {
		fd, ok, err := descriptorOf(pid, socketLink(uint32(inode)))
		if ok {
			*d = descriptor{pid, fd}
			return true
		}
		open = open || err != nil
	}
	return open
}

// descriptorOf finds what a process has open by its link in /proc/PID/fd. An error
// says that it may have it and not be looked into; who has ended has nothing.
func descriptorOf(pid int, link string) (fd int, ok bool, err error) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		to, failed := os.Readlink(filepath.Join(dir, e.Name()))
		if failed == nil && to == link {
			n, err := strconv.Atoi(e.Name())
			return n, err == nil, err
		}
		if failed != nil && !gone(failed) { // else it has been closed meanwhile
			err = failed
		}
	}
	if gone(err) || ended(pid) {
		err = nil
	}
	return 0, false, err
}

func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) }

// ended tells whether a process has ended and is not reaped: what it had open it has no
// more, and nobody but root may look at that. See proc_pid_stat(5).
func ended(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	behind := bytes.LastIndexByte(stat, ')') + 2
	return err == nil && behind < len(stat) && (stat[behind] == 'Z' || stat[behind] == 'X')
}
