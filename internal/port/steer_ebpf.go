package port

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// leastLoaded steers by an eBPF program (SK_REUSEPORT), which takes CAP_BPF: each
// new connection goes to the socket that has the fewest. When a listening socket
// is closed, the program moves what waits in its queue to another one (Linux
// 5.14). Sockets are chosen by their cell, so that order is of no concern.
//
// The program counts what it sends where. It cannot see connections end: see
// census.
type leastLoaded struct {
	program *ebpf.Program
	moves   bool      // it moves the queue of a socket that is closed
	sockets *ebpf.Map // cell → socket; a key vanishes with its socket's listening
	targets *ebpf.Map // [0] is how many, then their cells
	loads   *ebpf.Map // cell → connections
	exact   *ebpf.Map // mark → cell
	placed  *ebpf.Map // [client.place()] is the latest client of that place, and its cell

	mu     sync.Mutex // for what follows, and against a census after close
	closed bool
	aimed  map[uint32]uint32 // what is in exact
	cells  []uint32          // what is in targets
	census census
}

const (
	mostCells = 1024
	// The program looks at so many targets, from a random one on: more do not make
	// the spread more even in a way that can be seen.
	mostCompared = 32
	// Places of clients, see client.place.
	places = 1 << 16
)

// canEBPF tells whether this process may load such programs. The answer does not
// change.
var canEBPF = sync.OnceValue(func() error {
	p, err := newLeastLoaded(nil)
	if err == nil {
		p.close()
	}
	return err
})

// newLeastLoaded loads the program. It owns sockets, those of another one, or makes
// them: the kernel lets a socket be in one such map only (EBUSY).
func newLeastLoaded(sockets *ebpf.Map) (p *leastLoaded, err error) {
	p = &leastLoaded{aimed: map[uint32]uint32{}, sockets: sockets}
	defer func() {
		if err != nil {
			p.close()
			p = nil
		}
	}()
	for _, m := range []struct {
		at   **ebpf.Map
		spec ebpf.MapSpec
	}{
		{&p.sockets, ebpf.MapSpec{Name: "sockets", Type: ebpf.ReusePortSockArray, KeySize: 4, ValueSize: 8, MaxEntries: mostCells}},
		{&p.targets, ebpf.MapSpec{Name: "targets", Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: mostCells + 1}},
		{&p.loads, ebpf.MapSpec{Name: "loads", Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: mostCells}},
		{&p.exact, ebpf.MapSpec{Name: "exact", Type: ebpf.Hash, KeySize: 4, ValueSize: 4, MaxEntries: allMarks}},
		{&p.placed, ebpf.MapSpec{Name: "placed", Type: ebpf.Array, KeySize: 4, ValueSize: clientLen + 4, MaxEntries: places}},
	} {
		if *m.at != nil {
			continue
		}
		if *m.at, err = ebpf.NewMap(&m.spec); err != nil {
			return p, err
		}
	}
	spec := &ebpf.ProgramSpec{
		Name:         "least_loaded",
		Type:         ebpf.SkReuseport,
		AttachType:   ebpf.AttachSkReuseportSelectOrMigrate,
		Instructions: p.instructions(),
		License:      "Dual MIT/GPL",
	}
	p.program, err = ebpf.NewProgram(spec)
	if p.moves = err == nil; errors.Is(err, unix.EINVAL) {
		spec.AttachType = ebpf.AttachSkReuseportSelect // before Linux 5.14
		p.program, err = ebpf.NewProgram(spec)
	}
	return p, err
}

func (p *leastLoaded) join(m *member) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m.cell >= mostCells {
		return fmt.Errorf("more than %d sockets at one address", mostCells)
	}
	if err := p.loads.Put(m.cell, uint32(0)); err != nil {
		return err
	}
	return p.sockets.Put(m.cell, uint64(m.fd))
}

// weighs is false: whose queue is long has many connections, too.
func (p *leastLoaded) weighs() bool { return false }

// apply changes the maps, which takes effect at once.
func (p *leastLoaded) apply(members []*member, pl plan) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	cell := map[*held]uint32{}
	for _, m := range members {
		if m.slot != nil {
			cell[m.slot] = m.cell
		}
	}
	if err := p.aim(cell, pl.exact); err != nil {
		return err
	}
	cells := []uint32{0} // clusterd's own socket
	if len(pl.spread) > 0 {
		cells = cells[:0]
		for _, s := range pl.spread {
			cells = append(cells, cell[s.to])
		}
	}
	if err := p.level(cells); err != nil {
		return err
	}
	// Every cell that the program can read in between is one of the old or new
	// plan: the number changes first when it falls, last when it rises.
	put := func(i int, v uint32) error { return p.targets.Put(uint32(i), v) }
	if len(cells) < len(p.cells) {
		if err := put(0, uint32(len(cells))); err != nil {
			return err
		}
	}
	for i, c := range cells {
		if err := put(i+1, c); err != nil {
			return err
		}
	}
	p.cells = cells
	return put(0, uint32(len(cells)))
}

// aim brings the marks in line, changing only what differs.
func (p *leastLoaded) aim(cell map[*held]uint32, exact []aim) error {
	want := map[uint32]uint32{}
	for _, a := range exact {
		want[a.mark] = cell[a.to]
	}
	for mark := range p.aimed {
		if _, ok := want[mark]; !ok {
			if err := p.exact.Delete(mark); err != nil {
				return err
			}
			delete(p.aimed, mark)
		}
	}
	for mark, c := range want {
		if old, ok := p.aimed[mark]; ok && old == c {
			continue
		}
		if err := p.exact.Put(mark, c); err != nil {
			return err
		}
		p.aimed[mark] = c
	}
	return nil
}

// level gives targets that are new the load of the least loaded old one: they
// would get every connection until they had caught up.
func (p *leastLoaded) level(cells []uint32) error {
	old := map[uint32]bool{}
	least := uint32(0)
	for i, c := range p.cells {
		var load uint32
		if err := p.loads.Lookup(c, &load); err != nil {
			return err
		}
		if old[c] = true; i == 0 || load < least {
			least = load
		}
	}
	for _, c := range cells {
		if !old[c] {
			if err := p.loads.Put(c, least); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *leastLoaded) movesQueues() bool { return p.moves }

func (p *leastLoaded) attach(fd int) error {
	return os.NewSyscallError("setsockopt SO_ATTACH_REUSEPORT_EBPF",
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_EBPF, p.program.FD()))
}

func (p *leastLoaded) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.program.Close()
	for _, m := range p.maps() {
		(*m).Close()
	}
}
