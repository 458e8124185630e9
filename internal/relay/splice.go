package relay

import (
	"errors"
	"io"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// spliceMin is how much of a body must be left for it to pass within the
	// kernel: below, two copies cost less than the calls that save them.
	spliceMin = 128 << 10
	// maxPipes is how many bodies do so at once, in all relays. An unprivileged
	// user may have 64 pipes of this size (fs.pipe-user-pages-soft, see pipe(7)).
	maxPipes = 24
	pipeSize = 1 << 20
)

// pipe is what splice(2) needs between two sockets. It is empty while it is not
// in use.
type pipe struct{ r, w int }

// pipes are those not in use.
var pipes struct {
	sync.Mutex
	idle []pipe
	made int
}

// takePipe returns nil when there are enough of them, or no descriptors.
func takePipe() *pipe {
	pipes.Lock()
	defer pipes.Unlock()
	if n := len(pipes.idle); n > 0 {
		p := pipes.idle[n-1]
		pipes.idle = pipes.idle[:n-1]
		return &p
	}
	if pipes.made == maxPipes {
		return nil
	}
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil
	}
	pipes.made++
	// A smaller one does as well, in more calls.
	_, _ = unix.FcntlInt(uintptr(fds[1]), unix.F_SETPIPE_SZ, pipeSize)
	return &pipe{fds[0], fds[1]}
}

// give returns a pipe that is empty, or closes it.
func (p *pipe) give(empty bool) {
	pipes.Lock()
	defer pipes.Unlock()
	if empty {
		pipes.idle = append(pipes.idle, *p)
		return
	}
	unix.Close(p.r)
	unix.Close(p.w)
	pipes.made--
}

// errNoSplice is that bytes have to be copied; none has been moved.
var errNoSplice = errors.New("cannot splice")

// moveError tells which side has failed: io.EOF is the end of what src says. held
// is what src has said and dst has not taken before its deadline.
type moveError struct {
	src, dst error
	held     []byte
}

// move passes n bytes on within the kernel. It calls took when src has said something,
// for which it may have been waited long, and moved for each part that dst has, which
// may close either end.
func move(dst, src syscall.RawConn, n int64, took func(), moved func(n int)) (failed moveError) {
	p := takePipe()
	if p == nil {
		return moveError{src: errNoSplice}
	}
	held := 0 // bytes in the pipe
	defer func() { p.give(held == 0) }()
	var got int64
	var err error
	take := func(fd uintptr) bool {
		got, err = splice(int(fd), p.w, int(min(n, pipeSize)))
		return err != unix.EAGAIN
	}
	put := func(fd uintptr) bool {
		got, err = splice(p.r, int(fd), held)
		return err != unix.EAGAIN
	}
	for first := true; n > 0; first = false {
		switch e := src.Read(take); {
		case e != nil:
			return moveError{src: e}
		case first && err == unix.EINVAL: // not a socket that can
			return moveError{src: errNoSplice}
		case err != nil:
			return moveError{src: os.NewSyscallError("splice", err)}
		case got == 0:
			return moveError{src: io.EOF}
		}
		held = int(got)
		n -= got
		took()
		for held > 0 {
			switch e := dst.Write(put); {
			case errors.Is(e, os.ErrDeadlineExceeded):
				rest := make([]byte, held)
				n, _ := unix.Read(p.r, rest) // of what is there already
				held -= max(n, 0)
				return moveError{dst: e, held: rest[:max(n, 0)]}
			case e != nil:
				return moveError{dst: e}
			case err != nil:
				return moveError{dst: os.NewSyscallError("splice", err)}
			}
			held -= int(got)
			// Not in put: who closes dst may hold what moved waits for, and wait
			// itself until nobody writes.
			moved(int(got))
		}
	}
	return moveError{}
}

func splice(from, to, n int) (int64, error) {
	for {
		got, err := unix.Splice(from, nil, to, nil, n, unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
		if err != unix.EINTR {
			return got, err
		}
	}
}

// bulk is how much of the body comes next without anything to look at, its last
// byte not included: a message ends where it is followed.
func (b *body) bulk() int64 {
	if b.kind == lengthBody || b.kind == chunkedBody && b.state == chunkData {
		return b.left - 1
	}
	return 0
}
