package port

import (
	"net"
	"net/netip"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func listenAt(t *testing.T, network, address string) (netip.AddrPort, net.Listener) {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().(*net.TCPAddr).AddrPort(), l
}

func TestListeners(t *testing.T) {
	closesAll(t)
	needIPv6(t)
	for _, x := range []struct{ network, address, addr, dial string }{
		{"tcp4", "127.0.0.1:0", "127.0.0.1", "127.0.0.1"},
		{"tcp4", "0.0.0.0:0", "0.0.0.0", "127.0.0.1"},
		{"tcp6", "[::1]:0", "::1", "::1"},
		{"tcp6", "[::]:0", "::", "::1"},
		{"tcp", "[::]:0", "::", "127.0.0.1"},
	} {
		at, l := listenAt(t, x.network, x.address)
		found, err := Listeners(int(at.Port()))
		if err != nil {
			t.Fatal(err)
		}
		if len(found) != 1 {
			t.Errorf("%s %s: %d sockets listen, want 1: %v", x.network, x.address, len(found), found)
			continue
		}
		got := found[0]
		if got.Addr.Addr().String() != x.addr || got.Addr.Port() != at.Port() || int(got.UID) != os.Getuid() {
			t.Errorf("%s %s: %+v", x.network, x.address, got)
		}
		if v6only := x.network == "tcp6"; got.V6Only != v6only {
			t.Errorf("%s %s: V6Only is %v", x.network, x.address, got.V6Only)
		}
		dial := got.DialAddr()
		if dial.Addr().String() != x.dial {
			t.Errorf("%s %s: is dialled at %s, want %s", x.network, x.address, dial, x.dial)
		}
		conn, err := net.Dial("tcp", dial.String())
		if err != nil {
			t.Errorf("%s %s: %v", x.network, x.address, err)
			continue
		}
		conn.Close()

		all, err := Listeners(0)
		if err != nil {
			t.Fatal(err)
		}
		seen := false
		for _, a := range all {
			seen = seen || a == got
		}
		if !seen {
			t.Errorf("%s %s is not among all that listen", x.network, x.address)
		}
		l.Close()
	}
	if found, err := Listeners(freePort(t)); err != nil || len(found) != 0 {
		t.Errorf("a free port has the listeners %v, %v", found, err)
	}
}

// A port that is bound, or only connected, is not listened on.
func TestListenersListen(t *testing.T) {
	closesAll(t)
	fd, err := bind(netip.MustParseAddrPort("127.0.0.1:0"), false)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	if found, err := Listeners(name.(*unix.SockaddrInet4).Port); err != nil || len(found) != 0 {
		t.Errorf("a socket that is only bound listens: %v, %v", found, err)
	}
}

func TestHeldBy(t *testing.T) {
	closesAll(t)
	at, _ := listenAt(t, "tcp4", "127.0.0.1:0")
	found, err := Listeners(int(at.Port()))
	if err != nil || len(found) != 1 {
		t.Fatalf("%v, %v", found, err)
	}
	if held := HeldBy(found, []int{os.Getppid(), os.Getpid()}); len(held) != 1 || held[0] != found[0] {
		t.Errorf("the holder holds %v", held)
	}
	for _, pids := range [][]int{nil, {os.Getppid()}, {1 << 30}} {
		if held := HeldBy(found, pids); len(held) != 0 {
			t.Errorf("%v hold %v", pids, held)
		}
	}
	stranger := found[0]
	stranger.Inode++
	if held := HeldBy([]Listening{stranger}, []int{os.Getpid()}); len(held) != 0 {
		t.Errorf("this process holds %v", held)
	}
	if holders := Holders(int(at.Port())); len(holders) != 1 || holders[0].PID != os.Getpid() {
		t.Errorf("the holders are %v", holders)
	}
}
