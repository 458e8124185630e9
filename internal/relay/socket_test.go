package relay

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// socketPair is a socket of the relay's and the other end of its connection.
func socketPair(t *testing.T) (*socket, *net.TCPConn) {
	t.Helper()
	near, far := tcpPair(t)
	raw, err := near.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var s *socket
	if err := raw.Control(func(fd uintptr) {
		own, err := unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			t.Fatal(err)
		}
		s = newSocket(own, nil)
	}); err != nil {
		t.Fatal(err)
	}
	near.Close()
	s.poller = testPoller(t)
	t.Cleanup(func() { s.Close() })
	return s, far
}

// A deadline ends a wait: one that is set meanwhile, that was there, that is
// brought forward, and that was put off before; not one that was lifted.
func TestSocketDeadlines(t *testing.T) {
	const soon, never = 20 * time.Millisecond, time.Hour
	for _, tt := range []struct {
		name string
		set  func(s *socket)
	}{
		{"passed", func(s *socket) { _ = s.SetReadDeadline(longAgo) }},
		{"to come", func(s *socket) { _ = s.SetReadDeadline(time.Now().Add(soon)) }},
		{"brought forward", func(s *socket) {
			_ = s.SetReadDeadline(time.Now().Add(never))
			_ = s.SetReadDeadline(time.Now().Add(soon))
		}},
		{"put off", func(s *socket) {
			_ = s.SetReadDeadline(time.Now().Add(soon))
			_ = s.SetReadDeadline(time.Now().Add(3 * soon))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, far := socketPair(t)
			failed := make(chan error)
			read := func() {
				_, err := s.Read(make([]byte, 1))
				failed <- err
			}
			go read()
			eventually(t, "a wait", func() bool {
				s.mu.Lock()
				defer s.mu.Unlock()
				return s.in.waiting
			})
			began := time.Now()
			tt.set(s)
			if err := <-failed; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("read: %v", err)
			}
			if tt.name == "put off" && time.Since(began) < 3*soon {
				t.Errorf("it came after %v, before its time", time.Since(began))
			}
			_ = s.SetReadDeadline(time.Time{})
			go read()
			if _, err := io.WriteString(far, "x"); err != nil {
				t.Fatal(err)
			}
			if err := <-failed; err != nil {
				t.Errorf("without a deadline: %v", err)
			}
		})
	}
}

// Close ends waits, and what uses the descriptor keeps it until it is done.
func TestSocketClose(t *testing.T) {
	s, far := socketPair(t)
	failed := make(chan error)
	go func() {
		_, err := s.Read(make([]byte, 1))
		failed <- err
	}()
	raw, _ := s.SyscallConn()
	if err := raw.Write(func(fd uintptr) bool {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-failed; !errors.Is(err, os.ErrClosed) {
			t.Errorf("read: %v", err)
		}
		if _, err := syscall.Write(int(fd), []byte("x")); err != nil {
			t.Errorf("in use: %v", err)
		}
		return true
	}); err != nil {
		t.Error(err)
	}
	if b, err := io.ReadAll(far); err != nil || string(b) != "x" {
		t.Errorf("the other end read %q, %v", b, err)
	}
	if _, err := s.Write([]byte("x")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("write: %v", err)
	}
	if err := raw.Control(func(uintptr) { t.Error("closed, and used") }); !errors.Is(err, os.ErrClosed) {
		t.Errorf("control: %v", err)
	}
}

// A write waits for room as often as it must.
func TestSocketWriteWaits(t *testing.T) {
	s, far := socketPair(t)
	const size = 32 << 20 // more than all buffers
	wrote := make(chan error)
	go func() {
		_, err := s.Write(make([]byte, size))
		wrote <- err
	}()
	if n, err := io.CopyN(io.Discard, far, size); err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	if err := <-wrote; err != nil {
		t.Error(err)
	}
}
