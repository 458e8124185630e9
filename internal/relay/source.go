package relay

import (
	"io"
	"sync"
	"syscall"
)

// bufferSize is what is read at once.
const bufferSize = 16 << 10

// buffers are those not in use. An idle connection holds none.
var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// source reads from a connection into a buffer that it holds only while there
// are bytes in it. One goroutine uses it.
type source struct {
	raw  syscall.RawConn
	sock *socket // nil: another kind of connection, of which poll knows nothing

	pooled *[bufferSize]byte // nil: buf is not pooled
	buf    []byte            // nil: none
	r, w   int

	n   int // outcome of the last try
	err error
	try func(fd uintptr) bool
	end error // that poll has met, for fill to return
}

func newSource(conn syscall.Conn) (*source, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &source{raw: raw}
	s.sock, _ = conn.(*socket)
	s.try = s.read
	return s, nil
}

// bytes are those read and not consumed. They are valid until the next fill or
// consume.
func (s *source) bytes() []byte { return s.buf[s.r:s.w] }

// consume drops the first n bytes.
func (s *source) consume(n int) {
	if s.r += n; s.r == s.w {
		s.release()
	}
}

// put makes b what has been read, in place of nothing. It is the source's from now
// on.
func (s *source) put(b []byte) {
	switch {
	case len(b) == 0:
		return
	case len(b) <= bufferSize:
		s.pooled = buffers.Get().(*[bufferSize]byte)
		copy(s.pooled[:], b)
		s.buf = s.pooled[:]
	default:
		s.buf = b
	}
	s.r, s.w = 0, len(b)
}

// release drops all bytes, and the buffer.
func (s *source) release() {
	if s.pooled != nil {
		buffers.Put(s.pooled)
	}
	s.pooled, s.buf, s.r, s.w = nil, nil, 0, 0
}

// fill blocks until there is at least one byte more, the connection ends
// (io.EOF), or its read deadline passes. With bytes left over it makes room
// behind them, up to maxHead bytes in all; more is io.ErrShortBuffer.
func (s *source) fill() error {
	if err := s.end; err != nil {
		s.end = nil
		return err
	}
	if err := s.makeRoom(); err != nil {
		return err
	}
	if err := s.raw.Read(s.try); err != nil {
		return err
	}
	return s.outcome()
}

// poll is fill without blocking. It is false when there is nothing now. An error
// comes with the next fill.
func (s *source) poll() bool {
	if s.sock == nil {
		return false
	}
	if s.end == nil {
		s.end = s.makeRoom()
	}
	if s.end != nil {
		return true
	}
	if !s.sock.tryRead(s.try) {
		return false
	}
	s.end = s.outcome()
	return true
}

func (s *source) outcome() error {
	if s.err != nil {
		return s.err
	}
	if s.n == 0 {
		return io.EOF
	}
	s.w += s.n
	if s.sock != nil {
		s.sock.readSome(s.w == len(s.buf))
	}
	return nil
}

// makeRoom makes room for a byte at least, in a buffer that is full.
func (s *source) makeRoom() error {
	if s.buf == nil || s.w < len(s.buf) {
		return nil
	}
	kept := s.w - s.r
	if s.r > 0 {
		copy(s.buf, s.buf[s.r:s.w])
		s.r, s.w = 0, kept
		return nil
	}
	if kept >= maxHead {
		return io.ErrShortBuffer
	}
	larger := make([]byte, min(4*len(s.buf), maxHead))
	copy(larger, s.bytes())
	s.release()
	s.buf, s.w = larger, kept
	return nil
}

// read is called by the runtime's poller when there may be something to read.
// It takes a buffer only then, and gives it back when there was nothing.
func (s *source) read(fd uintptr) bool {
	taken := s.buf == nil
	if taken {
		s.pooled = buffers.Get().(*[bufferSize]byte)
		s.buf = s.pooled[:]
	}
	s.n, s.err = readOnce(int(fd), s.buf[s.w:])
	if s.err != nil || s.n <= 0 {
		s.n = 0
		if taken {
			s.release()
		}
	}
	return s.err != syscall.EAGAIN
}
