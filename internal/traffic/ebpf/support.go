package ebpf

import (
	"errors"
	"fmt"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"
	"golang.org/x/sys/unix"
)

// Supported tells whether this process may count by eBPF; if not, the error
// says in one sentence what is missing. The kernel is asked once.
var Supported = sync.OnceValue(probe)

func probe() error {
	allowed, err := capable(unix.CAP_BPF, unix.CAP_SYS_ADMIN)
	if err != nil {
		return err
	}
	if !allowed {
		return errors.New("counting by eBPF needs the capability CAP_BPF")
	}
	switch err := features.HaveProgramHelper(ebpf.SocketFilter, asm.FnLoop); {
	case errors.Is(err, ebpf.ErrNotSupported):
		return errors.New("counting by eBPF needs Linux 5.17 or later (bpf_loop)")
	case errors.Is(err, unix.EPERM):
		return errors.New("counting by eBPF needs the system call bpf, which a seccomp filter or security module refuses")
	case errors.Is(err, unix.ENOSYS):
		return errors.New("counting by eBPF needs the system call bpf, which this kernel lacks")
	case err != nil:
		return fmt.Errorf("probe the kernel for eBPF: %w", err)
	}
	counter, err := New(1)
	if err != nil {
		return err
	}
	return counter.Close()
}

// capable tells whether this thread has one of the capabilities in effect.
func capable(any ...int) (bool, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return false, fmt.Errorf("read the capabilities of this process: %w", err)
	}
	for _, c := range any {
		if sets[c/32].Effective&(1<<(c%32)) != 0 {
			return true, nil
		}
	}
	return false, nil
}
