package relay

import (
	"errors"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"clusterd/internal/traffic"
)

// scarce is a listener of a process that is always about to run out of
// descriptors: each second connection fails, and no other one can be used.
type scarce struct {
	net.Listener // nil
	calls        int
	closed       chan struct{}
}

func (l *scarce) Accept() (net.Conn, error) {
	select {
	case <-l.closed:
		return nil, net.ErrClosed
	default:
	}
	if l.calls++; l.calls%2 == 1 {
		return nil, syscall.EMFILE
	}
	return &useless{}, nil
}

func (l *scarce) Close() error {
	close(l.closed)
	return nil
}

type useless struct{ net.Conn }

func (*useless) SyscallConn() (syscall.RawConn, error) { return nil, errors.New("of no use") }
func (*useless) Close() error                          { return nil }

// However often something goes wrong, it is said once a minute, also when it
// goes well in between.
func TestLogIsRare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said []string
		r := New(Options{Log: func(s string) { said = append(said, s) }})
		r.AddSlot(0, &scarce{closed: make(chan struct{})}, &traffic.Counters{})
		r.Admit(0, Instance{})
		time.Sleep(2*time.Minute + 30*time.Second)
		r.Close()
		for _, kind := range []string{"cannot accept connections: too many open files", "cannot serve a connection: of no use"} {
			n := 0
			for _, s := range said {
				if s == kind {
					n++
				}
			}
			if n != 3 {
				t.Errorf("%q was said %d times in two and a half minutes, want 3", kind, n)
			}
		}
	})
}

// That there are too many clients is said again when it is so again, a minute later.
func TestFullIsSaidAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said []string
		r := New(Options{Limits: Limits{Conns: 1}, Log: func(s string) { said = append(said, s) }})
		p := &pair{}
		for range 3 {
			r.mu.Lock()
			r.pairs[p] = struct{}{}
			r.mu.Unlock()
			done := make(chan bool)
			go func() { done <- r.awaitWork() }()
			synctest.Wait()
			r.mu.Lock()
			delete(r.pairs, p)
			r.slots[0] = &slot{live: &Instance{}}
			r.wake()
			r.mu.Unlock()
			<-done
			time.Sleep(rarely / 2)
		}
		full := slices.DeleteFunc(said, func(s string) bool { return !strings.Contains(s, "are in use") })
		if len(full) != 2 {
			t.Errorf("said %d times in a minute, want 2: %q", len(full), said)
		}
	})
}
