package port

import (
	"fmt"

	"clusterd/internal/handover"
	"clusterd/internal/port/seccomp"
)

// AdoptionState is what is handed over of an Adoption.
type AdoptionState struct {
	Ended    bool // the instance's last process is gone, or it could not be adopted: there is nothing else
	Listener int  // the descriptor of the instance's filter
	Grip     Grip // by which the filter was made

	Own   map[uint64]int  // of Replace: descriptors of what has been put in, by inode
	Set   []settings      // of Replace
	Bound []bound         // of Direct
	Asked map[uint64]Addr // of Moved
}

// HandOver has Serve answer the call that it is at, and return nil. Calls that come
// later wait in the kernel. It blocks until then, and until Serve has been called at
// all; it must come before the HandOver of the Front, which the call may concern.
func (a *Adoption) HandOver(b *handover.Bag) (AdoptionState, error) {
	l := <-a.serving
	l.Stop()
	<-a.served
	if a.ended {
		return AdoptionState{Ended: true}, nil
	}
	fd, err := l.Dup()
	if err != nil {
		return AdoptionState{}, fmt.Errorf("hand over an adoption: %w", err)
	}
	l.Close()
	st := AdoptionState{Listener: b.Keep(fd), Grip: a.grip}
	a.reach.pack(b, &st)
	a.berth.pack(&st)
	return st, nil
}

// TakeAdoption has a, which Adopt has just returned, go on from where another one
// was, and returns the listener for its Serve. The listener is nil, and there is
// nothing to serve, where that one had ended. The Grip is that one's.
func TakeAdoption(st AdoptionState, a *Adoption, b *handover.Bag) (*seccomp.Listener, error) {
	if st.Ended {
		return nil, nil
	}
	fd, err := b.Take(st.Listener)
	if err != nil {
		return nil, fmt.Errorf("take over an adoption: %w", err)
	}
	l, err := seccomp.NewListener(fd)
	if err != nil {
		return nil, fmt.Errorf("take over an adoption: %w", err)
	}
	a.grip, a.reach = st.Grip, st.Grip.reach(a.pids, a.berth)
	if err := a.reach.unpack(st, b); err != nil {
		l.Close()
		return nil, fmt.Errorf("take over an adoption: %w", err)
	}
	a.berth.unpack(st)
	return l, nil
}

func (sharing) pack(*handover.Bag, *AdoptionState)        {}
func (sharing) unpack(AdoptionState, *handover.Bag) error { return nil }

func (r *replacing) pack(b *handover.Bag, st *AdoptionState) {
	st.Own, st.Set = r.own, r.set
	for _, fd := range r.own {
		b.Keep(fd)
	}
}

func (r *replacing) unpack(st AdoptionState, b *handover.Bag) error {
	r.set = st.Set
	for inode, fd := range st.Own {
		if _, err := b.Take(fd); err != nil {
			r.close()
			return err
		}
		r.own[inode] = fd
	}
	return nil
}

func (d *Direct) pack(st *AdoptionState)  { st.Bound = d.bound }
func (d *Direct) unpack(st AdoptionState) { d.bound = st.Bound }
func (m *Moved) pack(st *AdoptionState)   { st.Asked = m.asked }
func (m *Moved) unpack(st AdoptionState)  { m.asked = st.Asked }
