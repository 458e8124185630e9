package port

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// loadAttr is the beginning of union bpf_attr for BPF_PROG_LOAD, see bpf(2).
type loadAttr struct {
	programType  uint32
	instructions uint32 // how many
	program      unsafe.Pointer
	license      unsafe.Pointer
	_            [80]byte
}

// tryBPF loads a program that does nothing, and says why that cannot be done.
func tryBPF() error {
	program := [...]uint64{
		1<<32 | 0xb7, // r0 = SK_PASS
		0x95,         // exit
	}
	license := []byte("GPL\x00")
	attr := loadAttr{
		programType:  unix.BPF_PROG_TYPE_SK_REUSEPORT,
		instructions: uint32(len(program)),
		program:      unsafe.Pointer(&program[0]),
		license:      unsafe.Pointer(&license[0]),
	}
	fd, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_LOAD, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	switch errno {
	case 0:
		return os.NewSyscallError("close", unix.Close(int(fd)))
	case unix.EPERM, unix.EACCES:
		return fmt.Errorf("programs in the kernel are refused (bpf: %w): that takes CAP_BPF (root, or setcap cap_bpf=+ep on clusterd), and in a container a profile that allows bpf(2)", errno)
	case unix.EINVAL, unix.ENOSYS:
		return fmt.Errorf("the kernel knows no programs that choose among sockets (bpf: %w): that takes Linux 4.19 with CONFIG_BPF_SYSCALL", errno)
	}
	return os.NewSyscallError("bpf", errno)
}
