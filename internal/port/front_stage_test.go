package port

import (
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Addresses as applications bind them.
var (
	anyIPv4      = Addr{At: netip.MustParseAddrPort("0.0.0.0:0")}
	loopbackIPv4 = Addr{At: netip.MustParseAddrPort("127.0.0.1:0")}
	dualStack    = Addr{At: netip.MustParseAddrPort("[::]:0"), IPv6: true}
	anyIPv6      = Addr{At: netip.MustParseAddrPort("[::]:0"), IPv6: true, V6Only: true}
	loopbackIPv6 = Addr{At: netip.MustParseAddrPort("[::1]:0"), IPv6: true}
	mappedIPv4   = Addr{At: netip.MustParseAddrPort("[::ffff:127.0.0.1]:0"), IPv6: true}
)

func (a Addr) on(port int) Addr {
	a.At = netip.AddrPortFrom(a.At.Addr(), uint16(port))
	return a
}

// A stage is a Front with applications that live in the test.
type stage struct {
	*Front
	t       *testing.T
	at      Addr
	orphans chan net.Conn
}

func newStage(t *testing.T, at Addr, opts ...func(*FrontOptions)) *stage {
	t.Helper()
	_ = canEBPF() // leaves a descriptor of the library's open
	closesAll(t)
	if at.IPv6 {
		needIPv6(t)
	}
	s := &stage{t: t, orphans: make(chan net.Conn, 10000), at: at.on(freePort(t))}
	o := FrontOptions{
		Port:   int(s.at.At.Port()),
		Orphan: func(c net.Conn) { s.orphans <- c },
		Log:    func(sentence string) { t.Log(sentence) },
	}
	for _, opt := range opts {
		opt(&o)
	}
	s.Front = NewFront(o)
	t.Cleanup(func() {
		s.Close()
		close(s.orphans)
		for c := range s.orphans {
			c.Close()
		}
	})
	return s
}

// unwatched keeps the Front from looking at queues: a test in which nobody accepts
// has only stuck slots.
func (s *stage) unwatched() *stage {
	s.begin.Do(func() {})
	return s
}

// bound is a socket as an application has it before it listens.
func (s *stage) bound() int {
	s.t.Helper()
	fd, err := s.at.join(uint32(unix.Geteuid()))
	if err != nil {
		s.t.Fatal(err)
	}
	return fd
}

// start lets an application join as a generation of a slot, live.
func (s *stage) start(o Owner) *server {
	s.t.Helper()
	v := s.join(o)
	s.Admit(o)
	return v
}

func (s *stage) join(o Owner) *server {
	s.t.Helper()
	fd := s.bound()
	v := &server{t: s.t, fd: dup(s.t, fd)}
	if err := s.Join(o, fd, 128); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(v.exit)
	return v
}

func dup(t *testing.T, fd int) int {
	t.Helper()
	d, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// A server is an application's process with its own descriptor of the socket. It
// accepts nothing until it serves.
type server struct {
	t  *testing.T
	fd int
	l  net.Listener

	mu    sync.Mutex
	conns []net.Conn
	end   chan struct{}
}

// serve accepts from now on, and keeps what it accepted.
func (v *server) serve() *server {
	return v.accept(func(c net.Conn) {
		v.mu.Lock()
		v.conns = append(v.conns, c)
		v.mu.Unlock()
	})
}

// greet accepts from now on, says who it is, and closes.
func (v *server) greet(o Owner) *server {
	return v.accept(func(c net.Conn) {
		c.Write([]byte{byte(o.Slot), byte(o.Generation)})
		c.Close()
	})
}

func (v *server) accept(each func(net.Conn)) *server {
	v.t.Helper()
	l, err := listener(v.fd)
	if err != nil {
		v.t.Fatal(err)
	}
	v.l, v.end = l, make(chan struct{})
	go func() {
		defer close(v.end)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			each(c)
		}
	}()
	return v
}

func (v *server) served() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.conns)
}

// exit closes everything, like the death of the process.
func (v *server) exit() {
	if v.fd < 0 {
		return
	}
	if v.l != nil {
		v.l.Close()
		<-v.end
	}
	for _, c := range v.conns {
		c.Close()
	}
	unix.Close(v.fd)
	v.fd = -1
}

// eventually waits for a fact.
func eventually(t *testing.T, what string, fact func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if fact() {
			return
		}
	}
	t.Fatal("never: " + what)
}

// connect opens n connections, from alternating source ports.
func (s *stage) connect(n int) []net.Conn {
	s.t.Helper()
	var out []net.Conn
	for range n {
		c, err := net.DialTimeout("tcp", s.at.dial().String(), patience)
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { c.Close() })
		out = append(out, c)
	}
	return out
}

func owners(n int) (out []Owner) {
	for i := range n {
		out = append(out, Owner{Slot: i, Generation: 1})
	}
	return out
}

// queueOf is the length of one slot's queue.
func (s *stage) queueOf(slot int) int {
	s.t.Helper()
	n, ok := s.Queue(slot)
	if !ok {
		s.t.Fatalf("slot %d has no queue", slot)
	}
	return int(n)
}
