package port

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// Private hands out ports for instances that listen privately behind the
// relay. It takes them from below the range in which the kernel picks source
// ports for outgoing connections, so that no connection of the machine can be in
// the way of an instance's bind. Not safe for concurrent use.
type Private struct {
	lowest, count int
	taken         map[int]bool
}

// The ports tried when the kernel's own range leaves enough room below it.
const (
	privateLowest = 20000
	privateCount  = 10000
)

// NewPrivate returns a source of private ports that never hands out one of the
// public ports.
func NewPrivate(public []int) *Private {
	p := &Private{lowest: privateLowest, count: privateCount, taken: map[int]bool{}}
	if first, _, ok := ephemeral(); ok && first < privateLowest+privateCount {
		// The kernel's range begins low here: the top of all ports is as good.
		p.lowest = 1<<16 - privateCount
	}
	for _, port := range public {
		p.taken[port] = true
	}
	return p
}

// Take returns a port that nobody has bound at this moment on any address. It
// stays taken, for this source, until Put. An error of the system ends the
// search: it says nothing about ports.
func (p *Private) Take() (int, error) {
	start := rand.IntN(p.count)
	for i := range p.count {
		port := p.lowest + (start+i)%p.count
		if p.taken[port] {
			continue
		}
		switch err := free(port); {
		case err == nil:
			p.taken[port] = true
			return port, nil
		case !errors.Is(err, unix.EADDRINUSE):
			return 0, fmt.Errorf("find a private port: %w", err)
		}
	}
	return 0, errors.New("no free private port between " +
		fmt.Sprintf("%d and %d", p.lowest, p.lowest+p.count-1))
}

// Put gives a port back.
func (p *Private) Put(port int) { delete(p.taken, port) }

// PrivateState is what is handed over of a Private.
type PrivateState struct{ Taken []int }

// HandOver returns what is taken. Nothing is open.
func (p *Private) HandOver() PrivateState {
	return PrivateState{slices.Sorted(maps.Keys(p.taken))}
}

// TakePrivate is NewPrivate, with what was taken before.
func TakePrivate(public []int, st PrivateState) *Private {
	p := NewPrivate(public)
	for _, port := range st.Taken {
		p.taken[port] = true
	}
	return p
}

// free tells why port cannot be bound on every address without any reuse; nil
// when it can.
func free(port int) error {
	host := netip.IPv4Unspecified()
	if haveIPv6() {
		host = netip.IPv6Unspecified()
	}
	family, sa := sockaddr(netip.AddrPortFrom(host, uint16(port)))
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	if family == unix.AF_INET6 {
		// The system's default (net.ipv6.bindv6only) may leave IPv4 out.
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0); err != nil {
			return os.NewSyscallError("setsockopt IPV6_V6ONLY", err)
		}
	}
	return os.NewSyscallError("bind", unix.Bind(fd, sa))
}

// ephemeral is the sysctl net.ipv4.ip_local_port_range, see ip(7).
func ephemeral() (first, last int, ok bool) {
	b, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return 0, 0, false
	}
	_, err = fmt.Sscan(string(b), &first, &last)
	return first, last, err == nil
}
