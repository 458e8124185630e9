package port

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"clusterd/internal/port/seccomp"
)

// Adoption decides what becomes of the listening sockets of one instance: it
// answers the bind and listen calls of all its processes, which know nothing of
// it. Sockets for the declared port get what the Berth makes of them; all others
// are the process's own.
type Adoption struct {
	port  int
	grip  Grip
	pids  func() []int
	reach reach
	berth Berth
	watch Watch

	serving chan *seccomp.Listener // that which Serve was called with
	served  chan struct{}          // closed when Serve is about to return
	ended   bool                   // then: for good, nothing is held any more
}

// Watch is told what an Adoption sees. The functions are called by one
// goroutine, while a process of the instance waits: they must not block. nil
// ones are not called.
type Watch struct {
	// Listening: the instance listens on the declared port, at this address.
	Listening func(at Listening)
	// Refused: it cannot be adopted, for this reason, and goes on as if nobody
	// had tried.
	Refused func(reason string)
}

// Berth is how sockets get onto the declared port.
type Berth interface {
	// bind is asked before a socket is bound to at, an address with the
	// declared port.
	bind(c *caller, s socket, at netip.AddrPort) (verdict, error)
	// declares tells whether a socket that is bound to at has been bound
	// through this berth.
	declares(at netip.AddrPort) bool
	// listen is asked before such a socket starts to listen.
	listen(c *caller, s socket, backlog int) (verdict, Listening, error)
	// held returns a duplicate of the socket of that inode, if the berth has one of
	// the instance.
	held(inode uint64) (fd int, ok bool)
	// pack adds what the berth knows of the instance's sockets, unpack takes it.
	pack(st *AdoptionState)
	unpack(st AdoptionState)
}

// Adopt returns the Adoption of an instance by its declared public port. g must be
// that of its Shim; pids lists its living processes.
func Adopt(port int, g Grip, pids func() []int, b Berth, w Watch) *Adoption {
	return &Adoption{
		port: port, grip: g, pids: pids, reach: g.reach(pids, b), berth: b, watch: w,
		serving: make(chan *seccomp.Listener, 1), served: make(chan struct{}),
	}
}

// Serve answers calls until the last process of the instance is gone, and then
// closes the listener; or until HandOver. It is to be called once. claim, if not nil, is called with each process that is about to
// listen, wherever, and so is the instance's, whatever else it may look like; like
// a Watch it must not block.
func (a *Adoption) Serve(l *seccomp.Listener, claim func(pid int)) error {
	defer close(a.served)
	a.serving <- l
	err := a.serve(l, claim)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	a.ended = true
	a.reach.close()
	l.Close()
	return err
}

// Served is closed when Serve is about to return, and nothing is done any more for the
// instance.
func (a *Adoption) Served() <-chan struct{} { return a.served }

func (a *Adoption) serve(l *seccomp.Listener, claim func(pid int)) error {
	for {
		call, err := l.Receive()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("receive a system call: %w", err)
		}
		if call.Number == unix.SYS_LISTEN && claim != nil {
			if pid, err := call.Process(); err == nil && call.Valid() {
				claim(pid)
			}
		}
		if err := a.judge(call).answer(call); err != nil {
			return err
		}
	}
}

// judge decides on a call, and waits for a while where clusterd has no descriptor or
// memory left for that; then the call fails for this reason.
func (a *Adoption) judge(call *seccomp.Call) verdict {
	for start := time.Now(); ; time.Sleep(shortageTick) {
		c := caller{Call: call, reach: a.reach, fd: int(int32(call.Args[0]))}
		v, err := a.decide(&c)
		c.close()
		switch {
		case err == nil:
			return v
		case !call.Valid(): // whatever went wrong, it is since the caller has died
			return proceed
		case !shortage(err):
			a.refuse(err)
			return v
		case time.Since(start) >= shortageLimit:
			v, _ = failure(err)
			return v
		}
	}
}

const (
	shortageTick  = 20 * time.Millisecond
	shortageLimit = 5 * time.Second
)

func shortage(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ENOMEM) || errors.Is(err, unix.ENOBUFS)
}

// caller is a call with the descriptor it is about.
type caller struct {
	*seccomp.Call
	reach  reach
	fd     int
	opened []int // duplicates to be closed after the answer
}

func (c *caller) close() {
	for _, fd := range c.opened {
		unix.Close(fd)
	}
}

// verdict is the answer to a call.
type verdict struct {
	done  bool       // answered in the kernel's place; else the kernel goes on
	errno unix.Errno // with this error, if done
}

var (
	proceed = verdict{}
	success = verdict{done: true}
)

// failure is the verdict of a system call that was made in the caller's place.
func failure(err error) (verdict, bool) {
	errno, ok := errors.AsType[unix.Errno](err)
	return verdict{done: true, errno: errno}, ok
}

func (v verdict) answer(c *seccomp.Call) error {
	switch {
	case !v.done:
		return c.Continue()
	case v.errno != 0:
		return c.Fail(v.errno)
	}
	return c.Return(0)
}

func (a *Adoption) decide(c *caller) (verdict, error) {
	switch c.Number {
	case unix.SYS_BIND:
		return a.bind(c)
	case unix.SYS_SETSOCKOPT:
		return proceed, a.reach.option(c)
	}
	return a.listen(c)
}

func (a *Adoption) bind(c *caller) (verdict, error) {
	name := make([]byte, 0, unix.SizeofSockaddrInet6)
	name, err := c.Memory(c.Args[1], min(int(uint32(c.Args[2])), cap(name)))
	if errors.Is(err, unix.EIO) { // a bad address: the kernel will say so
		return proceed, nil
	}
	if err != nil {
		return proceed, err
	}
	at, ok := parseSockaddr(name)
	if !ok || int(at.Port()) != a.port {
		return proceed, nil
	}
	s, ok, err := a.reach.binding(c)
	if err != nil || !ok || !c.Valid() {
		return proceed, err
	}
	return a.berth.bind(c, s, at)
}

func (a *Adoption) listen(c *caller) (verdict, error) {
	s, ok, err := a.reach.listening(c)
	if err != nil || !ok || s.listening || !c.Valid() {
		return proceed, err
	}
	at, bound := s.name()
	if !bound || !a.berth.declares(at) {
		return proceed, nil
	}
	v, listening, err := a.berth.listen(c, s, int(int32(c.Args[1])))
	if err == nil && v.done && v.errno == 0 {
		a.reach.listens(s)
		if a.watch.Listening != nil {
			a.watch.Listening(listening)
		}
	}
	return v, err
}

// refuse says why the caller was left alone. One that has just died is no
// reason.
func (a *Adoption) refuse(err error) {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) || a.watch.Refused == nil {
		return
	}
	if errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("its process may not be looked into (a program that may not be read, or that runs as another user): %w", err)
	}
	a.watch.Refused(err.Error())
}
