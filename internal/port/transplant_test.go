package port

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"clusterd/internal/port/seccomp"
)

// particular are the options of a listener that cares, and what it then finds.
var particular = []struct{ level, option, value, found int }{
	{unix.SOL_SOCKET, unix.SO_REUSEADDR, 1, 1},
	{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1, 1},
	{unix.SOL_SOCKET, unix.SO_RCVBUF, 30000, 60000},
	{unix.SOL_SOCKET, unix.SO_SNDBUF, 40000, 80000},
	{unix.SOL_SOCKET, unix.SO_RCVLOWAT, 2, 2},
	{unix.IPPROTO_IP, unix.IP_TTL, 77, 77},
	{unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO, unix.IP_PMTUDISC_DO},
	{unix.IPPROTO_IP, unix.IP_TOS, 0x10, 0x10},
	{unix.SOL_SOCKET, unix.SO_PRIORITY, 3, 3},
	{unix.IPPROTO_IP, unix.IP_FREEBIND, 1, 1},
	{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1, 1},
	{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 99, 99},
	{unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 3, 3},
	{unix.IPPROTO_TCP, unix.TCP_FASTOPEN, 9, 9},
	{unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 4321, 4321},
}

// serveParticular sets options and flags before it listens, those that are noted
// before it binds and the rest after, and says what has become of them.
func serveParticular(port, flags string) error {
	n, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	kind := unix.SOCK_STREAM
	if strings.Contains(flags, "nonblock") {
		kind |= unix.SOCK_NONBLOCK
	}
	if strings.Contains(flags, "cloexec") {
		kind |= unix.SOCK_CLOEXEC
	}
	fd, err := unix.Socket(unix.AF_INET, kind, 0)
	if err != nil {
		return err
	}
	set := func(noted bool) error {
		for _, o := range particular {
			isNoted := slices.ContainsFunc(Replace.noted(), func(n seccomp.Option) bool { return n.Level == o.level && n.Name == o.option })
			if isNoted == noted {
				if err := unix.SetsockoptInt(fd, o.level, o.option, o.value); err != nil {
					return fmt.Errorf("set option %d of level %d: %w", o.option, o.level, err)
				}
			}
		}
		return nil
	}
	if err := set(true); err != nil {
		return err
	}
	if err := errors.Join(
		unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, "reno"),
		unix.SetsockoptString(fd, unix.SOL_SOCKET, unix.SO_BINDTODEVICE, "lo"),
		unix.Bind(fd, &unix.SockaddrInet4{Port: n}),
		set(false),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 7}),
		unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1, Linger: 8}),
	); err != nil {
		return err
	}
	if err := unix.Listen(fd, 5); err != nil {
		return err
	}
	for _, o := range particular {
		if v, err := unix.GetsockoptInt(fd, o.level, o.option); err != nil || v != o.found {
			fmt.Printf("option %d of level %d is %d, %v; want %d\n", o.option, o.level, v, err, o.found)
		}
	}
	for name, o := range map[string]seccomp.Option{
		"reno\x00":             {Level: unix.IPPROTO_TCP, Name: unix.TCP_CONGESTION},
		"lo\x00":               {Level: unix.SOL_SOCKET, Name: unix.SO_BINDTODEVICE},
		"\x07":                 {Level: unix.SOL_SOCKET, Name: unix.SO_RCVTIMEO},
		"\x01\x00\x00\x00\x08": {Level: unix.SOL_SOCKET, Name: unix.SO_LINGER},
	} {
		if v, err := optionOf(fd, o); !strings.HasPrefix(string(v), name) {
			fmt.Printf("option %d of level %d is %q, %v; want %q\n", o.Name, o.Level, v, err, name)
		}
	}
	status, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return err
	}
	own, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	if err != nil {
		return err
	}
	fmt.Println("nonblock", status&unix.O_NONBLOCK != 0, "cloexec", own&unix.FD_CLOEXEC != 0)
	_, err = unix.Poll(nil, -1)
	return err
}

// What a process has set on its socket, it finds again: on its first one, and on
// the one that it takes over from another process, which had other flags.
func TestOptions(t *testing.T) {
	for name, grip := range grips {
		t.Run(name, func(t *testing.T) {
			closesAll(t)
			port := freePort(t)
			f := NewFront(FrontOptions{Port: port})
			t.Cleanup(f.Close)
			for generation, flags := range []string{"", "nonblock", "cloexec", "nonblock,cloexec", ""} {
				o := Owner{0, generation + 1}
				a := adopt(t, port, grip, &Direct{Front: f, Owner: o, Port: port}, fmt.Sprintf("particular %d flags:%s", port, flags))
				want := fmt.Sprintf("nonblock %v cloexec %v", strings.Contains(flags, "nonblock"), strings.Contains(flags, "cloexec"))
				if got := a.line(); got != want {
					t.Errorf("generation %d: %s, want %s", o.Generation, got, want)
				}
				a.kill()
				f.Ended(o)
			}
			if held := len(f.held); held != 1 {
				t.Errorf("%d sockets are held for one listener", held)
			}
		})
	}
}

// serveEpolls registers its socket with several epoll instances, in several ways,
// before it binds it. It says who hears of connections.
func serveEpolls(port string) error {
	n, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return err
	}
	twin, err := unix.Dup(fd) // registered too, and never moved
	if err != nil {
		return err
	}
	ways := []uint32{unix.EPOLLIN, unix.EPOLLIN | unix.EPOLLET&0xffffffff, unix.EPOLLIN | unix.EPOLLONESHOT, unix.EPOLLIN | unix.EPOLLEXCLUSIVE, unix.EPOLLOUT}
	var polls []int
	for i, events := range ways {
		ep, err := unix.EpollCreate1(0)
		if err != nil {
			return err
		}
		if err := unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events, Fd: int32(i), Pad: -1}); err != nil {
			return err
		}
		polls = append(polls, ep)
	}
	unix.Close(twin)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: n}); err != nil {
		return err
	}
	if err := unix.Listen(fd, 5); err != nil {
		return err
	}
	fmt.Println("listening")
	for range 2 {
		if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1); err != nil {
			return err
		}
		var heard []string
		for i, ep := range polls {
			for range 2 { // the second time, only what is level-triggered
				events := make([]unix.EpollEvent, 2)
				n, err := unix.EpollWait(ep, events, 0)
				if err != nil {
					return err
				}
				for _, e := range events[:n] {
					if int(e.Fd) != i || e.Pad != -1 {
						return fmt.Errorf("the data of %d is %d, %d", i, e.Fd, e.Pad)
					}
					heard = append(heard, strconv.Itoa(i))
				}
			}
		}
		conn, _, err := unix.Accept(fd)
		if err != nil {
			return err
		}
		unix.Close(conn)
		fmt.Println("heard", strings.Join(heard, ""))
	}
	_, err = unix.Poll(nil, -1)
	return err
}

// Registrations with epoll are as they were made when the socket behind them is
// another one.
func TestRegistrations(t *testing.T) {
	closesAll(t)
	port := freePort(t)
	f := NewFront(FrontOptions{Port: port})
	t.Cleanup(f.Close)
	for generation := 1; generation <= 3; generation++ {
		o := Owner{0, generation}
		a := adopt(t, port, Share, &Direct{Front: f, Owner: o, Port: port}, fmt.Sprint("epolls ", port))
		if got := a.line(); got != "listening" {
			t.Fatal(got)
		}
		f.Admit(o)
		// One that is edge-triggered hears of each connection once, one that asked
		// for one shot of the first alone.
		for _, want := range []string{"heard 001233", "heard 00133"} {
			conn := dial(t, "127.0.0.1", port)
			got := a.line()
			conn.Close()
			if got != want {
				t.Errorf("generation %d %s, want %s", generation, got, want)
			}
		}
		a.kill()
		f.Ended(o)
	}
}

// A socket that cannot be replaced is let be, with the reason, and its process goes
// on as if nobody had tried.
func TestReplaceRefuses(t *testing.T) {
	closesAll(t)
	for name, b := range map[string]func(port int, f *Front) Berth{
		"direct": func(port int, f *Front) Berth { return &Direct{Front: f, Owner: Owner{0, 1}, Port: port} },
		"moved":  func(int, *Front) Berth { return &Moved{Private: freePort(t)} },
	} {
		t.Run(name, func(t *testing.T) {
			port := freePort(t)
			f := NewFront(FrontOptions{Port: port})
			t.Cleanup(f.Close)
			a := adopt(t, port, Replace, b(port, f), fmt.Sprint("epoll ", port))
			if reason := await(t, a.refused); !strings.Contains(reason, "epoll") || !strings.Contains(reason, "pidfd_getfd") {
				t.Errorf("refused: %s", reason)
			}
			if got := a.line(); got != "listening" {
				t.Fatal(got)
			}
			if pid := read(t, dial(t, "127.0.0.1", port)); pid != strconv.Itoa(a.cmd.Process.Pid) {
				t.Errorf("pid %s answers", pid)
			}
		})
	}
}

// What has been bound and closed again is in nobody's way.
func TestReplaceForgets(t *testing.T) {
	for name, b := range map[string]func(port, private int, f *Front) Berth{
		"direct": func(port, _ int, f *Front) Berth { return &Direct{Front: f, Owner: Owner{0, 1}, Port: port} },
		"moved":  func(_, private int, _ *Front) Berth { return &Moved{Private: private} },
	} {
		t.Run(name, func(t *testing.T) {
			closesAll(t)
			port, private := freePort(t), freePort(t)
			f := NewFront(FrontOptions{Port: port})
			t.Cleanup(f.Close)
			a := adopt(t, port, Replace, b(port, private, f), fmt.Sprint("probes ", port))
			for range 3 {
				if got := a.line(); got != "probed" {
					t.Fatal(got)
				}
			}
			if got := a.line(); got != "listening" {
				t.Fatal(got)
			}
			at := await(t, a.listening)
			for len(a.listening) > 0 {
				at = await(t, a.listening)
			}
			if pid := read(t, dial(t, "127.0.0.1", int(at.Addr.Port()))); pid != strconv.Itoa(a.cmd.Process.Pid) {
				t.Errorf("pid %s answers", pid)
			}
		})
	}
}

// A listener that is shut down and listens again, sooner than anybody looks, is the
// same one as before.
func TestListensAgain(t *testing.T) {
	for name, grip := range grips {
		t.Run(name, func(t *testing.T) {
			closesAll(t)
			port := freePort(t)
			f := NewFront(FrontOptions{Port: port})
			t.Cleanup(f.Close)
			first := direct(t, grip, f, Owner{0, 1}, port, "again")
			other := direct(t, grip, f, Owner{1, 1}, port, "v4")
			for slot, a := range []*adopted{first, other} {
				await(t, a.listening)
				f.Admit(Owner{slot, 1})
			}
			for range 3 {
				if err := first.cmd.Process.Signal(unix.SIGUSR2); err != nil {
					t.Fatal(err)
				}
				await(t, first.listening)
			}
			if held := len(f.Sockets(Owner{0, 1})); held != 1 {
				t.Errorf("%d sockets are held for one listener", held)
			}
			for slot, a := range []*adopted{first, other} {
				for range 10 {
					conn, err := f.Dial(t.Context(), Owner{Slot: slot, Generation: 1})
					if err != nil {
						t.Fatal(err)
					}
					if pid := read(t, conn); pid != strconv.Itoa(a.cmd.Process.Pid) {
						t.Errorf("pid %s answers for slot %d, want %d", pid, slot, a.cmd.Process.Pid)
					}
					conn.Close()
				}
			}
		})
	}
}

// serveAgain serves, and at each SIGUSR2 shuts its listener down and lets it listen
// again.
func serveAgain(port string) error {
	n, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	again := make(chan os.Signal, 1)
	signal.Notify(again, unix.SIGUSR2)
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Port: n}), unix.Listen(fd, 5)); err != nil {
		return err
	}
	go func() {
		for range again {
			if err := errors.Join(unix.Shutdown(fd, unix.SHUT_RD), unix.Listen(fd, 5)); err != nil {
				fmt.Println(err)
			}
		}
	}()
	for {
		conn, _, err := unix.Accept(fd)
		if err == unix.EINVAL { // it has been shut down
			continue
		}
		if err != nil {
			return err
		}
		_, _ = unix.Write(conn, []byte(strconv.Itoa(os.Getpid())+"\n"))
		unix.Close(conn)
	}
}

// probeFirst binds its port thrice without listening, as some do who look for a
// free one, and once with, before it serves.
func probeFirst(port string, serve func(network, address string) error) error {
	n, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	for range 2 {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		if err != nil {
			return err
		}
		if err := unix.Bind(fd, &unix.SockaddrInet4{Port: n}); err != nil {
			return err
		}
		unix.Close(fd)
		fmt.Println("probed")
	}
	l, err := net.Listen("tcp4", "0.0.0.0:"+port)
	if err != nil {
		return err
	}
	l.Close()
	fmt.Println("probed")
	return serve("tcp4", "0.0.0.0:"+port)
}

// Only options that were set on the sockets of late are remembered.
func TestSettingsAreBounded(t *testing.T) {
	port := freePort(t)
	f := NewFront(FrontOptions{Port: port})
	t.Cleanup(f.Close)
	a := adopt(t, port, Replace, &Direct{Front: f, Owner: Owner{0, 1}, Port: port}, fmt.Sprint("manyoptions ", port))
	if got := a.line(); got != "kept true" {
		t.Errorf("%s, want what was set last", got)
	}
}

// setMany sets an option on more sockets than anyone remembers, and tells what
// the last one, which it binds, has.
func setMany(port string) error {
	n, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	last := -1
	for range 3 * mostSettings {
		if last, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(last, unix.IPPROTO_IP, unix.IP_FREEBIND, 1); err != nil {
			return err
		}
	}
	if err := unix.Bind(last, &unix.SockaddrInet4{Port: n}); err != nil {
		return err
	}
	set, err := unix.GetsockoptInt(last, unix.IPPROTO_IP, unix.IP_FREEBIND)
	fmt.Println("kept", set == 1)
	return err
}
