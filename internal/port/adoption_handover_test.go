package port

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"clusterd/internal/handover"
)

// listenWhenTold binds its port and says so, and listens when it gets a SIGUSR1.
func listenWhenTold(port string) error {
	n, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	told := make(chan os.Signal, 1)
	signal.Notify(told, unix.SIGUSR1)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1<<16); err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: n}); err != nil {
		return err
	}
	fmt.Println("bound")
	<-told
	// Signals of the runtime's interrupt what waits for an answer.
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Listen(fd, 1)
	}
	if err != nil {
		return err
	}
	fmt.Println("listening")
	for {
		conn, _, err := unix.Accept(fd)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		_, _ = unix.Write(conn, []byte(strconv.Itoa(os.Getpid())+"\n"))
		unix.Close(conn)
	}
}

// told has the server listen.
func (a *adopted) told() {
	a.t.Helper()
	if err := a.cmd.Process.Signal(unix.SIGUSR1); err != nil {
		a.t.Fatal(err)
	}
}

// asks waits until a call waits in the kernel.
func (a *adopted) asks(listener int) {
	a.t.Helper()
	eventually(a.t, "a call waits", func() bool {
		polled := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
		n, _ := unix.Poll(polled, 0)
		return n == 1 && polled[0].Revents&unix.POLLIN != 0
	})
}

// An instance that has bound its port when its adoption is handed over, and one that
// is about to listen, are held like any other.
func TestAdoptionHandOver(t *testing.T) {
	for name, grip := range grips {
		for _, pending := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s direct, pending %v", name, pending), func(t *testing.T) {
				port, o := freePort(t), Owner{0, 1}
				front := FrontOptions{Port: port, Log: func(s string) { t.Log(s) }}
				testAdoptionHandOver(t, grip, port, pending, NewFront(front), func(f *Front) Berth {
					return &Direct{Front: f, Owner: o, Port: port}
				}, func(b *handover.Bag, f *Front) *Front {
					st, err := f.HandOver(b)
					if err != nil {
						t.Fatal(err)
					}
					if f, err = TakeFront(front, carry(t, b, st), b); err != nil {
						t.Fatal(err)
					}
					return f
				}, func(f *Front) {
					if sockets := f.Sockets(o); len(sockets) != 1 {
						t.Fatalf("held: %v", sockets)
					}
					f.Admit(o)
				}, port)
			})
			t.Run(fmt.Sprintf("%s moved, pending %v", name, pending), func(t *testing.T) {
				public, private := freePort(t), freePort(t)
				var asked atomic.Int32
				testAdoptionHandOver(t, grip, public, pending, nil, func(*Front) Berth {
					return &Moved{Private: private, Listening: func(at Addr) error {
						if at != anyIPv4.on(public) {
							t.Errorf("it is to listen at %v", at)
						}
						asked.Add(1)
						return nil
					}}
				}, func(*handover.Bag, *Front) *Front { return nil }, func(*Front) {
					if n := asked.Load(); n != 1 {
						t.Errorf("it was asked %d times whether it may listen", n)
					}
				}, private)
			})
		}
	}
}

func testAdoptionHandOver(t *testing.T, grip Grip, port int, pending bool, f *Front, berth func(*Front) Berth,
	handFront func(*handover.Bag, *Front) *Front, check func(*Front), at int) {
	closesAll(t)
	t.Cleanup(func() {
		if f != nil {
			f.Close()
		}
	})
	a := adopt(t, port, grip, berth(f), fmt.Sprint("waits ", port))
	if line := a.line(); line != "bound" {
		t.Fatal(line)
	}
	for range 3 {
		b := handover.NewBag()
		st, err := a.HandOver(b)
		if err != nil {
			t.Fatal(err)
		}
		if err := await(t, a.ended); err != nil {
			t.Errorf("Serve returns %v", err)
		}
		st = carry(t, b, st)
		if pending {
			a.told()
			a.asks(st.Listener)
			pending = false
		}
		f = handFront(b, f)
		next := berth(f)
		if d, ok := next.(*Direct); ok {
			d.PIDs = a.pids
		}
		adoption := Adopt(port, 1-grip, a.pids, next, a.watch) // it goes on by that by which it began
		l, err := TakeAdoption(st, adoption, b)
		if err != nil {
			t.Fatal(err)
		}
		b.Close()
		a.serveBy(adoption, l)
	}
	a.told()
	if line := a.line(); line != "listening" {
		t.Fatal(line)
	}
	await(t, a.listening)
	check(f)
	if got := read(t, dial(t, "127.0.0.1", at)); got != strconv.Itoa(a.cmd.Process.Pid) {
		t.Errorf("%s answers, want %d", got, a.cmd.Process.Pid)
	}
	if len(a.refused) > 0 {
		t.Error(<-a.refused)
	}
	a.kill()
}

// A call that has been received is answered before its adoption is handed over.
func TestReceivedCallIsAnswered(t *testing.T) {
	closesAll(t)
	public, private := freePort(t), freePort(t)
	received, answer := make(chan struct{}), make(chan struct{})
	var answered atomic.Bool
	a := adopt(t, public, Share, &Moved{Private: private, Listening: func(Addr) error {
		close(received)
		<-answer
		answered.Store(true)
		return nil
	}}, fmt.Sprint("v4 ", public))
	await(t, received)
	b := handover.NewBag()
	handed := make(chan AdoptionState)
	go func() {
		st, err := a.HandOver(b)
		if err != nil {
			t.Error(err)
		}
		if !answered.Load() {
			t.Error("it is handed over with a call that has been received")
		}
		handed <- st
	}()
	close(answer)
	if line := a.line(); line != "listening" {
		t.Fatal(line)
	}
	st := await(t, handed)
	if err := await(t, a.ended); err != nil {
		t.Error(err)
	}
	if st.Ended {
		t.Error("it is said to have ended")
	}
	next := Adopt(public, Share, a.pids, &Moved{Private: private}, a.watch)
	l, err := TakeAdoption(st, next, b)
	if err != nil {
		t.Fatal(err)
	}
	a.serveBy(next, l)
}

// Of an adoption that has ended, nothing is handed over but that.
func TestEndedAdoptionIsHandedOver(t *testing.T) {
	closesAll(t)
	public := freePort(t)
	a := adopt(t, public, Replace, &Moved{Private: freePort(t)}, fmt.Sprint("waits ", public))
	if line := a.line(); line != "bound" {
		t.Fatal(line)
	}
	a.kill()
	b := handover.NewBag()
	st, err := a.HandOver(b)
	if err != nil || !st.Ended {
		t.Fatalf("%+v, %v", st, err)
	}
	if l, err := TakeAdoption(st, Adopt(public, Share, a.pids, &Moved{}, Watch{}), b); l != nil || err != nil {
		t.Errorf("taken: %v, %v", l, err)
	}
}

// The sockets of a Group, and what waits there, are handed over, and so is where to
// open others; and the private ports.
func TestGroupHandOver(t *testing.T) {
	needIPv6(t)
	for name, open := range map[string]func(port int) (*Group, error){
		"by the config":   func(port int) (*Group, error) { return Open("localhost", port) },
		"by the instance": func(port int) (*Group, error) { return OpenAt(dualStack.on(port)), nil },
	} {
		t.Run(name, func(t *testing.T) {
			closesAll(t)
			port := freePort(t)
			g, err := open(port)
			if err != nil {
				t.Fatal(err)
			}
			if err := g.Hold(0); err != nil {
				t.Fatal(err)
			}
			conn := dial(t, "127.0.0.1", port)
			b := handover.NewBag()
			st := carry(t, b, g.HandOver(b))
			g.Close() // nothing is left in it
			if g, err = TakeGroup(st, b); err != nil {
				t.Fatal(err)
			}
			defer g.Close()
			queued(t, g, 1, 0)
			if err := g.Hold(1); err != nil {
				t.Fatal(err)
			}
			all, err := g.Listeners(0)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range all {
				defer l.Close()
			}
			c, err := all[0].Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if c.RemoteAddr().(*net.TCPAddr).Port != conn.LocalAddr().(*net.TCPAddr).Port {
				t.Errorf("accepted %v, want %v", c.RemoteAddr(), conn.LocalAddr())
			}
		})
	}
}

func TestPrivateHandOver(t *testing.T) {
	p := narrow(row(t, 2), 2)
	first, err := p.Take()
	if err != nil {
		t.Fatal(err)
	}
	b := handover.NewBag()
	next := TakePrivate([]int{7}, carry(t, b, p.HandOver()))
	next.lowest, next.count = p.lowest, p.count
	if second, err := next.Take(); err != nil || second == first {
		t.Errorf("%d, %v after %d was taken", second, err, first)
	}
	next.Put(first)
	if again, err := next.Take(); err != nil || again != first {
		t.Errorf("%d, %v, want %d", again, err, first)
	}
}
