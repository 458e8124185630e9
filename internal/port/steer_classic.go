package port

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// classic steers by a classic BPF program, which needs no privilege: see
// SO_ATTACH_REUSEPORT_CBPF in socket(7), and the kernel's
// Documentation/networking/filter.rst for the offsets and extensions.
//
// The program returns an index of the group. One that is out of range makes the
// kernel hash over all members, those that drain included: it never returns one.
type classic struct{ code []unix.SockFilter }

const (
	longestFilter = 4096 // BPF_MAXINSNS

	etherType = 0xFFFFF000 // SKF_AD_OFF + SKF_AD_PROTOCOL
	network   = 0xFFF00000 // SKF_NET_OFF: from here on is the IP header
)

// Factors of the hash, odd ones with bits all over: ports follow one another, and
// multiples of the first are as far from each other as can be.
const (
	portFactor    = 0x9E3779B1
	addressFactor = 0x85EBCA6B
)

func (p *classic) weighs() bool { return true }

func (p *classic) join(*member) error { return nil }

func (p *classic) apply(members []*member, pl plan) error {
	index := map[*held]uint32{} // nil: clusterd's own
	for i, m := range members {
		if m.slot != nil || m.fallback() {
			index[m.slot] = uint32(i)
		}
	}
	code := steeringFilter(index, pl)
	if len(code) > longestFilter {
		return fmt.Errorf("%d slots at one address are more than a steering program can tell apart", len(pl.spread))
	}
	p.code = code
	return nil
}

func (p *classic) attach(fd int) error {
	return os.NewSyscallError("setsockopt SO_ATTACH_REUSEPORT_CBPF",
		unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF,
			&unix.SockFprog{Len: uint16(len(p.code)), Filter: &p.code[0]}))
}

func (p *classic) movesQueues() bool { return false }

func (p *classic) close() {}

// steeringFilter is the program for a plan, given the index of every socket.
func steeringFilter(index map[*held]uint32, p plan) []unix.SockFilter {
	const hash, mark = 0, 1 // scrap memory
	var f filter
	f.op(loadWord, etherType)
	f.branch(ifEqual, unix.ETH_P_IP, "IPv4", "")

	f.op(loadHalf, network+40) // the source port, behind a header without extensions
	f.op(mul, portFactor)
	f.op(storeScrap, hash)
	f.op(loadWord, network+8)
	for _, word := range []uint32{12, 16, 20} {
		f.op(toX, 0)
		f.op(loadWord, network+word)
		f.op(xor, 0)
	}
	f.mix(hash)
	// The kernel takes packets from ::1 only off the loopback interface: nobody
	// else can bear a mark.
	f.op(loadWord, network+8)
	for _, word := range []uint32{12, 16} {
		f.op(toX, 0)
		f.op(loadWord, network+word)
		f.op(or, 0)
	}
	f.branch(ifEqual, 0, "", "unmarked")
	f.op(loadWord, network+20)
	f.branch(ifEqual, 1, "", "unmarked")
	f.op(loadByte, network+7) // the hop limit
	f.branch(ifAtLeast, markHops, "", "unmarked")
	f.branch(ifAtLeast, markHops+hopMarks, "unmarked", "")
	f.op(sub, markHops)
	f.op(storeScrap, mark)
	f.op(loadWord, network)
	f.op(right, 22)
	f.op(and, 1<<6-1) // the differentiated services field
	f.op(mul, hopMarks)
	f.op(toX, 0)
	f.op(loadScrap, mark)
	f.op(addX, 0)
	f.goTo("marked")

	f.label("IPv4")
	f.op(loadByte, network)
	f.op(and, 15)
	f.op(left, 2)
	f.op(toX, 0)
	f.op(loadHalfX, network) // the source port, behind the header and its options
	f.op(mul, portFactor)
	f.op(storeScrap, hash)
	f.op(loadWord, network+12)
	f.mix(hash)
	f.op(loadWord, network+12)
	f.op(right, 16)
	f.branch(ifEqual, markNet, "", "unmarked")
	f.op(loadWord, network+12)
	f.op(and, 1<<16-1)
	f.goTo("marked")

	f.label("unmarked")
	f.goTo("spread")
	f.label("marked")
	f.search(marks(index, p.exact))
	f.label("spread")
	f.op(loadScrap, hash)
	f.op(right, 16)
	f.search(ranges(index, p.spread))
	return f.code
}

// marks are the ranges of marks: those that nobody has go the common way.
func marks(index map[*held]uint32, exact []aim) []leaf {
	out := []leaf{{to: "spread"}}
	for _, a := range exact {
		if last := &out[len(out)-1]; last.from == a.mark {
			*last = leaf{from: a.mark, index: index[a.to]}
		} else {
			out = append(out, leaf{from: a.mark, index: index[a.to]})
		}
		out = append(out, leaf{from: a.mark + 1, to: "spread"})
	}
	return out
}

// ranges divide the 16 bits of the hash by weight.
func ranges(index map[*held]uint32, spread []share) []leaf {
	if len(spread) == 0 {
		return []leaf{{index: index[nil]}}
	}
	var total, sum uint64
	for _, s := range spread {
		total += uint64(s.weight)
	}
	var out []leaf
	for _, s := range spread {
		out = append(out, leaf{from: uint32(sum << 16 / total), index: index[s.to]})
		sum += uint64(s.weight)
	}
	return out
}
