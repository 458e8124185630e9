package port

import (
	"fmt"
	"maps"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"clusterd/internal/handover"
)

// leastLoadedRevision changes with the program and with what its maps mean, but for
// that of the sockets. A program of another revision is replaced, and counts from
// nothing.
const leastLoadedRevision = 1

type leastLoadedState struct {
	Revision int
	Program  int   // a descriptor; -1: it was lost, as there were too many
	Maps     []int // in the order of leastLoaded.maps
	Moves    bool
	Aimed    map[uint32]uint32
	Cells    []uint32
	Sum      uint64 // see census
}

// maps are all of its maps, the sockets first.
func (p *leastLoaded) maps() []**ebpf.Map {
	return []**ebpf.Map{&p.sockets, &p.targets, &p.loads, &p.exact, &p.placed}
}

// pack keeps duplicates of what the program consists of, and closes it.
func (p *leastLoaded) pack(b *handover.Bag) *leastLoadedState {
	defer p.close()
	p.mu.Lock()
	defer p.mu.Unlock()
	keep := func(fd int) int {
		dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return -1
		}
		return b.Keep(dup)
	}
	s := &leastLoadedState{
		Revision: leastLoadedRevision, Moves: p.moves, Aimed: maps.Clone(p.aimed), Cells: p.cells, Sum: p.census.sum,
		Program: keep(p.program.FD()),
	}
	for _, m := range p.maps() {
		s.Maps = append(s.Maps, keep((*m).FD()))
	}
	return s
}

// takeLeastLoaded returns the program that was packed, which is attached still; or
// one that is to be attached in its place.
func takeLeastLoaded(s *leastLoadedState, b *handover.Bag) (p *leastLoaded, replaced bool, err error) {
	if p, err = s.unpack(b); err == nil {
		return p, false, nil
	}
	if p.sockets == nil {
		return nil, false, err
	}
	p, err = newLeastLoaded(p.sockets)
	return p, true, err
}

// unpack fails with nothing open but the sockets, if they could be had.
func (s *leastLoadedState) unpack(b *handover.Bag) (p *leastLoaded, err error) {
	p = &leastLoaded{moves: s.Moves, aimed: s.Aimed, cells: s.Cells, census: census{sum: s.Sum}}
	if p.aimed == nil {
		p.aimed = map[uint32]uint32{}
	}
	defer func() {
		if err != nil {
			for _, m := range p.maps()[1:] {
				(*m).Close()
			}
		}
	}()
	for i, m := range p.maps() {
		if i >= len(s.Maps) || i > 0 && s.Revision != leastLoadedRevision {
			return p, fmt.Errorf("take a steering program: it is of revision %d, not %d", s.Revision, leastLoadedRevision)
		}
		fd, err := b.Take(s.Maps[i])
		if err != nil {
			return p, err
		}
		if *m, err = ebpf.NewMapFromFD(fd); err != nil {
			return p, err
		}
	}
	fd, err := b.Take(s.Program)
	if err != nil {
		return p, err
	}
	p.program, err = ebpf.NewProgramFromFD(fd)
	return p, err
}
