package ebpf

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"
)

// pass is a filter's answer that lets a packet through whole: a socket filter
// says how many bytes of it to keep (net/core/filter.c, sk_filter_trim_cap).
const pass = -1

// firstCB is the offset of cb[0] in struct __sk_buff (linux/bpf.h).
const firstCB = 48

// Attach makes the connections accepted from the listening socket fd count for
// slot from now on; those accepted earlier are not counted. A slot may have
// several sockets. A filter of clusterd's own on the socket is replaced, that
// of an earlier Counter included. One that the app has set by SO_ATTACH_FILTER
// stays, and is an error; programs that steer (SO_ATTACH_REUSEPORT_*) are apart
// and not touched. fd is only used during the call.
func (c *Counter) Attach(slot, fd int) error {
	if err := c.check(slot); err != nil {
		return err
	}
	if err := attach(c.jump, slot, fd); err != nil {
		return fmt.Errorf("count requests of slot %d on socket %d: %w", slot, fd, err)
	}
	return nil
}

// Detach undoes Attach; connections that were accepted in between go on to be
// counted. A socket that has no eBPF filter is left alone.
func (c *Counter) Detach(fd int) error {
	held, err := filterOf(fd)
	if err == nil && held == ours {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_BPF, 0)
	}
	if err != nil {
		return fmt.Errorf("stop to count requests on socket %d: %w", fd, err)
	}
	return nil
}

func attach(jump *ebpf.Map, slot, fd int) error {
	held, err := filterOf(fd)
	if err != nil {
		return err
	}
	if held == foreign {
		return errors.New("it has a filter of its own (SO_ATTACH_FILTER)")
	}
	entry, err := newEntry(jump, slot)
	if err != nil {
		return err
	}
	defer entry.Close() // the socket keeps it
	err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ATTACH_BPF, entry.FD())
	if errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("a socket of MPTCP takes no filter: %w", err)
	}
	return err
}

// newEntry loads the filter of a slot. It only says which slot it is, and goes
// on to the program that all slots share; when that is gone, it passes.
func newEntry(jump *ebpf.Map, slot int) (*ebpf.Program, error) {
	entry, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name:    "slot",
		Type:    ebpf.SocketFilter,
		License: "Dual MIT/GPL",
		Instructions: asm.Instructions{
			asm.Mov.Imm(asm.R2, int32(slot)),
			asm.StoreMem(asm.R1, firstCB, asm.R2, asm.Word),
			asm.LoadMapPtr(asm.R2, jump.FD()),
			asm.Mov.Imm(asm.R3, 0),
			asm.FnTailCall.Call(),
			asm.Mov.Imm(asm.R0, pass),
			asm.Return(),
		},
	})
	if err != nil {
		return nil, fmt.Errorf("load its filter: %w", err)
	}
	return entry, nil
}

// owner is whose filter a socket has.
type owner int

const (
	nobody  owner = iota
	ours          // any eBPF program: whose it is cannot be asked
	foreign       // a classic BPF program
)

// filterOf asks for the length of the socket's classic filter, which is 0 if it
// has none, and refused if it is an eBPF program (net/core/filter.c, sk_get_filter).
func filterOf(fd int) (owner, error) {
	length, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_GET_FILTER)
	switch {
	case errors.Is(err, unix.EACCES):
		return ours, nil
	case err != nil:
		return nobody, err
	case length > 0:
		return foreign, nil
	}
	return nobody, nil
}
