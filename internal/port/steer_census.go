package port

import (
	"encoding/binary"
	"net/netip"
	"time"

	"clusterd/internal/sockdiag"
)

const (
	censusTick = 500 * time.Millisecond
	quietTick  = 5 * time.Second // while connections end, but none arrive
	// A census may take this part of the time: 24 ms at 10,000 connections.
	censusShare = 50
)

// A census counts the open connections of every socket, since the program sees
// only how they begin. Between two of them, the program goes on from the last:
// what it sends where is added.
type census struct {
	running bool
	sum     uint64 // of all loads after the last one: as long as it is the same, nothing arrives
	last    time.Time
	next    time.Time // not before
}

// count takes the censuses that are due.
func (f *Front) count(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.cohorts {
		p, ok := c.program.(*leastLoaded)
		if !ok || f.closed || !p.due(now) {
			continue
		}
		f.tasks.Go(func() {
			// An error leaves the loads as the program counted them.
			_ = p.count(f.opts.Port)
		})
	}
}

// due tells whether connections have arrived since the last census, or may have
// ended, and marks one as running.
func (p *leastLoaded) due(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.census.running || now.Before(p.census.next) || len(p.cells) < 2 {
		return false
	}
	loads, err := p.read()
	arrived := sum(loads) != p.census.sum
	p.census.running = err == nil && (arrived || p.census.sum > 0 && now.Sub(p.census.last) >= quietTick)
	return p.census.running
}

// count takes the census. The lock is not held while the kernel lists sockets.
func (p *leastLoaded) count(port int) (err error) {
	start := time.Now()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.census.running, p.census.last = false, start
		p.census.next = time.Now().Add(censusShare * time.Since(start))
	}()
	p.mu.Lock()
	before, err := p.read()
	p.mu.Unlock()
	if err != nil {
		return err
	}
	clients, err := connected(port)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	open := map[uint32]uint32{}
	for _, c := range clients {
		var latest placed
		if p.placed.Lookup(c.place(), &latest) == nil && latest.Client == c {
			open[latest.Cell]++
		}
	}
	after, err := p.read()
	if err != nil {
		return err
	}
	for cell := range after {
		if _, ok := before[cell]; !ok {
			continue
		}
		after[cell] = open[cell] + after[cell] - before[cell]
		if err := p.loads.Put(cell, after[cell]); err != nil {
			return err
		}
	}
	p.census.sum = sum(after)
	return nil
}

// read returns the loads of the targets.
func (p *leastLoaded) read() (map[uint32]uint32, error) {
	out := map[uint32]uint32{}
	if p.closed {
		return out, nil
	}
	for _, cell := range p.cells {
		var load uint32
		if err := p.loads.Lookup(cell, &load); err != nil {
			return nil, err
		}
		out[cell] = load
	}
	return out, nil
}

func sum(loads map[uint32]uint32) (total uint64) {
	for _, load := range loads {
		total += uint64(load)
	}
	return total
}

const clientLen = 20

// A client is whose a connection is, as the program has it: the address, with 12
// zeros before one of IPv4, and the port as in the packet.
type client [clientLen]byte

// placed is what the program remembers of a client.
type placed struct {
	Client client
	Cell   uint32
}

const placeFactor uint32 = 0x9E3779B1 &^ (1 << 31) // an operand of eBPF has a sign

// place is where the program remembers a client. All ports of one address have
// places of their own; of clients that share one only the latest is known, so that of
// thousands of addresses the census is a sample.
func (c client) place() uint32 {
	spread := binary.LittleEndian.Uint32(c[12:]) * placeFactor >> 16
	return spread ^ uint32(binary.LittleEndian.Uint16(c[16:]))
}

// connected lists the clients that have a connection to port.
func connected(port int) (out []client, err error) {
	q := sockdiag.Query{States: sockdiag.Established | sockdiag.CloseWait, Port: port}
	err = sockdiag.Dump(q, func(m sockdiag.Message) { out = append(out, clientAt(m.Remote())) })
	if err != nil {
		return nil, err
	}
	return out, nil
}

func clientAt(at netip.AddrPort) (c client) {
	if ip := at.Addr().Unmap(); ip.Is4() {
		copy(c[12:16], ip.AsSlice())
	} else {
		copy(c[:16], ip.AsSlice())
	}
	binary.BigEndian.PutUint16(c[16:], at.Port())
	return c
}
