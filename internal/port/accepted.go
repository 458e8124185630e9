package port

import (
	"errors"
	"io/fs"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"clusterd/internal/sockdiag"
)

// Accepted is how many open TCP connections on a local port a group of processes
// has. Known is false where one of them may not be looked into.
type Accepted struct {
	Open  uint64
	Known bool
}

// AcceptedBy lists the port's connections (about 2 ms at 1,000 of them) and, where there
// are any, the descriptors of all processes, and says how many each group has. members
// are the processes of group i of n; it is not called for nothing. What is shared by
// processes of a group counts once; what waits in an accept queue is nobody's yet.
func AcceptedBy(port, n int, members func(i int) []int) ([]Accepted, error) {
	open := map[uint32]bool{}
	q := sockdiag.Query{States: sockdiag.Established | sockdiag.CloseWait, Port: port}
	err := sockdiag.Dump(q, func(m sockdiag.Message) {
		if inode := m.Inode(); inode != 0 {
			open[inode] = true
		}
	})
	if err != nil {
		return nil, err
	}
	out := make([]Accepted, n)
	for i := range out {
		out[i].Known = true
		if len(open) > 0 {
			out[i] = acceptedOf(members(i), open)
		}
	}
	return out, nil
}

func acceptedOf(pids []int, open map[uint32]bool) Accepted {
	a := Accepted{Known: true}
	counted := map[uint32]bool{}
	for _, pid := range pids {
		inodes, err := sockdiag.InodesOf(pid)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ESRCH) {
			return Accepted{}
		}
		for _, inode := range inodes {
			if open[inode] && !counted[inode] {
				counted[inode] = true
				a.Open++
			}
		}
	}
	return a
}

// droppedBy is how many connections were turned away since the queue of a listening
// socket was full: the last of its figures of SO_MEMINFO (Linux 4.12).
func droppedBy(fd int) (uint64, error) {
	var figures [unix.SK_MEMINFO_VARS]uint32
	length := uint32(unsafe.Sizeof(figures))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&figures)), uintptr(unsafe.Pointer(&length)), 0)
	if errno != 0 {
		return 0, os.NewSyscallError("getsockopt SO_MEMINFO", errno)
	}
	return uint64(figures[unix.SK_MEMINFO_DROPS]), nil
}
