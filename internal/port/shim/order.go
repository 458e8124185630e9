package shim

import (
	"errors"
	"strconv"
	"syscall"
)

// name is what a shim is called as (argv[0]).
const name = "clusterd-shim"

// Path is the program to execute as a shim: this one, even when its file has been
// replaced meanwhile.
const Path = "/proc/self/exe"

// FirstFD is the first descriptor that systemd's protocol passes on.
const FirstFD = 3

// An Order is what a shim is to do. Its descriptors from FirstFD on must be what
// Inherited names, and after them its end of a socket for messages (SOCK_SEQPACKET).
type Order struct {
	// Filter is a program for seccomp(2) that is put on the process and all below
	// it. The listener of its notifications is sent to the parent.
	Filter []syscall.SockFilter
	// Inherited are the names of the sockets that the command is given, by
	// systemd's protocol (sd_listen_fds(3)).
	Inherited []string
	// Path is the program to become; "": listen on a port of the kernel's choice,
	// and end.
	Path string
	Argv []string

	parent string // the pid of who gave the order
}

// Args is the command line that gives the order to a child of this process.
func (o Order) Args() []string {
	var filter, names []byte
	for _, ins := range o.Filter {
		v := uint64(ins.Code)<<48 | uint64(ins.Jt)<<40 | uint64(ins.Jf)<<32 | uint64(ins.K)
		filter = append(strconv.AppendUint(filter, v, 16), ' ')
	}
	for i, n := range o.Inherited {
		if i > 0 {
			names = append(names, ':')
		}
		names = append(names, n...)
	}
	return append([]string{
		name,
		strconv.Itoa(syscall.Getpid()),
		string(filter),
		strconv.Itoa(len(o.Inherited)),
		string(names),
		o.Path,
	}, o.Argv...)
}

// fixedArgs come before the command line of the program to become.
const fixedArgs = 6

// parse reads a command line of Args, but for the names, which it leaves as they
// are joined.
func parse(args []string) (o Order, inherited int, names string, err error) {
	if len(args) < fixedArgs {
		return o, 0, "", errors.New("incomplete order")
	}
	o.parent = args[1]
	for rest := args[2]; rest != ""; {
		end := 0
		for end < len(rest) && rest[end] != ' ' {
			end++
		}
		v, err := strconv.ParseUint(rest[:end], 16, 64)
		if err != nil {
			return o, 0, "", err
		}
		o.Filter = append(o.Filter, syscall.SockFilter{Code: uint16(v >> 48), Jt: uint8(v >> 40), Jf: uint8(v >> 32), K: uint32(v)})
		rest = rest[min(end+1, len(rest)):]
	}
	inherited, err = strconv.Atoi(args[3])
	o.Path, o.Argv = args[5], args[fixedArgs:]
	return o, inherited, args[4], err
}
