package port

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// A mark is a number that a connection bears so that it reaches one exact slot,
// or one exact generation of it, whatever the others do. On IPv4 it is the lower
// half of the source address, 127.77.0.0/16; nobody outside the machine can have
// one. On IPv6 it is what hop limit and differentiated services field of a
// connection from ::1 make together.
//
// Slot k has mark k, for whoever serves it. Two generations of a slot have marks
// of their own while both are there.
const (
	markNet     = 127<<8 | 77
	markHops    = 200 // a hop limit from here on bears a mark
	hopMarks    = 55  // 255 is a common default
	markedSlots = 1024
	probeMarks  = 3 * markedSlots // from here on are those of probes
	allMarks    = hopMarks << 6
	nobodysMark = allMarks - 1 // only says that it is clusterd who asks
)

func slotMark(slot int) uint32 { return uint32(slot) }

// mark tells neighbouring generations apart: only those meet.
func (o Owner) mark() uint32 { return uint32(markedSlots*(1+o.Generation&1) + o.Slot) }

// probeMark is a mark that no probe at the address bears.
func (c *cohort) probeMark() (mark uint32, ok bool) {
	for mark = probeMarks; mark < nobodysMark; mark++ {
		if !slices.ContainsFunc(c.held, func(h *held) bool { return h.watch.probe != nil && h.watch.probe.mark == mark }) {
			return mark, true
		}
	}
	return 0, false
}

// ErrInexact says that one exact slot cannot be reached: its address is left to
// the kernel's hash, which makes its own choice.
var ErrInexact = errors.New("the kernel chooses the instance at this address")

// ErrNotListening says that a process does not listen, or not yet.
var ErrNotListening = errors.New("it does not listen")

// Dial connects to exactly that generation of a slot, drained, stuck or not, or
// with Generation 0 to whoever serves the slot. It waits in the slot's queue like
// any client. A held socket that is listening completes the connection even when
// no process is left to accept it. Errors are ErrNotListening, ErrInexact with the
// reason, and those of connecting.
func (f *Front) Dial(ctx context.Context, o Owner) (net.Conn, error) {
	at, mark, err := f.route(o)
	if err != nil {
		return nil, err
	}
	return f.ask(ctx, at, mark)
}

// Reach makes a connection that comes to o, as Dial does. At an address that is
// left to the kernel's hash it makes so many that one of them comes to o, but for
// one time in a million (with 32 sockets there or fewer). The caller closes them.
func (f *Front) Reach(ctx context.Context, o Owner) (conns []net.Conn, err error) {
	conn, err := f.Dial(ctx, o)
	if err == nil {
		return []net.Conn{conn}, nil
	}
	mark := uint32(nobodysMark)
	for _, at := range f.crowd(o) {
		if !errors.Is(err, ErrInexact) {
			break
		}
		if conn, err = f.ask(ctx, at, &mark); err == nil {
			conns = append(conns, conn)
			err = ErrInexact
		}
	}
	if len(conns) > 0 {
		err = nil
	}
	return conns, err
}

// crowd is where to connect, one time after the other, to come to o by chance.
func (f *Front) crowd(o Owner) (at []netip.AddrPort) {
	const perSocket, most = 16, 512
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.cohorts {
		if c.hashed() != "" && slices.ContainsFunc(c.held, func(h *held) bool { return h.owner == o }) {
			return slices.Repeat([]netip.AddrPort{c.addr.dial()}, min(perSocket*len(c.held), most))
		}
	}
	return nil
}

// DialAny connects to one of the slots that serve, as any client on this machine
// would: the steering chooses.
func (f *Front) DialAny(ctx context.Context) (net.Conn, error) {
	f.mu.Lock()
	at := f.anywhere()
	f.mu.Unlock()
	if !at.IsValid() {
		return nil, errors.New("connect to any slot: none accepts connections")
	}
	return dialMarked(ctx, at, nil)
}

// anywhere is where one of the slots serves; not valid: none does.
func (f *Front) anywhere() netip.AddrPort {
	if f.handed {
		return f.left
	}
	for _, h := range f.held {
		if h.standing == live && h.listening && !h.retiring && !h.watch.shunned {
			return h.cohort.addr.dial()
		}
	}
	return netip.AddrPort{}
}

// route is where a generation is reached, and by which mark.
func (f *Front) route(o Owner) (at netip.AddrPort, mark *uint32, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var best *held
	for _, h := range f.held {
		if h.owner.Slot == o.Slot && h.listening && !h.retiring && (o.Generation == 0 || o == h.owner) && (best == nil || h.before(best)) {
			best = h
		}
	}
	switch {
	case best == nil:
		return at, nil, ErrNotListening
	case best.cohort.hashed() != "" && len(best.cohort.held) == 1:
		mark := uint32(nobodysMark)
		return best.cohort.addr.dial(), &mark, nil
	case best.cohort.hashed() != "":
		return at, nil, fmt.Errorf("%w: %s", ErrInexact, best.cohort.hashed())
	}
	for _, a := range best.cohort.plan.exact {
		if a.to.owner == best.owner {
			return best.cohort.addr.dial(), &a.mark, nil
		}
	}
	return at, nil, ErrInexact // beyond the slots that have marks
}

// ask makes a connection that bears a mark, and makes it known that it is no client's.
func (f *Front) ask(ctx context.Context, at netip.AddrPort, mark *uint32) (net.Conn, error) {
	conn, err := dialMarked(ctx, at, mark)
	if err == nil && f.opts.Asking != nil {
		if own, ok := conn.LocalAddr().(*net.TCPAddr); ok {
			f.opts.Asking(own.AddrPort())
		}
	}
	return conn, err
}

func dialMarked(ctx context.Context, at netip.AddrPort, mark *uint32) (net.Conn, error) {
	var d net.Dialer
	d.SetMultipathTCP(false)
	if mark != nil {
		from, options := markedBy(at, *mark)
		d.LocalAddr = &net.TCPAddr{IP: from.AsSlice()}
		d.Control = control(options...)
	}
	return d.DialContext(ctx, "tcp", at.String())
}

// markedBy is the source address, and the options, by which a connection to at bears
// a mark.
func markedBy(at netip.AddrPort, mark uint32) (from netip.Addr, options []option) {
	options = []option{{unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1}}
	if at.Addr().Is4() {
		return netip.AddrFrom4([4]byte{markNet >> 8, markNet & 255, byte(mark >> 8), byte(mark)}), options
	}
	return netip.IPv6Loopback(), append(options,
		option{unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, int(markHops + mark%hopMarks)},
		option{unix.IPPROTO_IPV6, unix.IPV6_TCLASS, int(mark / hopMarks << 2)})
}

// marked tells whether the client of an accepted connection asked for one exact
// slot. An accepted IPv6 socket has the hop limit that its first packet came with
// as IPV6_MULTICAST_HOPS (tcp_v6_syn_recv_sock in the kernel).
func marked(conn *net.TCPConn) bool {
	client, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return false
	}
	if ip := client.IP.To4(); ip != nil {
		return int(ip[0])<<8|int(ip[1]) == markNet
	}
	raw, err := conn.SyscallConn()
	if err != nil || !client.IP.Equal(net.IPv6loopback) {
		return false
	}
	var hops int
	if ctlErr := raw.Control(func(fd uintptr) {
		hops, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS)
	}); ctlErr != nil || err != nil {
		return false
	}
	return hops >= markHops && hops < markHops+hopMarks
}

// An option is one of a socket, an integer.
type option struct{ level, name, value int }

func (o option) set(fd int) error {
	if err := unix.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
		return os.NewSyscallError("setsockopt "+strconv.Itoa(o.level)+" "+strconv.Itoa(o.name), err)
	}
	return nil
}

// control sets options before a dialler binds.
func control(options ...option) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) (err error) {
		ctlErr := c.Control(func(fd uintptr) {
			for _, o := range options {
				if err = o.set(int(fd)); err != nil {
					return
				}
			}
		})
		return errors.Join(ctlErr, err)
	}
}
