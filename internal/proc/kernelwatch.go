package proc

import (
	"errors"
	"maps"
	"net"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"clusterd/internal/handover"
	"clusterd/internal/port"
	"clusterd/internal/traffic"
	"clusterd/internal/traffic/kernel"
)

// watched has connections to one app's port counted by what the kernel tells of them.
type watched struct {
	watch kernel.Watch

	mu      sync.Mutex
	members map[port.Owner]func() []int // the processes that may accept
}

func (w *watched) open(f *port.Front, at int) error {
	return w.watch.Open(kernel.Options{Port: at, Members: w.bySlot, SlotOf: f.SlotOf})
}

// take goes on from what was handed over; f is nil where the port is closed.
func (w *watched) take(f *port.Front, at int, st kernel.WatchState, b *handover.Bag) error {
	o := kernel.Options{Port: at, Members: w.bySlot}
	if f != nil {
		o.SlotOf = f.SlotOf
	}
	return w.watch.Take(o, st, b)
}

// join has what the processes of o accept counted for its slot, until leave.
func (w *watched) join(o port.Owner, members func() []int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.members == nil {
		w.members = map[port.Owner]func() []int{}
	}
	w.members[o] = members
}

func (w *watched) leave(o port.Owner) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.members, o)
}

func (w *watched) bySlot() map[int][]int {
	w.mu.Lock()
	all := maps.Clone(w.members)
	w.mu.Unlock()
	out := map[int][]int{}
	for o, members := range all {
		out[o.Slot] = append(out[o.Slot], members()...)
	}
	return out
}

// disown takes a connection out of the counts that clusterd accepted itself.
func (w *watched) disown(conn net.Conn) error {
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	var cookie uint64
	var failed error
	err = raw.Control(func(fd uintptr) {
		cookie, failed = unix.GetsockoptUint64(int(fd), unix.SOL_SOCKET, unix.SO_COOKIE)
	})
	if err := errors.Join(err, os.NewSyscallError("getsockopt SO_COOKIE", failed)); err != nil {
		return err
	}
	w.watch.Disown(cookie)
	return nil
}

func (w *watched) source(slot int) traffic.Source { return w.watch.Source(slot) }
