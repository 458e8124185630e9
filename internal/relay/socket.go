package relay

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// socket is a connected TCP socket. Unlike one of package net or os it belongs to
// a poller of the relay's own, which can go on with a pair that has no goroutine;
// the runtime's can only wake one. One goroutine at a time may read, and one write.
type socket struct {
	fd     int
	far    net.Addr // nil: nobody asks
	poller *poller  // set before anything is done with the socket that may block

	mu      sync.Mutex
	pair    *pair     // to stir when nobody waits; nil: none
	changed sync.Cond // on mu
	users   int       // calls that use fd now
	closed  bool      // fd is, or will be when its last user is done
	watched uint32    // events that the poller is asked for
	hup     bool      // the other end has said all, or there is an error: reading tells
	in, out direction
}

// direction is one of the two of a socket. It is guarded by socket.mu.
type direction struct {
	ready   bool      // it may have more to say, or take, than when it was tried last
	waiting bool      // a goroutine does
	by      time.Time // its deadline; zero: none
	expired bool      // that has passed
	timer   *time.Timer
	rings   time.Time // when timer does: by, or earlier; zero: never
}

// newSocket takes over a connected, non-blocking descriptor.
func newSocket(fd int, far net.Addr) *socket {
	s := &socket{fd: fd, far: far}
	s.changed.L = &s.mu
	return s
}

// attempt calls f until it is true, whenever d may be ready. Between the calls it
// blocks.
func (s *socket) attempt(d *direction, events uint32, f func(fd uintptr) bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if s.closed {
			return os.ErrClosed
		}
		if d.expired {
			return os.ErrDeadlineExceeded
		}
		d.ready = false
		if s.use(f) {
			return nil
		}
		if err := s.watch(events); err != nil {
			return err
		}
		for !d.ready && !d.expired && !s.closed {
			d.waiting = true
			s.changed.Wait()
			d.waiting = false
		}
	}
}

// use calls f, without mu, which is held.
func (s *socket) use(f func(fd uintptr) bool) bool {
	s.users++
	s.mu.Unlock()
	done := f(uintptr(s.fd))
	s.mu.Lock()
	s.unuse()
	return done
}

// unuse ends a use of fd. mu is held.
func (s *socket) unuse() {
	s.users--
	if s.closed && s.users == 0 {
		s.destroy()
	}
}

// watch asks the poller for events. What has happened already is one as well. mu is
// held.
func (s *socket) watch(events uint32) error {
	if s.closed || s.watched&events == events {
		return nil
	}
	if err := s.poller.watch(s, s.watched|events, s.watched == 0); err != nil {
		return err
	}
	s.watched |= events
	return nil
}

// serveTo makes the socket one of p's.
func (s *socket) serveTo(p *pair) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pair, s.poller = p, p.poller
}

// notify takes note of events, and returns whom to stir, if nobody waits for them.
func (s *socket) notify(events uint32) (unheard *pair) {
	s.mu.Lock()
	defer s.mu.Unlock()
	const end = unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR
	s.hup = s.hup || events&end != 0
	if events&(unix.EPOLLIN|end) != 0 {
		s.in.ready = true
		if !s.in.waiting {
			unheard = s.pair
		}
	}
	if events&(unix.EPOLLOUT|end) != 0 {
		s.out.ready = true
	}
	if s.in.waiting || s.out.waiting {
		s.changed.Broadcast()
	}
	return unheard
}

// tryRead reads what there is, without waiting. It is false when there is nothing
// new. The poller tells when there is more.
func (s *socket) tryRead(f func(fd uintptr) bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || !s.in.ready {
		return false
	}
	s.in.ready = false
	return s.use(f)
}

// readSome takes note of a read that has got something, as much as there was room for
// perhaps. If there may be more, or the end, tryRead is to try again: no event tells
// of what there was already.
func (s *socket) readSome(full bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if full || s.hup {
		s.in.ready = true
	}
}

// pending tells what a parked pair has to see to: something to read, or a deadline of
// reading that has passed.
func (s *socket) pending() (ready, late bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.in.ready && !s.closed, s.in.expired && !s.closed
}

// watchRead asks the poller to tell of what can be read.
func (s *socket) watchRead() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.watch(unix.EPOLLIN)
}

// tryWrite writes as much of b as goes without waiting.
func (s *socket) tryWrite(b []byte) (n int, err error) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return 0, os.ErrClosed
	}
	s.users++
	s.mu.Unlock()
	n, err = writeAll(s.fd, b)
	s.mu.Lock()
	s.unuse()
	s.mu.Unlock()
	if err == syscall.EAGAIN {
		err = nil
	}
	return n, os.NewSyscallError("write", err)
}

// Write blocks until all of b is written, or its deadline passes.
func (s *socket) Write(b []byte) (n int, err error) {
	var failed error
	err = s.attempt(&s.out, unix.EPOLLOUT, func(fd uintptr) bool {
		var m int
		m, failed = writeAll(int(fd), b[n:])
		n += m
		return failed != syscall.EAGAIN
	})
	if err == nil {
		err = os.NewSyscallError("write", failed)
	}
	return n, err
}

// Read is that of net.Conn.
func (s *socket) Read(b []byte) (n int, err error) {
	var failed error
	err = s.attempt(&s.in, unix.EPOLLIN, func(fd uintptr) bool {
		n, failed = readOnce(int(fd), b)
		return failed != syscall.EAGAIN
	})
	switch {
	case err != nil:
		return 0, err
	case failed == nil && n == 0 && len(b) > 0:
		return 0, io.EOF
	}
	return n, os.NewSyscallError("read", failed)
}

// Close does not wait for who uses the socket: that is told, and the last one
// closes the descriptor.
func (s *socket) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return os.ErrClosed
	}
	s.closed = true
	s.in.stop()
	s.out.stop()
	s.changed.Broadcast()
	if s.users == 0 {
		s.destroy()
	}
	return nil
}

// destroy closes the descriptor. mu is held.
func (s *socket) destroy() {
	if s.watched != 0 {
		s.poller.forget(s)
	}
	_ = syscall.Close(s.fd)
}

func (s *socket) RemoteAddr() net.Addr { return s.far }

// LocalAddr asks the kernel.
func (s *socket) LocalAddr() (at net.Addr) {
	_ = s.control(func(fd int) error {
		sa, err := unix.Getsockname(fd)
		if err == nil {
			at = tcpAddr(sa)
		}
		return err
	})
	return at
}

func (s *socket) CloseWrite() error {
	return s.control(func(fd int) error { return os.NewSyscallError("shutdown", syscall.Shutdown(fd, syscall.SHUT_WR)) })
}

// setNoDelay is for a socket of dialTCP.
func (s *socket) setNoDelay() error {
	return s.control(func(fd int) error {
		return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
	})
}

// SetLinger is that of net.TCPConn.
func (s *socket) SetLinger(seconds int) error {
	return s.control(func(fd int) error {
		l := unix.Linger{Onoff: 1, Linger: int32(seconds)}
		return os.NewSyscallError("setsockopt", unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &l))
	})
}

func (s *socket) control(f func(fd int) error) (failed error) {
	if err := (*rawSocket)(s).Control(func(fd uintptr) { failed = f(int(fd)) }); err != nil {
		return err
	}
	return failed
}

// SyscallConn is for who reads and writes with system calls of its own.
func (s *socket) SyscallConn() (syscall.RawConn, error) { return (*rawSocket)(s), nil }

// rawSocket is a socket as a syscall.RawConn.
type rawSocket socket

func (r *rawSocket) Control(f func(fd uintptr)) error {
	s := (*socket)(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return os.ErrClosed
	}
	s.use(func(fd uintptr) bool {
		f(fd)
		return true
	})
	return nil
}

func (r *rawSocket) Read(f func(fd uintptr) bool) error {
	s := (*socket)(r)
	return s.attempt(&s.in, unix.EPOLLIN, f)
}

func (r *rawSocket) Write(f func(fd uintptr) bool) error {
	s := (*socket)(r)
	return s.attempt(&s.out, unix.EPOLLOUT, f)
}
