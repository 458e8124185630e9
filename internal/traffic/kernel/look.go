package kernel

import (
	"time"

	"clusterd/internal/sockdiag"
)

const (
	lookEvery = time.Second
	// lookShare is how much longer than a look the time between two is at least.
	lookShare = 50
	// lookLate is the longest time between two, also on a machine that is busy.
	lookLate = 5 * time.Second
	// soon is when what was on its way has arrived.
	soon = 20 * time.Millisecond
)

// lookAround lists connections again and again, until Close.
func (w *Watch) lookAround() {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-w.done:
			return
		case <-w.soon:
			ticker.Reset(soon)
		case <-ticker.C:
			began := time.Now()
			if w.look() != nil {
				w.blur()
			}
			// What costs a lot is done less often.
			ticker.Reset(min(max(time.Since(began)*lookShare, lookEvery), lookLate))
		}
	}
}

// look lists all connections, and finds out whose the new ones are.
func (w *Watch) look() error {
	began := time.Now()
	w.mu.Lock()
	w.looks++
	w.gone = map[uint64]bool{}
	w.mu.Unlock()
	q := sockdiag.Query{
		States: sockdiag.Established | sockdiag.FinWait | sockdiag.CloseWait | sockdiag.LastAck | sockdiag.Closing,
		Port:   w.opts.Port, Extensions: 1 << (sockdiag.AttrInfo - 1),
	}
	err := sockdiag.Dump(q, func(m sockdiag.Message) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.gone[m.Cookie()] || w.left[m.Cookie()] {
			return
		}
		c := w.conns[m.Cookie()]
		if c == nil {
			c = w.meet(m)
			w.conns[m.Cookie()] = c
		}
		c.update(m)
		c.Seen = w.looks
	})
	if err != nil {
		return err
	}
	w.attribute()
	for _, c := range w.sweep(began) {
		w.ask(c)
	}
	return nil
}

// sweep sees after connections that a look has not found, and returns those whose
// end was missed.
func (w *Watch) sweep(began time.Time) (missed []*conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.looked = began
	for cookie, c := range w.conns {
		switch {
		case c.Seen+1 >= w.looks:
		case w.missed >= c.Seen: // its end was
			delete(w.conns, cookie)
			w.settle(c)
			missed = append(missed, c)
		default: // it was reset, and its process still has the descriptor
			c.Traffic.ConnsOpen = 0
		}
	}
	return missed
}

// attribute finds the processes of connections that have been accepted.
func (w *Watch) attribute() {
	w.mu.Lock()
	wanted := false
	for _, c := range w.conns {
		wanted = wanted || !c.Known && c.Inode != 0
	}
	w.mu.Unlock()
	if !wanted {
		return
	}
	owner := map[uint32]int{}
	for slot, pids := range w.opts.Members() {
		for _, pid := range pids {
			inodes, _ := sockdiag.InodesOf(pid) // of one that may not be looked into, the steering knows
			for _, inode := range inodes {
				owner[inode] = slot
			}
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		if slot, ok := owner[c.Inode]; ok && !c.Known && c.Inode != 0 {
			c.Slot, c.Known = slot, true
		}
	}
}
