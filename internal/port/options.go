package port

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"

	"clusterd/internal/port/seccomp"
)

// carried are the options that a process may have set on a socket before it
// listens, and that the socket put into its place is to have too. Those that many
// servers set on every connection that they accept are marked.
var carried = []struct {
	seccomp.Option
	perConnection bool
}{
	{seccomp.Option{Level: unix.SOL_SOCKET, Name: unix.SO_BINDTODEVICE}, false},
	{seccomp.Option{Level: unix.SOL_SOCKET, Name: unix.SO_BUSY_POLL}, false},
	{seccomp.Option{Level: unix.SOL_SOCKET, Name: unix.SO_KEEPALIVE}, true},
	{seccomp.Option{Level: unix.SOL_SOCKET, Name: unix.SO_LINGER}, true},
	{seccomp.Option{Level: unix.SOL_SOCKET, Name: unix.SO_MARK}, false},
	{seccomp.Option{Level: unix.SOL_SOCKET, Name: unix.SO_OOBINLINE}, false},
	{seccomp.Option{Level: unix.SOL_SOCKET, Name: unix.SO_RCVBUF}, false},
	{seccomp.Option{Level: unix.SOL_SOCKET, Name: unix.SO_RCVLOWAT}, true},
	{seccomp.Option{Level: unix.SOL_SOCKET, Name: unix.SO_RCVTIMEO}, true},
	{seccomp.Option{Level: unix.SOL_SOCKET, Name: unix.SO_SNDBUF}, false},
	{seccomp.Option{Level: unix.SOL_SOCKET, Name: unix.SO_SNDTIMEO}, true},
	{seccomp.Option{Level: unix.IPPROTO_IP, Name: unix.IP_FREEBIND}, false},
	{seccomp.Option{Level: unix.IPPROTO_IP, Name: unix.IP_MTU_DISCOVER}, false},
	{seccomp.Option{Level: unix.IPPROTO_IP, Name: unix.IP_TOS}, false},
	{seccomp.Option{Level: unix.SOL_SOCKET, Name: unix.SO_PRIORITY}, false}, // behind IP_TOS, which sets it
	{seccomp.Option{Level: unix.IPPROTO_IP, Name: unix.IP_TRANSPARENT}, false},
	{seccomp.Option{Level: unix.IPPROTO_IP, Name: unix.IP_TTL}, false},
	{seccomp.Option{Level: unix.IPPROTO_IPV6, Name: unix.IPV6_TCLASS}, false},
	{seccomp.Option{Level: unix.IPPROTO_IPV6, Name: unix.IPV6_UNICAST_HOPS}, false},
	{seccomp.Option{Level: unix.IPPROTO_IPV6, Name: unix.IPV6_V6ONLY}, false},
	{seccomp.Option{Level: unix.IPPROTO_TCP, Name: unix.TCP_CONGESTION}, false},
	{seccomp.Option{Level: unix.IPPROTO_TCP, Name: unix.TCP_DEFER_ACCEPT}, false},
	{seccomp.Option{Level: unix.IPPROTO_TCP, Name: unix.TCP_FASTOPEN}, false},
	{seccomp.Option{Level: unix.IPPROTO_TCP, Name: unix.TCP_KEEPCNT}, true},
	{seccomp.Option{Level: unix.IPPROTO_TCP, Name: unix.TCP_KEEPIDLE}, true},
	{seccomp.Option{Level: unix.IPPROTO_TCP, Name: unix.TCP_KEEPINTVL}, true},
	{seccomp.Option{Level: unix.IPPROTO_TCP, Name: unix.TCP_NODELAY}, true},
	{seccomp.Option{Level: unix.IPPROTO_TCP, Name: unix.TCP_NOTSENT_LOWAT}, true},
	{seccomp.Option{Level: unix.IPPROTO_TCP, Name: unix.TCP_USER_TIMEOUT}, true},
}

// noted are the options that Replace sees set, since it cannot ask for them: those
// that share sets too, or that cannot be told from what getsockopt(2) says, and what
// is carried but for what would have every connection of the instance wait for
// clusterd.
func (g Grip) noted() []seccomp.Option {
	if g == Share {
		return nil
	}
	out := []seccomp.Option{
		{Level: unix.SOL_SOCKET, Name: unix.SO_REUSEADDR},
		{Level: unix.SOL_SOCKET, Name: unix.SO_REUSEPORT},
		{Level: unix.SOL_SOCKET, Name: unix.SO_RCVBUFFORCE},
		{Level: unix.SOL_SOCKET, Name: unix.SO_SNDBUFFORCE},
		{Level: unix.IPPROTO_TCP, Name: unix.TCP_MAXSEG}, // on a socket without it, that of a default
	}
	for _, o := range carried {
		if !o.perConnection {
			out = append(out, o.Option)
		}
	}
	return out
}

// copyOptions makes the options of another socket those of s, as far as they
// differ and may be set; and its file status flags, O_NONBLOCK above all.
func (s *socket) copyOptions(to int) error {
	for _, o := range carried {
		want, err := optionOf(s.fd, o.Option)
		if err != nil {
			continue // not of this family, or not in this kernel
		}
		if have, err := optionOf(to, o.Option); err != nil || bytes.Equal(have, want) {
			continue
		}
		// Without the privilege for it, the app could not have set it.
		if o.Level == unix.SOL_SOCKET && (o.Name == unix.SO_RCVBUF || o.Name == unix.SO_SNDBUF) {
			if n, err := unix.GetsockoptInt(s.fd, o.Level, o.Name); err == nil {
				_ = unix.SetsockoptInt(to, o.Level, o.Name, n/2) // the kernel doubles what is set (socket(7))
			}
			continue
		}
		_ = unix.SetsockoptString(to, o.Level, o.Name, string(want))
	}
	flags, err := unix.FcntlInt(uintptr(s.fd), unix.F_GETFL, 0)
	if err == nil {
		_, err = unix.FcntlInt(uintptr(to), unix.F_SETFL, flags)
	}
	return os.NewSyscallError("fcntl", err)
}

// longestOption is the size of the longest value of an option: a struct timeval, or
// a name.
const longestOption = 16

// optionOf is the value of an option as getsockopt(2) gives it.
func optionOf(fd int, o seccomp.Option) ([]byte, error) {
	value := make([]byte, longestOption)
	size := uint32(len(value))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(o.Level), uintptr(o.Name),
		uintptr(unsafe.Pointer(&value[0])), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return nil, os.NewSyscallError("getsockopt", errno)
	}
	return value[:size], nil
}

// settings are the options that were set on the socket of an inode, the latest last.
type settings struct {
	Inode   uint64
	Options []setting
}

type setting struct {
	seccomp.Option
	Value []byte
}

// mostSettings is how many sockets may wait to be bound: others set these options
// on sockets that they never bind.
const mostSettings = 64

// option takes note of one that is about to be set.
func (r *replacing) option(c *caller) error {
	inode, ok := c.inode()
	if !ok {
		return nil
	}
	value, err := c.Memory(c.Args[3], int(min(uint32(c.Args[4]), longestOption)))
	if errors.Is(err, unix.EIO) { // a bad address: the kernel will say so
		return nil
	}
	if err != nil || !c.Valid() {
		return err
	}
	o := setting{seccomp.Option{Level: int(int32(c.Args[1])), Name: int(int32(c.Args[2]))}, value}
	i := slices.IndexFunc(r.set, func(s settings) bool { return s.Inode == inode })
	if i < 0 {
		if len(r.set) == mostSettings {
			r.set = r.set[1:]
		}
		r.set = append(r.set, settings{inode, []setting{o}})
		return nil
	}
	same := func(before setting) bool { return before.Option == o.Option }
	r.set[i].Options = append(slices.DeleteFunc(r.set[i].Options, same), o)
	return nil
}

// apply sets on fd what was set on the socket of an inode.
func (r *replacing) apply(fd int, inode uint64) {
	for _, s := range r.set {
		if s.Inode == inode {
			for _, o := range s.Options {
				_ = unix.SetsockoptString(fd, o.Level, o.Name, string(o.Value)) // what fails here has failed there
			}
		}
	}
}
