package port

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"clusterd/internal/sockdiag"
)

const (
	// A packet that is on its way through the kernel when the program changes may
	// still follow the old one.
	inFlight = 5 * time.Millisecond
	// A client whose handshake takes longer has lost a packet; the next one that
	// it sends completes the connection, or is answered by a reset.
	handshakeLimit = 3 * time.Second

	drainTick = 5 * time.Millisecond
)

// Drain sends no new connections to o and returns when none waits in its queues
// and no handshake is left that was begun before (or one has taken 3 seconds). If
// nobody else is live, what arrives waits for a successor or goes to Orphan. When
// ctx ends before, o stays drained until it is admitted again. At an address that
// cannot be steered, connections go on to arrive: Drain then waits for a moment at
// which none waits.
func (f *Front) Drain(ctx context.Context, o Owner) error {
	f.relearnAll()
	f.stand(o, draining)
	err := f.settle(ctx)
	for err == nil {
		waiting, still := f.waiting(o)
		switch {
		case waiting == 0:
			return nil
		case !still:
			return fmt.Errorf("drain slot %d: it was admitted or ended meanwhile, with %d connections waiting", o.Slot, waiting)
		}
		err = f.pause(ctx, drainTick)
	}
	return fmt.Errorf("drain slot %d: %w", o.Slot, err)
}

// waiting counts what is in the queues of o. still: o has not been admitted, nor
// has it ended.
func (f *Front) waiting(o Owner) (n uint32, still bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, h := range f.held {
		if h.owner == o {
			queue := h.queue()
			h.drained = queue == 0 && h.standing == draining && h.cohort.why == ""
			n += queue
		}
	}
	return n, f.standings[o] == draining
}

// settle waits for what the former program has sent somewhere.
func (f *Front) settle(ctx context.Context) error {
	if err := f.pause(ctx, inFlight); err != nil {
		return err
	}
	begun, err := handshakes(f.opts.Port)
	for start := time.Now(); err == nil && len(begun) > 0 && time.Since(start) < handshakeLimit; {
		if err := f.pause(ctx, drainTick); err != nil {
			return err
		}
		var now map[netip.AddrPort]bool
		now, err = handshakes(f.opts.Port)
		maps.DeleteFunc(begun, func(h netip.AddrPort, _ bool) bool { return !now[h] })
	}
	return err
}

func (f *Front) pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-f.life.Done():
		return net.ErrClosed
	case <-time.After(d):
		return nil
	}
}

// handshakes lists the clients whose connections to a port are in the state SYN_RECV.
func handshakes(port int) (map[netip.AddrPort]bool, error) {
	out := map[netip.AddrPort]bool{}
	err := sockdiag.Dump(sockdiag.Query{States: sockdiag.SynRecv, Port: port}, func(m sockdiag.Message) {
		out[m.Remote()] = true
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Release closes the held sockets of o, after a drain or because the application
// has closed them itself. What still waits in their queues goes to other slots:
// by the steering program if it can move it, otherwise it is given to Orphan, which
// takes as long as the handshakes that are under way and goes on after Release has
// returned.
func (f *Front) Release(o Owner) {
	f.retire(func(h *held) bool { return h.owner == o })
}

// ReleaseSocket is Release for one of its sockets.
func (f *Front) ReleaseSocket(o Owner, socket Held) {
	f.retire(func(h *held) bool { return h.owner == o && h.inode == socket.Inode })
}

// ReleaseVacant is Release for what earlier processes of a slot have left and o, the
// present one, did not want. Once o is live no more, it does nothing: what is vacant
// may be its own by then, for a successor.
func (f *Front) ReleaseVacant(o Owner) {
	f.retire(func(h *held) bool {
		return f.standings[o] == live && h.owner.Slot == o.Slot && h.standing == vacant
	})
}

// GiveUp closes all sockets of a slot, like Release: nobody will come to accept
// from them.
func (f *Front) GiveUp(slot int) {
	f.retire(func(h *held) bool { return h.owner.Slot == slot })
}

func (f *Front) retire(which func(*held) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var going []*held
	for _, h := range f.held {
		if which(h) && !h.retiring {
			h.retiring, h.standing = true, draining
			h.unwatch()
			going = append(going, h)
		}
	}
	if len(going) == 0 {
		return
	}
	f.steerAll()
	for _, h := range going {
		if !h.listening || h.drained && h.queue() == 0 || h.cohort.movesQueues() || f.closed {
			f.drop(h)
		} else {
			f.helpers.Go(func() { f.windUp(h) })
		}
	}
}

// windUp gives away what a retiring socket got, and closes it.
func (f *Front) windUp(h *held) {
	// An error means that the Front closes, or that handshakes cannot be seen:
	// then those under way are lost.
	_ = f.settle(context.Background())
	f.mu.Lock()
	fd, err := -1, error(net.ErrClosed)
	if !f.closed {
		fd, err = unix.FcntlInt(uintptr(h.fd), unix.F_DUPFD_CLOEXEC, 0)
	}
	f.mu.Unlock()
	if err == nil {
		f.empty(h, fd, func() {})
		unix.Close(fd)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.closed {
		f.drop(h)
	}
}

// empty gives all connections in the queue of h, by its duplicate fd, to Orphan, and calls took for
// each with the lock held. It never changes O_NONBLOCK, which every copy of the
// descriptor shares. When a process wakes up and takes the last connection between
// poll and accept, and its socket is a blocking one, empty waits for the next
// connection, or for the socket to be shut down.
func (f *Front) empty(h *held, fd int, took func()) {
	for f.life.Err() == nil {
		polled := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if n, err := unix.Poll(polled, 0); err == nil && (n == 0 || polled[0].Revents&unix.POLLIN == 0) {
			return
		}
		conn, err := acceptFrom(fd)
		switch {
		case err == nil:
			f.mu.Lock()
			took()
			if f.opts.Taken != nil {
				f.opts.Taken(h.owner.Slot, conn)
			}
			f.orphan(conn)
			f.mu.Unlock()
		case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EBADF):
			return // shut down
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR), errors.Is(err, unix.ECONNABORTED):
		default: // out of descriptors or memory
			if f.pause(context.Background(), 10*drainTick) != nil {
				return
			}
		}
	}
}

func acceptFrom(fd int) (net.Conn, error) {
	conn, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("accept4", err)
	}
	file := os.NewFile(uintptr(conn), "orphan")
	defer file.Close()
	return net.FileConn(file)
}
