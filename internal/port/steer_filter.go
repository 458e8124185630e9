package port

import "golang.org/x/sys/unix"

// The instructions of classic BPF that steering uses; A is the accumulator.
const (
	loadWord   = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	loadHalf   = unix.BPF_LD | unix.BPF_H | unix.BPF_ABS
	loadHalfX  = unix.BPF_LD | unix.BPF_H | unix.BPF_IND
	loadByte   = unix.BPF_LD | unix.BPF_B | unix.BPF_ABS
	loadScrap  = unix.BPF_LD | unix.BPF_MEM
	storeScrap = unix.BPF_ST
	toX        = unix.BPF_MISC | unix.BPF_TAX
	and        = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
	or         = unix.BPF_ALU | unix.BPF_OR | unix.BPF_X
	xor        = unix.BPF_ALU | unix.BPF_XOR | unix.BPF_X
	addX       = unix.BPF_ALU | unix.BPF_ADD | unix.BPF_X
	sub        = unix.BPF_ALU | unix.BPF_SUB | unix.BPF_K
	mul        = unix.BPF_ALU | unix.BPF_MUL | unix.BPF_K
	left       = unix.BPF_ALU | unix.BPF_LSH | unix.BPF_K
	right      = unix.BPF_ALU | unix.BPF_RSH | unix.BPF_K
	goTo       = unix.BPF_JMP | unix.BPF_JA
	ifEqual    = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	ifAtLeast  = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
	answer     = unix.BPF_RET | unix.BPF_K
	answerA    = unix.BPF_RET | unix.BPF_A
)

// A filter is a classic BPF program in the making. Its jumps go forward, to
// labels.
type filter struct {
	code []unix.SockFilter
	open []jump
}

// A jump waits for its label.
type jump struct {
	at    int
	label string
	set   func(ins *unix.SockFilter, distance int)
}

func (f *filter) op(code uint16, k uint32) {
	f.code = append(f.code, unix.SockFilter{Code: code, K: k})
}

// goTo jumps any distance.
func (f *filter) goTo(label string) {
	f.jump(label, func(ins *unix.SockFilter, distance int) { ins.K = uint32(distance) })
	f.op(goTo, 0)
}

// branch compares A with k and jumps at most 255 instructions; "" is the next one.
func (f *filter) branch(code uint16, k uint32, yes, no string) {
	f.jump(yes, func(ins *unix.SockFilter, distance int) { ins.Jt = uint8(distance) })
	f.jump(no, func(ins *unix.SockFilter, distance int) { ins.Jf = uint8(distance) })
	f.op(code, k)
}

func (f *filter) jump(label string, set func(*unix.SockFilter, int)) {
	if label != "" {
		f.open = append(f.open, jump{len(f.code), label, set})
	}
}

// label is where the jumps to it end.
func (f *filter) label(name string) {
	waiting := f.open
	f.open = nil
	for _, j := range waiting {
		if j.label == name {
			j.set(&f.code[j.at], len(f.code)-j.at-1)
		} else {
			f.open = append(f.open, j)
		}
	}
}

// mix makes the hash of the address in A and what scrap memory slot holds, and
// stores it there.
func (f *filter) mix(slot uint32) {
	f.op(mul, addressFactor)
	f.op(toX, 0)
	f.op(loadScrap, slot)
	f.op(addX, 0)
	f.op(storeScrap, slot)
}

// A leaf is what becomes of the values of A from one on to the next leaf's: a
// jump, or the answer index.
type leaf struct {
	from  uint32
	to    string
	index uint32
}

// search finds the leaf of A by bisection. The first leaf is from 0 on.
func (f *filter) search(leaves []leaf) {
	if len(leaves) == 1 {
		if leaves[0].to != "" {
			f.goTo(leaves[0].to)
		} else {
			f.op(answer, leaves[0].index)
		}
		return
	}
	half := len(leaves) / 2
	distance := searchLen(half)
	if distance <= 255 {
		f.code = append(f.code, unix.SockFilter{Code: ifAtLeast, K: leaves[half].from, Jt: uint8(distance)})
	} else {
		f.code = append(f.code, unix.SockFilter{Code: ifAtLeast, K: leaves[half].from, Jf: 1})
		f.op(goTo, uint32(distance))
	}
	f.search(leaves[:half])
	f.search(leaves[half:])
}

// searchLen is how many instructions a search among n leaves takes.
func searchLen(n int) int {
	if n == 1 {
		return 1
	}
	low := searchLen(n / 2)
	all := 1 + low + searchLen(n-n/2)
	if low > 255 {
		all++
	}
	return all
}
