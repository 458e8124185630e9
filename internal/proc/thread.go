package proc

import (
	"runtime"
	"sync/atomic"
)

// A thread runs functions one after the other, always in the same thread of this
// process.
type thread chan func()

// mainThread is the first thread of this process, once ServeMainThread has it.
var (
	mainThread = make(thread)
	served     atomic.Bool
)

// ServeMainThread makes the calling goroutine, which must be locked to the first
// thread of the process, the one that starts all processes, while main runs in
// another one; it returns what that does. A program that does not call it can do
// everything but be replaced by another one, see Cluster.HandOver: the kernel then
// ends all threads but one, and ends the children of the others, whose
// parent-death signal is tied to the thread that forked them.
func ServeMainThread(main func() int) int {
	served.Store(true)
	code := make(chan int, 1)
	go func() { code <- main() }()
	for {
		select {
		case f := <-mainThread:
			f()
		case c := <-code:
			return c
		}
	}
}

// newThread returns the main thread where that is served, else one that lives as
// long as the process does.
func newThread() thread {
	if served.Load() {
		return mainThread
	}
	t := make(thread)
	go func() {
		runtime.LockOSThread()
		for f := range t {
			f()
		}
	}()
	return t
}

// do returns when f has.
func (t thread) do(f func()) {
	done := make(chan struct{})
	t <- func() {
		defer close(done)
		f()
	}
	<-done
}
