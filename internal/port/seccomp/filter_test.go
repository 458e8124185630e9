package seccomp

import (
	"encoding/binary"
	"fmt"
	"syscall"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// decide is what the kernel would make of a call.
func decide(t *testing.T, program []syscall.SockFilter, arch, number uint32, args ...uint64) uint32 {
	t.Helper()
	var raw []bpf.RawInstruction
	for _, ins := range program {
		raw = append(raw, bpf.RawInstruction{Op: ins.Code, Jt: ins.Jt, Jf: ins.Jf, K: ins.K})
	}
	code, ok := bpf.Disassemble(raw)
	if !ok {
		t.Fatal("there is an instruction that nobody knows")
	}
	vm, err := bpf.NewVM(code)
	if err != nil {
		t.Fatal(err)
	}
	// struct seccomp_data, low halves first; within a word this interpreter takes
	// the order of the network for the machine's.
	data := binary.BigEndian.AppendUint32(nil, number)
	data = binary.BigEndian.AppendUint32(data, arch)
	data = append(data, make([]byte, 8)...) // the instruction pointer
	for i := range 6 {
		var arg uint64
		if i < len(args) {
			arg = args[i]
		}
		data = binary.BigEndian.AppendUint32(data, uint32(arg))
		data = binary.BigEndian.AppendUint32(data, uint32(arg>>32))
	}
	verdict, err := vm.Run(data)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(verdict)
}

const (
	x32Bit      = 0x40000000
	i386Bind    = 361
	i386Listen  = 363
	i386Socket  = 102 // socketcall
	lastOfCalls = 600 // there are fewer
)

func TestFilter(t *testing.T) {
	options := []Option{{unix.SOL_SOCKET, unix.SO_REUSEPORT}, {unix.IPPROTO_IPV6, unix.IPV6_V6ONLY}}
	const fd, pointer = 3, 0x7fff_1234_5678
	type call struct {
		what         string
		arch, number uint32
		args         []uint64
		plain, noted bool // reported without and with options
	}
	calls := []call{
		{"listen", nativeArch, unix.SYS_LISTEN, []uint64{fd, 5}, true, true},
		{"listen with an absurd queue", nativeArch, unix.SYS_LISTEN, []uint64{fd, 1<<64 - 1}, true, true},
		{"an option of a listener", nativeArch, unix.SYS_SETSOCKOPT, []uint64{fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, pointer, 4}, false, true},
		{"another one", nativeArch, unix.SYS_SETSOCKOPT, []uint64{fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, pointer, 4}, false, true},
		{"its number at another level", nativeArch, unix.SYS_SETSOCKOPT, []uint64{fd, unix.IPPROTO_TCP, unix.IPV6_V6ONLY, pointer, 4}, false, false},
		{"another number at its level", nativeArch, unix.SYS_SETSOCKOPT, []uint64{fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, pointer, 4}, false, false},
		{"an option of connections", nativeArch, unix.SYS_SETSOCKOPT, []uint64{fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, pointer, 4}, false, false},
		{"x32 bind", unix.AUDIT_ARCH_X86_64, unix.SYS_BIND | x32Bit, []uint64{fd, pointer, 16}, false, false},
		{"x32 listen", unix.AUDIT_ARCH_X86_64, unix.SYS_LISTEN | x32Bit, []uint64{fd, 5}, false, false},
		{"i386 bind", unix.AUDIT_ARCH_I386, i386Bind, []uint64{fd, 0x8049000, 16}, false, false},
		{"i386 listen", unix.AUDIT_ARCH_I386, i386Listen, []uint64{fd, 5}, false, false},
		{"i386 socketcall", unix.AUDIT_ARCH_I386, i386Socket, []uint64{2, 0x8049000}, false, false},
		{"arm bind", unix.AUDIT_ARCH_ARM, 282, []uint64{fd, 0x8049000, 16}, false, false},
	}
	for _, c := range []struct {
		length   uint64
		reported bool
	}{
		{0, false}, {2, false}, {12, false}, // sockaddr_nl
		{15, false}, {16, true}, {28, true}, {29, true}, {109, true},
		{110, false}, // sockaddr_un
		{111, true}, {128, true}, {1<<32 - 1, true},
		{5<<32 | 16, true}, {5<<32 | 2, false}, // the kernel looks at the low half
	} {
		calls = append(calls, call{fmt.Sprintf("bind with %d bytes", c.length), nativeArch, unix.SYS_BIND,
			[]uint64{fd, pointer, c.length}, c.reported, c.reported})
	}
	for n := range uint32(lastOfCalls) {
		for _, arch := range []uint32{unix.AUDIT_ARCH_X86_64, unix.AUDIT_ARCH_AARCH64, unix.AUDIT_ARCH_I386, unix.AUDIT_ARCH_ARM, unix.AUDIT_ARCH_RISCV64} {
			if arch == nativeArch && (n == unix.SYS_BIND || n == unix.SYS_LISTEN || n == unix.SYS_SETSOCKOPT) {
				continue
			}
			// With arguments that would be reported.
			args := []uint64{fd, unix.SOL_SOCKET, unix.SO_REUSEPORT | 16, pointer, 16}
			calls = append(calls, call{fmt.Sprintf("call %d of %#x", n, arch), arch, n, args, false, false})
		}
	}
	for _, c := range calls {
		for which, want := range map[*[]Option]bool{{}: c.plain, &options: c.noted} {
			verdict := uint32(unix.SECCOMP_RET_ALLOW)
			if want {
				verdict = unix.SECCOMP_RET_USER_NOTIF
			}
			if got := decide(t, Filter(*which...), c.arch, c.number, c.args...); got != verdict {
				t.Errorf("%s, with %d options: %#x, want %#x", c.what, len(*which), got, verdict)
			}
		}
	}
}
