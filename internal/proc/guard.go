package proc

import (
	"crypto/rand"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"clusterd/internal/handover"
	"clusterd/internal/port"
)

// token tells the runs of this clusterd from those of all others, wherever their
// processes can be seen.
// One that replaces another goes on with that one's.
var token = rand.Text()

// guard is clusterd's side of its guardian: it keeps one alive, and tells it what
// there is to know.
type guard struct {
	held  []*os.File // what a guardian holds open as long as it lives
	since uint64     // when this process started

	mu      sync.Mutex
	pid     int            // 0: none
	leaders map[int]uint64 // when each started
	strays  map[int]stray
	unsaid  []byte        // what the guardian has still to be told
	wake    chan struct{} // holds something when there is anything of that
	leaving bool
	handed  chan *guardian // nil: it is kept; else who gets the guardian, nil if there is none

	gone chan struct{} // closed when there is no guardian any more, nor will be
}

// newGuard starts a guardian. Of the files it is given copies.
func newGuard(held []*os.File) (*guard, error) {
	g, err := guardWith(held)
	if err != nil {
		return nil, fmt.Errorf("start the guardian: %w", err)
	}
	first, err := g.begin()
	if err != nil {
		return nil, fmt.Errorf("start the guardian: %w", err)
	}
	go g.keep(first)
	return g, nil
}

// guardWith is a guard without a guardian.
func guardWith(held []*os.File) (*guard, error) {
	own, err := readStat(os.Getpid())
	return &guard{
		held: held, since: own.start, leaders: map[int]uint64{}, strays: map[int]stray{},
		wake: make(chan struct{}, 1), gone: make(chan struct{}),
	}, err
}

// guardState is a guard as it is handed over.
type guardState struct {
	PID     int // 0: there is no guardian
	Pipe    int // to it
	Leaders map[int]uint64
	Strays  map[int]strayState
}

type strayState struct {
	Leader int
	Start  uint64
}

// handOver lets the guardian live, for the guard of the next program.
func (g *guard) handOver(b *handover.Bag) (guardState, error) {
	handed := make(chan *guardian, 1)
	g.mu.Lock()
	g.handed = handed
	g.signal()
	g.mu.Unlock()
	now := <-handed
	g.mu.Lock()
	defer g.mu.Unlock()
	st := guardState{Pipe: -1, Leaders: g.leaders, Strays: map[int]strayState{}}
	for pid, s := range g.strays {
		st.Strays[pid] = strayState{s.leader, s.start}
	}
	if now == nil {
		return st, nil
	}
	fd, err := b.KeepFile(now.pipe)
	if err != nil {
		return st, fmt.Errorf("hand over the guardian: %w", err)
	}
	st.PID, st.Pipe = g.pid, fd
	keptOpen = append(keptOpen, now.pipe)
	return st, nil
}

// keptOpen are files whose descriptors the next program gets: nobody may close them.
var keptOpen []*os.File

// takeGuard goes on with the guardian that was handed over, or starts one if there
// was none. Of held it is given copies when it is a new one.
func takeGuard(st guardState, b *handover.Bag, held []*os.File) (*guard, error) {
	g, err := guardWith(held)
	if err != nil {
		return nil, fmt.Errorf("take over the guardian: %w", err)
	}
	maps.Copy(g.leaders, st.Leaders)
	for pid, s := range st.Strays {
		g.strays[pid] = stray{s.Leader, s.Start}
	}
	now, err := takeGuardian(st, b)
	if err != nil { // it is gone, or about to
		if now, err = g.begin(); err != nil {
			return nil, fmt.Errorf("start the guardian: %w", err)
		}
	} else {
		g.pid = st.PID
	}
	go g.keep(now)
	return g, nil
}

func takeGuardian(st guardState, b *handover.Bag) (*guardian, error) {
	if st.PID == 0 {
		return nil, os.ErrProcessDone
	}
	fd, err := b.Take(st.Pipe)
	if err != nil {
		return nil, err
	}
	pipe := os.NewFile(uintptr(fd), "guardian")
	pidfd, err := pollable(st.PID, -1)
	if err != nil {
		pipe.Close()
		return nil, err
	}
	return &guardian{pidfd, pipe}, nil
}

// guardian is one that was started.
type guardian struct {
	pidfd *os.File
	pipe  *os.File
}

func (g *guard) begin() (*guardian, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		w.Close()
		return nil, err
	}
	defer null.Close()
	files := []uintptr{null.Fd(), null.Fd(), null.Fd(), r.Fd()}
	for _, f := range g.held {
		files = append(files, f.Fd())
	}
	env := slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, runVariable) })
	g.mu.Lock()
	defer g.mu.Unlock()
	pidfd := -1
	// Not by clusterd's name, by which somebody may kill all that are called so.
	args := []string{guardianName, fmt.Sprint("of pid ", os.Getpid()), token, fmt.Sprint(g.since)}
	pid, _, err := syscall.StartProcess(port.ShimPath, args, &syscall.ProcAttr{
		Dir:   "/",
		Env:   append(env, "GOMAXPROCS=1"),
		Files: files,
		Sys:   &syscall.SysProcAttr{Setsid: true, PidFD: &pidfd},
	})
	if err != nil {
		w.Close()
		return nil, err
	}
	file, err := pollable(pid, pidfd)
	if err != nil {
		w.Close() // it takes this for the end
		return nil, err
	}
	g.pid = pid
	g.tellAll()
	return &guardian{file, w}, nil
}

// tellAll makes what the guardian is told all that there is to say. g.mu is held.
func (g *guard) tellAll() {
	g.unsaid = nil
	for pid, start := range g.leaders {
		g.say(sayLeads, pid, start)
	}
	for pid, s := range g.strays {
		g.say(sayStray, pid, s.start, s.leader)
	}
}

// say has something told to the guardian. g.mu is held.
func (g *guard) say(verb string, about ...any) {
	g.unsaid = fmt.Appendln(append(g.unsaid, verb+" "...), about...)
	g.signal()
}

// signal has the guard look what there is to do. g.mu is held.
func (g *guard) signal() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// leads tells of a leader that has just been started, and is not reaped.
func (g *guard) leads(pid int) {
	st, err := readStat(pid)
	if err != nil {
		return // descriptors are short; the kernel still kills it with clusterd
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.leaders[pid] = st.start
	g.say(sayLeads, pid, st.start)
}

// strayed tells of a member that is not in its leader's session.
func (g *guard) strayed(m member, leader int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.strays[m.pid].start != m.start {
		g.strays[m.pid] = stray{leader, m.start}
		g.say(sayStray, m.pid, m.start, leader)
	}
}

// forgets tells that a stray is gone.
func (g *guard) forgets(pid int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.strays, pid) // the guardian looks for itself
}

// ended tells that nothing is left of a leader's instance.
func (g *guard) ended(leader int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.leaders, leader)
	for pid, s := range g.strays {
		if s.leader == leader {
			delete(g.strays, pid)
		}
	}
	g.say(sayEnded, leader)
}

// is tells whether a process is the guardian.
func (g *guard) is(pid int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return pid == g.pid
}

// againAfter is how long nobody guards when a guardian was killed: a new one could
// come to the same end.
const againAfter = 100 * time.Millisecond

// keep tells the guardian what there is to say, and starts another one when that
// is gone.
func (g *guard) keep(now *guardian) {
	defer close(g.gone)
	for {
		if g.talk(now) {
			return
		}
		for now = nil; now == nil; now, _ = g.begin() { // what is short now may not be soon
			g.mu.Lock()
			leaving, handed := g.leaving, g.handed
			g.mu.Unlock()
			if handed != nil {
				handed <- nil
				return
			}
			if leaving {
				return
			}
			time.Sleep(againAfter)
		}
	}
}

// talk returns when the guardian is gone, or has been handed over.
func (g *guard) talk(now *guardian) (handedOver bool) {
	ended := make(chan struct{})
	go func() {
		now.await()
		close(ended)
	}()
	for {
		select {
		case <-g.wake:
		case <-ended:
			now.pipe.Close()
			return false
		}
		g.mu.Lock()
		text, handed := g.unsaid, g.handed
		g.unsaid = nil
		g.mu.Unlock()
		_, _ = now.pipe.Write(text) // of one that is gone: the next one is told everything
		if handed != nil {
			handed <- now
			return true
		}
	}
}

// await blocks until the guardian has ended. It is reaped like any orphan.
func (now *guardian) await() {
	defer now.pidfd.Close()
	ended := func(fd uintptr) bool {
		polled := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(polled, 0)
		return n > 0 || err != nil && err != unix.EINTR
	}
	raw, err := now.pidfd.SyscallConn()
	if err == nil {
		_ = raw.Read(ended) // the file is not closed before
	}
}

// close lets the guardian go, now that everything has ended, and returns when it
// is gone.
func (g *guard) close() {
	g.mu.Lock()
	if !g.leaving {
		g.leaving = true
		g.say(sayBye)
	}
	g.mu.Unlock()
	<-g.gone
}

func pointerTo(text []byte) uintptr { return uintptr(unsafe.Pointer(&text[0])) }
