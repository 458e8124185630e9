package kernel

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"clusterd/internal/handover"
	"clusterd/internal/sockdiag"
	"clusterd/internal/traffic"
)

// WatchState is what a Watch knows, as it is handed over.
type WatchState struct {
	Events int // the socket on which ends of connections are heard of; -1: the Watch is closed

	Conns  map[uint64]*conn // by cookie: those that were open at the last look
	Own    []netip.AddrPort
	Left   []uint64
	Ended  map[int]traffic.Totals
	Foggy  bool
	Looked time.Time
	Looks  int
	Missed int
}

// HandOver ends the counting, and keeps open where the kernel tells of connections
// that end: of those that do before Take, it is told then. It waits for what is being
// asked of Options.Members and Options.SlotOf, which must go on to answer until it
// returns, and not for longer than a look takes. Own and Disown must not be called
// any more. Totals stay readable.
func (w *Watch) HandOver(b *handover.Bag) (WatchState, error) {
	st := WatchState{Events: -1}
	if w.events != nil {
		close(w.done)
		fd, err := w.events.Detach()
		w.tasks.Wait()
		w.events = nil
		if err != nil {
			return st, fmt.Errorf("hand over the count of connections to port %d: %w", w.opts.Port, err)
		}
		st.Events = b.Keep(fd)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	st.Conns, st.Ended = maps.Clone(w.conns), maps.Clone(w.ended)
	st.Own = slices.Collect(maps.Keys(w.own))
	st.Left = slices.Collect(maps.Keys(w.left))
	st.Foggy, st.Looked, st.Looks, st.Missed = w.foggy, w.looked, w.looks, w.missed
	return st, nil
}

// Take has w, which has never been open, go on from st, as open or closed as it was
// handed over; opts do not matter to one that is closed, and are asked at once for one
// that is open: the socket tells of the connections that are over, and a look finds
// those that have begun. With an error, w is closed.
func (w *Watch) Take(opts Options, st WatchState, b *handover.Bag) error {
	w.mu.Lock()
	w.conns, w.own, w.left, w.ended = map[uint64]*conn{}, map[netip.AddrPort]bool{}, map[uint64]bool{}, map[int]traffic.Totals{}
	maps.Copy(w.conns, st.Conns)
	maps.Copy(w.ended, st.Ended)
	for _, client := range st.Own {
		w.own[client] = true
	}
	for _, cookie := range st.Left {
		w.left[cookie] = true
	}
	w.foggy, w.looked, w.looks, w.missed = st.Foggy, st.Looked, st.Looks, st.Missed
	w.mu.Unlock()
	if st.Events < 0 {
		return nil
	}
	fd, err := b.Take(st.Events)
	if err != nil {
		w.blur() // whoever ends until Open is called
		return fmt.Errorf("go on to count connections to port %d: %w", opts.Port, err)
	}
	w.begin(opts, sockdiag.Attach(fd))
	w.LookSoon()
	return nil
}
