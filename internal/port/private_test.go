package port

import (
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// narrow is a source with few ports, so that chance hides nothing. The first of
// them is first.
func narrow(first, count int, public ...int) *Private {
	p := NewPrivate(public)
	p.lowest, p.count = first, count
	return p
}

// row is the first of n ports in a row that are all free.
func row(t *testing.T, n int) int {
	t.Helper()
	for range 1000 {
		if first := freePort(t); allFree(first, n) {
			return first
		}
	}
	t.Fatalf("no %d free ports in a row", n)
	return 0
}

func allFree(first, n int) bool {
	for port := first; port < first+n; port++ {
		if port > 65535 || free(port) != nil {
			return false
		}
	}
	return true
}

func TestPrivateHandsOutEachPortOnce(t *testing.T) {
	closesAll(t)
	first := row(t, 4)
	p := narrow(first, 4, first+2, 0)
	var got []int
	for range 3 {
		port, err := p.Take()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, port)
	}
	slices.Sort(got)
	if want := []int{first, first + 1, first + 3}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v: all but the public one", got, want)
	}
	_, err := p.Take()
	if err == nil || !strings.HasPrefix(err.Error(), "no free private port between "+strconv.Itoa(first)+" and ") {
		t.Errorf("when none is left: %v", err)
	}
	p.Put(first + 1)
	if port, err := p.Take(); err != nil || port != first+1 {
		t.Errorf("%d, %v after %d was put back", port, err, first+1)
	}
}

// A port that somebody uses, on whatever address, is not handed out.
func TestPrivateLeavesUsedPorts(t *testing.T) {
	closesAll(t)
	for _, host := range []string{"127.0.0.1", "127.0.0.2", "0.0.0.0", "::1", "::"} {
		if strings.Contains(host, ":") && !haveIPv6() {
			continue
		}
		first := row(t, 2)
		l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(first)))
		if err != nil {
			t.Fatal(err)
		}
		p := narrow(first, 2)
		for range 20 {
			port, err := p.Take()
			if err != nil {
				t.Fatal(err)
			}
			if port == first {
				t.Errorf("%d is handed out, though somebody listens at %s", port, l.Addr())
			}
			p.Put(port)
		}
		l.Close()
		p.Put(first)
		_, _ = p.Take()
		if _, err := p.Take(); err != nil {
			t.Errorf("after %s has closed: %v", l.Addr(), err)
		}
	}
}

// What keeps a port from being looked at is no lack of ports.
func TestPrivateNamesTheSystemsError(t *testing.T) {
	closesAll(t)
	p := NewPrivate(nil)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 0, Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	_, err := p.Take()
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if want := "find a private port: socket: too many open files"; err == nil || err.Error() != want {
		t.Errorf("without descriptors: %v, want %s", err, want)
	}
	if _, err := p.Take(); err != nil {
		t.Errorf("with descriptors again: %v", err)
	}
}

// Private ports are not those from which the kernel takes ports for
// connections.
func TestPrivateKeepsOutOfTheKernelsRange(t *testing.T) {
	low, high, ok := ephemeral()
	if !ok {
		t.Fatal("the kernel's range cannot be read")
	}
	p := NewPrivate(nil)
	if last := p.lowest + p.count - 1; last > 65535 || p.lowest < 1024 {
		t.Errorf("%d to %d are no ports for everybody", p.lowest, last)
	}
	if low >= privateLowest+privateCount && (p.lowest+p.count > low && p.lowest <= high) {
		t.Errorf("%d to %d overlaps the kernel's %d to %d", p.lowest, p.lowest+p.count-1, low, high)
	}
}
