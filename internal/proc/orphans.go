package proc

import (
	"fmt"
	"os"
	"slices"
	"sync"
)

// orphans lists the children of clusterd's first thread that it has not started
// itself: all orphans below it are among them, since the kernel gives these to the
// first thread of a subreaper that lives (kernel/exit.c, find_alive_thread), and in
// Go the first one always does.
//
// The leaders are among its children, too, so that a reading takes as long as there
// are instances. When these end, each asks several times: who asks while somebody
// reads gets what is read after that, together with all others who do.
func (l *launcher) orphans() ([]int, error) {
	return l.asking.read(func() ([]int, error) {
		pids, err := childrenOf(fmt.Sprintf("/proc/self/task/%d", os.Getpid()))
		l.mu.Lock()
		defer l.mu.Unlock()
		return slices.DeleteFunc(pids, func(pid int) bool { return l.leaders[pid] != nil || l.guard.is(pid) }), err
	})
}

// readings makes one reading do for all who ask before it begins. The zero value is
// ready for use.
type readings struct {
	reading sync.Mutex // held while somebody reads

	mu   sync.Mutex
	next *reading // which has not begun; nil: nobody waits
}

type reading struct {
	done chan struct{} // closed once the rest is set
	pids []int
	err  error
}

// read returns what look does, which was called after read was. Nobody may change the
// slice.
func (r *readings) read(look func() ([]int, error)) ([]int, error) {
	one, first := r.join()
	if first {
		r.reading.Lock()
		defer r.reading.Unlock()
		r.begin(one, look)
	}
	<-one.done
	return one.pids, one.err
}

// join returns the next reading. Who is the first to join it has to begin it.
func (r *readings) join() (one *reading, first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if first = r.next == nil; first {
		r.next = &reading{done: make(chan struct{})}
	}
	return r.next, first
}

func (r *readings) begin(one *reading, look func() ([]int, error)) {
	r.mu.Lock()
	r.next = nil // who comes from now on would hear what is not new
	r.mu.Unlock()
	one.pids, one.err = look()
	close(one.done)
}
