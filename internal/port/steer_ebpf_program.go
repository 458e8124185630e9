package port

import (
	"strconv"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"
)

// instructions are the program. Maps are only looked up, never pointed into, and
// no pointer moves by a scalar: so it passes the verifier with CAP_BPF alone.
//
// R6 is the context, R7 the mark or the number of targets, R8 the best load so
// far, R9 its cell.
func (p *leastLoaded) instructions() asm.Instructions {
	const (
		ethProtocol   = 20 // in struct sk_reuseport_md
		headerFromNet = 1  // BPF_HDR_START_NET

		key    = -8  // u32 for look-ups
		first  = -16 // u32, the target to begin with
		header = -24 // 8 bytes of the IP header
		client = -48 // struct: address, port
	)
	load := func(to int16, helper asm.BuiltinFunc, from, length int32, relative ...int32) asm.Instructions {
		ins := asm.Instructions{
			asm.Mov.Reg(asm.R1, asm.R6),
			asm.Mov.Imm(asm.R2, from),
			asm.Mov.Reg(asm.R3, asm.RFP),
			asm.Add.Imm(asm.R3, int32(to)),
			asm.Mov.Imm(asm.R4, length),
		}
		for _, start := range relative {
			ins = append(ins, asm.Mov.Imm(asm.R5, start))
		}
		return append(ins, helper.Call())
	}
	ip := func(to int16, from, length int32) asm.Instructions {
		return append(load(to, asm.FnSkbLoadBytesRelative, from, length, headerFromNet),
			asm.JNE.Imm(asm.R0, 0, "choose")) // a queue that moves has no packet
	}
	// lookup leaves the address of m[key] in R0.
	lookup := func(m *ebpf.Map, missing string) asm.Instructions {
		return asm.Instructions{
			asm.LoadMapPtr(asm.R1, m.FD()),
			asm.Mov.Reg(asm.R2, asm.RFP),
			asm.Add.Imm(asm.R2, key),
			asm.FnMapLookupElem.Call(),
			asm.JEq.Imm(asm.R0, 0, missing),
		}
	}
	selectCell := asm.Instructions{
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.LoadMapPtr(asm.R2, p.sockets.FD()),
		asm.Mov.Reg(asm.R3, asm.RFP),
		asm.Add.Imm(asm.R3, key),
		asm.Mov.Imm(asm.R4, 0),
		asm.FnSkSelectReuseport.Call(),
	}
	var out asm.Instructions
	add := func(parts ...asm.Instructions) {
		for _, part := range parts {
			out = append(out, part...)
		}
	}
	at := func(label string, ins ...asm.Instruction) {
		ins[0] = ins[0].WithSymbol(label)
		out = append(out, ins...)
	}

	add(asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.Mov.Imm(asm.R9, 0),
		asm.StoreMem(asm.RFP, client, asm.R9, asm.DWord),
		asm.StoreMem(asm.RFP, client+8, asm.R9, asm.DWord),
		asm.StoreMem(asm.RFP, client+16, asm.R9, asm.Word),
		asm.LoadMem(asm.R7, asm.R6, ethProtocol, asm.Word),
	}, load(client+16, asm.FnSkbLoadBytes, 0, 2), // the source port
		asm.Instructions{
			asm.JNE.Imm(asm.R0, 0, "choose"),
			asm.JEq.Imm(asm.R7, int32(htons(unix.ETH_P_IP)), "IPv4"),
		})

	add(ip(client, 8, 16), asm.Instructions{
		asm.LoadMem(asm.R1, asm.RFP, client, asm.DWord),
		asm.JNE.Imm(asm.R1, 0, "choose"),
		asm.LoadMem(asm.R1, asm.RFP, client+8, asm.DWord),
		asm.LoadImm(asm.R2, 1<<56, asm.DWord), // ::1, little-endian
		asm.JNE.Reg(asm.R1, asm.R2, "choose"),
	}, ip(header, 0, 8), asm.Instructions{
		asm.LoadMem(asm.R1, asm.RFP, header+7, asm.Byte), // the hop limit
		asm.JLT.Imm(asm.R1, markHops, "choose"),
		asm.JGE.Imm(asm.R1, markHops+hopMarks, "choose"),
		asm.Sub.Imm(asm.R1, markHops),
		asm.LoadMem(asm.R7, asm.RFP, header, asm.Byte), // differentiated services: 4 bits and 2
		asm.And.Imm(asm.R7, 15),
		asm.LSh.Imm(asm.R7, 2),
		asm.LoadMem(asm.R2, asm.RFP, header+1, asm.Byte),
		asm.RSh.Imm(asm.R2, 6),
		asm.Or.Reg(asm.R7, asm.R2),
		asm.Mul.Imm(asm.R7, hopMarks),
		asm.Add.Reg(asm.R7, asm.R1),
		asm.Ja.Label("marked"),
	})

	v4 := ip(client+12, 12, 4)
	v4[0] = v4[0].WithSymbol("IPv4")
	add(v4, asm.Instructions{
		asm.LoadMem(asm.R1, asm.RFP, client+12, asm.Half),
		asm.JNE.Imm(asm.R1, int32(htons(markNet)), "choose"),
		asm.LoadMem(asm.R7, asm.RFP, client+14, asm.Half),
		asm.HostTo(asm.BE, asm.R7, asm.Half),
	})

	at("marked", asm.StoreMem(asm.RFP, key, asm.R7, asm.Word))
	add(lookup(p.exact, "choose"), asm.Instructions{
		asm.LoadMem(asm.R1, asm.R0, 0, asm.Word),
		asm.StoreMem(asm.RFP, key, asm.R1, asm.Word),
	}, selectCell, asm.Instructions{
		asm.Mov.Imm(asm.R0, 1), // SK_PASS
		asm.Return(),
	})

	at("choose", asm.StoreImm(asm.RFP, key, 0, asm.Word))
	add(lookup(p.targets, "own"), asm.Instructions{
		asm.LoadMem(asm.R7, asm.R0, 0, asm.Word),
		asm.JEq.Imm(asm.R7, 0, "own"),
		asm.FnGetPrandomU32.Call(),
		asm.Mod.Reg32(asm.R0, asm.R7),
		asm.StoreMem(asm.RFP, first, asm.R0, asm.Word),
		asm.LoadImm(asm.R8, 1<<32, asm.DWord), // more than any load
	})
	// Written out, not as a loop: kernel 6.18 refuses this one with EFAULT.
	for i := range int32(mostCompared) {
		next := "compare" + strconv.Itoa(int(i+1))
		at("compare"+strconv.Itoa(int(i)), asm.JLE.Imm(asm.R7, i, "best"))
		add(asm.Instructions{
			asm.LoadMem(asm.R2, asm.RFP, first, asm.Word),
			asm.Add.Imm(asm.R2, i),
			asm.Mod.Reg32(asm.R2, asm.R7),
			asm.Add.Imm(asm.R2, 1),
			asm.StoreMem(asm.RFP, key, asm.R2, asm.Word),
		}, lookup(p.targets, next), asm.Instructions{
			asm.LoadMem(asm.R1, asm.R0, 0, asm.Word),
			asm.StoreMem(asm.RFP, key, asm.R1, asm.Word),
		}, lookup(p.loads, next), asm.Instructions{
			asm.LoadMem(asm.R1, asm.R0, 0, asm.Word),
			asm.JGE.Reg(asm.R1, asm.R8, next),
			asm.Mov.Reg(asm.R8, asm.R1),
			asm.LoadMem(asm.R9, asm.RFP, key, asm.Word),
		})
	}
	at("compare"+strconv.Itoa(mostCompared), asm.Ja.Label("best"))
	at("best", asm.StoreMem(asm.RFP, key, asm.R9, asm.Word))
	add(lookup(p.loads, "own"), asm.Instructions{
		asm.Mov.Imm(asm.R1, 1),
		asm.StoreXAdd(asm.R0, asm.R1, asm.Word),
		// client.place
		asm.LoadMem(asm.R1, asm.RFP, client+12, asm.Word),
		asm.Mul.Imm32(asm.R1, int32(placeFactor)),
		asm.RSh.Imm32(asm.R1, 16),
		asm.LoadMem(asm.R2, asm.RFP, client+16, asm.Half),
		asm.Xor.Reg(asm.R1, asm.R2),
		asm.StoreMem(asm.RFP, key, asm.R1, asm.Word),
	}, lookup(p.placed, "own"), asm.Instructions{
		asm.LoadMem(asm.R1, asm.RFP, client, asm.DWord),
		asm.StoreMem(asm.R0, 0, asm.R1, asm.DWord),
		asm.LoadMem(asm.R1, asm.RFP, client+8, asm.DWord),
		asm.StoreMem(asm.R0, 8, asm.R1, asm.DWord),
		asm.LoadMem(asm.R1, asm.RFP, client+16, asm.Word),
		asm.StoreMem(asm.R0, 16, asm.R1, asm.Word),
		asm.StoreMem(asm.R0, clientLen, asm.R9, asm.Word),
		asm.StoreMem(asm.RFP, key, asm.R9, asm.Word),
	}, selectCell, asm.Instructions{
		asm.JEq.Imm(asm.R0, 0, "done"),
	})
	// A socket that has just been closed is no choice, but others than the kernel's
	// hash would take are.
	at("own", asm.StoreImm(asm.RFP, key, 0, asm.Word))
	add(selectCell)
	at("done", asm.Mov.Imm(asm.R0, 1))
	return append(out, asm.Return())
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }
