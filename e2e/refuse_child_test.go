package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A refusal is a system call that fails for a process and all below it, as it
// does in containers and on kernels that do not know it.
type refusal struct {
	number uint32
	third  [2]uint32 // only with this argument, from the first to the second; 0: with any
	errno  unix.Errno
}

var refusals = map[string]refusal{
	"seccomp":           {number: unix.SYS_SECCOMP, errno: unix.EPERM},
	"unknown seccomp":   {number: unix.SYS_SECCOMP, errno: unix.ENOSYS},
	"pidfd_getfd":       {number: unix.SYS_PIDFD_GETFD, errno: unix.EPERM},
	"bpf":               {number: unix.SYS_BPF, errno: unix.EPERM},
	"steering programs": {number: unix.SYS_SETSOCKOPT, third: [2]uint32{unix.SO_ATTACH_REUSEPORT_CBPF, unix.SO_ATTACH_REUSEPORT_EBPF}, errno: unix.ENOPROTOOPT},
}

// refusing makes all of the workspace's commands run where a system call is
// refused.
func (w *workspace) refusing(what string) {
	w.wrap = append(w.wrap, "/usr/bin/env", childVariable+"=refuse", childBinary, what)
}

// refuse executes the command in its arguments behind the refusal that they name.
func refuse() error {
	runtime.LockOSThread() // the filter is the thread's, and so is the exec
	r := refusals[os.Args[1]]
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the number
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: r.number, Jf: 4},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 16 + 2*8}, // the third argument
		{Code: unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K, K: r.third[0], Jf: 2},
		{Code: unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K, K: r.third[1], Jt: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(r.errno)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	if r.third[0] == 0 {
		program[3] = unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JA, K: 1}
	}
	if os.Getuid() != 0 {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return err
		}
	}
	fprog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&fprog)), 0, 0); err != nil {
		return fmt.Errorf("install the filter: %w", err)
	}
	if err := os.Unsetenv(childVariable); err != nil {
		return err
	}
	path, err := exec.LookPath(os.Args[2])
	if err != nil {
		return err
	}
	return syscall.Exec(path, os.Args[2:], os.Environ())
}
