package seccomp

import (
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// Offsets in struct seccomp_data. Both architectures are little-endian: an
// argument's low half comes first.
const (
	dataNr   = 0
	dataArch = 4
	dataArgs = 16
)

// Lengths of addresses that bind(2) is given.
const (
	sockaddrInet = 16  // struct sockaddr_in, the shortest one of interest
	sockaddrUnix = 110 // struct sockaddr_un, which most programs pass whole
)

// An Option is a socket option by the level and name of setsockopt(2).
type Option struct{ Level, Name int }

// Filter is a program for seccomp(2) that reports listen(2), and bind(2) but for addresses that by their length
// are none of the internet's, and setsockopt(2) of some options; it lets all other
// calls pass.
//
// Architecture and number come first and alone: so the kernel knows of every
// other number that it always passes, and does not run the program for it
// (since Linux 5.11). Calls by another ABI of the machine (i386, x32) have
// other numbers, and pass.
func Filter(options ...Option) []syscall.SockFilter {
	bind := slices.Concat(
		load(dataArgs+2*8), // addrlen
		[]syscall.SockFilter{{Code: unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K, K: sockaddrInet, Jt: 1}},
		pass,
		when(sockaddrUnix, pass),
		report,
	)
	var setsockopt []syscall.SockFilter
	for _, o := range options {
		setsockopt = slices.Concat(setsockopt,
			load(dataArgs+1*8),
			when(uint32(o.Level), load(dataArgs+2*8), when(uint32(o.Name), report)),
		)
	}
	return slices.Concat(
		load(dataArch),
		[]syscall.SockFilter{{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: nativeArch, Jt: 1}},
		pass,
		load(dataNr),
		when(unix.SYS_LISTEN, report),
		when(unix.SYS_BIND, bind),
		when(unix.SYS_SETSOCKOPT, setsockopt, pass),
		pass,
	)
}

var (
	pass   = []syscall.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW}}
	report = []syscall.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF}}
)

func load(offset uint32) []syscall.SockFilter {
	return []syscall.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}}
}

// when does the steps if what was loaded is k, and goes on behind them otherwise.
func when(k uint32, steps ...[]syscall.SockFilter) []syscall.SockFilter {
	then := slices.Concat(steps...)
	return append([]syscall.SockFilter{{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: k, Jf: uint8(len(then))}}, then...)
}
