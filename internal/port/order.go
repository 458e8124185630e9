package port

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Who listens without being asked joins the group in an order that nobody has seen.
// It can be learnt: a steering program sends a first packet to an index, the sockets
// that clusterd has a descriptor of drop it for its hop limit (IP_MINTTL, since Linux
// 2.6.34), and the one that counts a drop is there (SO_MEMINFO, since Linux 4.12). No
// application notices; only one whose socket clusterd has not, if others came after
// it, gets a connection that ends at once. (A filter would do, too, but that takes
// CAP_NET_ADMIN since Linux 6.18.)
const (
	learnTries = 3
	// A packet over the loopback interface arrives before connect(2) returns, unless
	// the machine is busy.
	arrivesWithin = 200 * time.Millisecond
	mostLearnt    = 64 // indices: the packet says which by its differentiated services field
	// Packets of others arrive with more than the least hop limit.
	knockHops = 1
)

// What is known of an index, besides the descriptor that is there.
const (
	stranger = -1 // none of clusterd's
	unasked  = -2
)

var errRestless = errors.New("sockets join and leave all the time")

// learn brings the members in the kernel's order. Between them are those that are
// not clusterd's: neither a slot's, nor its own.
func (c *cohort) learn() error {
	err := c.learnOrder()
	if err != nil {
		return fmt.Errorf("learn the order of the sockets at %s: %w", c.addr, err)
	}
	return nil
}

// ordered tells whether the program goes by the order of the members.
func (c *cohort) ordered() bool {
	_, classic := c.program.(*classic)
	return classic
}

func (c *cohort) learnOrder() error {
	if !c.ordered() {
		return nil
	}
	for range learnTries {
		before, err := listening(c.addr)
		if err != nil {
			return err
		}
		order, err := c.ask(slices.Repeat([]int{unasked}, len(before)))
		if err != nil {
			return err
		}
		again, err := c.ask(order)
		if err != nil {
			return err
		}
		after, err := listening(c.addr)
		if err != nil {
			return err
		}
		if slices.Equal(before, after) && slices.Equal(order, again) && c.reorder(order) {
			c.known = after
			return nil
		}
	}
	return errRestless
}

// reorder is false when a member is missing in the order.
func (c *cohort) reorder(order []int) bool {
	members := make([]*member, len(order))
	found := 0
	for i, fd := range order {
		members[i] = &member{fd: stranger}
		if at := slices.IndexFunc(c.members, func(m *member) bool { return m.fd == fd && fd >= 0 }); at >= 0 {
			members[i] = c.members[at]
			found++
		}
	}
	mine := 0
	for _, m := range c.members {
		if m.fd >= 0 {
			mine++
		}
	}
	if found != mine {
		return false
	}
	c.members, c.moved = members, true
	return true
}

// ask returns the descriptor of the member at each index, and stranger for one that
// has none of these. It leaves those out of which it is told that, and the last ones,
// when it has found all members before: who has come last may not be held yet.
func (c *cohort) ask(told []int) (order []int, err error) {
	order = slices.Repeat([]int{stranger}, len(told))
	door, ok := c.door()
	if !ok {
		return order, nil
	}
	if len(told) > mostLearnt {
		return nil, fmt.Errorf("there are more than %d", mostLearnt)
	}
	// What concerns others is chosen as it was, or by the kernel's hash, as it does
	// for an index that does not exist.
	const nobody = 1 << 16
	p := plan{spread: []share{{to: nil, weight: fullShare}}}
	index := map[*held]uint32{nil: nobody}
	if c.inForce {
		p = c.plan
		for i, m := range c.members {
			if m.slot != nil || m.fallback() {
				index[m.slot] = uint32(i)
			}
		}
	}
	program := classic{append(knockFilter(), steeringFilter(index, p)...)}
	if len(program.code) > longestFilter {
		return nil, fmt.Errorf("there are too many")
	}
	var fds []int
	for _, m := range c.members {
		if m.fd >= 0 {
			fds = append(fds, m.fd)
		}
	}
	for _, fd := range fds {
		restore, err := c.addr.picky(fd)
		if err != nil {
			return nil, err
		}
		defer restore()
	}
	if err := program.attach(door); err != nil {
		return nil, err
	}
	defer func() {
		back := c.attach
		if !c.inForce {
			back = c.detach
		}
		err = errors.Join(err, back())
	}()
	for i, found := 0, 0; i < len(told) && found < len(fds); i++ {
		if told[i] == stranger {
			continue
		}
		if order[i], err = c.knock(i, fds); err != nil {
			return nil, err
		}
		if order[i] != stranger {
			found++
		}
	}
	return order, nil
}

// knockFilter is the beginning of a program that sends packets of clusterd's to the
// index that they bear.
func knockFilter() []unix.SockFilter {
	var f filter
	f.op(loadWord, etherType)
	f.branch(ifEqual, unix.ETH_P_IP, "IPv4", "")
	f.op(loadByte, network+7) // the hop limit
	f.branch(ifEqual, knockHops, "", "others")
	f.op(loadWord, network)
	f.op(right, 22)
	f.op(and, mostLearnt-1)
	f.op(answerA, 0)
	f.label("IPv4")
	f.op(loadByte, network+8) // the time to live
	f.branch(ifEqual, knockHops, "", "others")
	f.op(loadByte, network+1)
	f.op(right, 2)
	f.op(answerA, 0)
	f.label("others")
	return f.code
}

// hops are the options of a socket at an address for the hop limit that it sends
// with, the field that bears an index, and the least hop limit that it takes.
func (a Addr) hops() (limit, field, least option) {
	if a.dial().Addr().Is4() {
		return option{unix.IPPROTO_IP, unix.IP_TTL, 0}, option{unix.IPPROTO_IP, unix.IP_TOS, 0}, option{unix.IPPROTO_IP, unix.IP_MINTTL, 0}
	}
	return option{unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, 0}, option{unix.IPPROTO_IPV6, unix.IPV6_TCLASS, 0}, option{unix.IPPROTO_IPV6, unix.IPV6_MINHOPCOUNT, 0}
}

// picky has a socket drop what clusterd knocks with, until restore is called.
func (a Addr) picky(fd int) (restore func(), err error) {
	_, _, least := a.hops()
	was, err := unix.GetsockoptInt(fd, least.level, least.name)
	if err != nil {
		return nil, os.NewSyscallError("getsockopt IP_MINTTL", err)
	}
	if was > knockHops {
		return func() {}, nil // its application is picky itself
	}
	least.value = knockHops + 1
	if err := least.set(fd); err != nil {
		return nil, err
	}
	least.value = was
	return func() { _ = least.set(fd) }, nil // it could be set
}

// knock sends a first packet to an index, and returns which of the sockets has dropped
// it, or stranger.
func (c *cohort) knock(index int, fds []int) (int, error) {
	before := make([]uint32, len(fds))
	for i, fd := range fds {
		var err error
		if before[i], err = drops(fd); err != nil {
			return -1, err
		}
	}
	client, err := c.addr.begin(index)
	if err != nil {
		return -1, err
	}
	defer unix.Close(client)
	for end := time.Now().Add(arrivesWithin); time.Now().Before(end); time.Sleep(100 * time.Microsecond) {
		for i, fd := range fds {
			if n, err := drops(fd); err != nil || n != before[i] {
				return fd, err
			}
		}
		polled := []unix.PollFd{{Fd: int32(client), Events: unix.POLLOUT}}
		if n, _ := unix.Poll(polled, 0); n > 0 && polled[0].Revents&unix.POLLERR == 0 {
			return stranger, nil
		}
	}
	return -1, errors.New("a packet over the loopback interface does not arrive")
}

// begin sends the first packet of a connection that bears an index. The caller closes
// the descriptor.
func (a Addr) begin(index int) (fd int, err error) {
	to := a.dial()
	family := unix.AF_INET6
	if to.Addr().Is4() {
		family = unix.AF_INET
	}
	fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_TCP)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	limit, field, _ := a.hops()
	limit.value, field.value = knockHops, index<<2
	for _, o := range []option{limit, field} {
		if err := o.set(fd); err != nil {
			return -1, err
		}
	}
	var sa unix.Sockaddr = &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16(), ZoneId: uint32(a.Device)}
	if to.Addr().Is4() {
		sa = &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}
	}
	if err := unix.Connect(fd, sa); err != nil && err != unix.EINPROGRESS {
		return -1, os.NewSyscallError("connect", err)
	}
	return fd, nil
}

// drops is how many packets to a socket have been dropped.
func drops(fd int) (uint32, error) {
	const words, dropped = 9, 8 // SK_MEMINFO_VARS, SK_MEMINFO_DROPS
	var info [words * 4]byte
	size := uint32(len(info))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return 0, os.NewSyscallError("getsockopt SO_MEMINFO", errno)
	}
	return binary.NativeEndian.Uint32(info[dropped*4:]), nil
}

// learn brings what is known of an address in line with the kernel's order.
func (f *Front) learn(c *cohort) {
	if c.why != "" {
		return
	}
	if err := c.learn(); err != nil {
		f.unsteer(c, err.Error())
	}
}

// relearnAll makes sure that the order is known where sockets join, and may have
// left, by themselves.
func (f *Front) relearnAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.cohorts {
		if !c.wild || c.why != "" {
			continue
		}
		if all, err := listening(c.addr); err == nil {
			f.relearn(c, all)
		}
	}
}

// relearn learns the order at an address anew when others listen there than at the
// last time.
func (f *Front) relearn(c *cohort, all []uint64) {
	if c.wild && !slices.Equal(all, c.known) {
		f.learn(c)
		f.steer(c)
	}
}
