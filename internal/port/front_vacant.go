package port

import (
	"cmp"
	"fmt"

	"golang.org/x/sys/unix"
)

// Vacant returns a duplicate of a held socket at an address whose process is
// gone, for the slot's next process. The caller owns it.
func (f *Front) Vacant(slot int, at Addr) (fd int, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := f.vacant(slot, at)
	if h == nil {
		return -1, false
	}
	fd, err := unix.FcntlInt(uintptr(h.fd), unix.F_DUPFD_CLOEXEC, 0)
	return fd, err == nil
}

func (f *Front) vacant(slot int, at Addr) *held {
	for _, h := range f.held {
		if h.owner.Slot == slot && h.standing == vacant && h.cohort.addr == at {
			return h
		}
	}
	return nil
}

// Occupy gives the held socket that Vacant returned a duplicate of to o, whose
// process has it now, and makes sure that it listens.
func (f *Front) Occupy(o Owner, at Addr) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := f.vacant(o.Slot, at)
	if h == nil {
		return fmt.Errorf("occupy the socket of slot %d at %s: none is vacant", o.Slot, at)
	}
	h.standing = f.beginning(o)
	h.owner, f.standings[o] = o, h.standing
	h.seen, h.unseen = descriptor{}, 0
	h.unwatch()
	f.prune()
	var err error
	if !h.listening { // its former process has shut it down
		err = cmp.Or(h.cohort.add(h, h.backlog), f.arrivals.add(h.fd))
	}
	f.steer(h.cohort)
	return err
}
