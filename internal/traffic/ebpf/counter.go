// Package ebpf counts, in the kernel, what clients send to listening sockets:
// connections, requests and bytes, exactly and with no process in their way.
//
// A socket filter follows the framing of HTTP/1.x and of HTTP/2 without TLS on
// each connection. It passes every packet on, whole. Whoever accepts from the
// sockets neither takes part nor notices.
//
// What is counted is what was received, not what was answered: a request counts
// when its head is complete, over HTTP/2 when its HEADERS frame has begun.
// Whatever is not HTTP, TLS included, and messages on whose end servers do not
// agree, count as connections and bytes only. What clusterd itself asks one exact
// instance, as a probe does, does not count at all.
package ebpf

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/cilium/ebpf"
)

//go:generate go tool bpf2go -go-package ebpf -target bpfel -cflags "-O2 -Wall -Werror -mcpu=v3 -I/usr/include/x86_64-linux-gnu -I/usr/include/aarch64-linux-gnu" -type counts -type answers -type disowned -type seat requests bpf/requests.c
//go:generate sh -c "(clang --version | sed -n '1s/^/# /p'; sha256sum bpf/* requests_bpfel.*) >generated.sum"

// Counts are the totals of a slot since New. They only grow, but for Disown.
type Counts struct {
	ConnsTotal uint64 // connections whose handshake was completed
	Requests   uint64 // request heads received
	BytesIn    uint64 // received from clients, headers of TCP and below left out
	Unparsed   uint64 // connections that are not HTTP or not to be followed; above 0: Requests is a lower bound
	Resynced   uint64 // times that bytes were missed and reading went on at a later request; above 0: Requests is an estimate
}

// Counter counts for one set of slots. It owns its maps and programs; sockets
// belong to whoever attaches them. All methods may be called by any goroutine.
type Counter struct {
	incoming incoming
	jump     *ebpf.Map // the program that all slots share, at index 0
	outgoing *outgoing // nil until WatchReplies
	slots    int
	object   string // which programs they are: the hash of what they were loaded from

	mu      sync.Mutex
	sources map[int]*Source // by slot
}

// incoming is what counts requests. The maps that only the program uses live as
// long as it does.
type incoming struct {
	Requests *ebpf.Program `ebpf:"requests"`
	Conns    *ebpf.Map     `ebpf:"conns"`
	Seats    *ebpf.Map     `ebpf:"seats"`
	Ports    *ebpf.Map     `ebpf:"ports"`
	Totals   *ebpf.Map     `ebpf:"totals"`
	Disown   *ebpf.Program `ebpf:"disown"`
}

// New makes a Counter for slots 0 to maxSlots-1. It takes some 23 MB of kernel
// memory, enough for 65,536 connections at a time, however many slots there
// are: one Counter is meant to serve a whole process. Loading takes some 40 ms.
func New(maxSlots int) (*Counter, error) {
	if maxSlots < 1 {
		return nil, fmt.Errorf("count requests for %d slots: at least 1 is needed", maxSlots)
	}
	spec, err := specFor(maxSlots)
	if err != nil {
		return nil, err
	}
	c := &Counter{slots: maxSlots, object: object(), sources: map[int]*Source{}}
	if err := spec.LoadAndAssign(&c.incoming, nil); err != nil {
		return nil, fmt.Errorf("load the program that counts requests: %w", err)
	}
	// The kernel empties this map when its last descriptor is closed: the
	// sockets that still have a filter then only pass packets on.
	c.jump, err = ebpf.NewMap(&ebpf.MapSpec{
		Name: "jump", Type: ebpf.ProgramArray, KeySize: 4, ValueSize: 4, MaxEntries: 1,
	})
	if err == nil {
		err = c.jump.Put(uint32(0), c.incoming.Requests)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("share the program that counts requests: %w", err), c.Close())
	}
	return c, nil
}

// specFor is what the kernel is given: the programs, and maps with room for slots.
func specFor(slots int) (*ebpf.CollectionSpec, error) {
	spec, err := loadRequests()
	if err != nil {
		return nil, fmt.Errorf("read the programs that count: %w", err)
	}
	spec.Maps[requestsMapTotals].MaxEntries = uint32(slots)
	spec.Maps[requestsMapAnswersOf].MaxEntries = uint32(slots)
	spec.Maps[requestsMapLatency].MaxEntries = uint32(slots * latencySteps)
	if runtime.GOARCH == "amd64" {
		err = spec.Variables[requestsVarOrdered].Set(uint32(1))
	}
	return spec, err
}

// Read returns the totals of a slot. It takes a few microseconds.
func (c *Counter) Read(slot int) (Counts, error) {
	if err := c.check(slot); err != nil {
		return Counts{}, err
	}
	var perCPU []requestsCounts
	if err := c.incoming.Totals.Lookup(uint32(slot), &perCPU); err != nil {
		return Counts{}, fmt.Errorf("read the counts of slot %d: %w", slot, err)
	}
	var sum Counts
	for _, n := range perCPU {
		sum.ConnsTotal += n.Conns
		sum.Requests += n.Requests
		sum.BytesIn += n.BytesIn
		sum.Unparsed += n.Unparsed
		sum.Resynced += n.Resynced
	}
	return sum, nil
}

// Close ends the counting, also on sockets that are still attached, and frees
// all that New took once the last of those is closed or detached.
func (c *Counter) Close() error {
	// Closing what is nil is no error.
	in := c.incoming
	err := errors.Join(in.Requests.Close(), in.Conns.Close(), in.Seats.Close(), in.Ports.Close(), in.Totals.Close(), in.Disown.Close(), c.jump.Close())
	if c.outgoing != nil {
		err = errors.Join(err, c.outgoing.close())
	}
	return err
}

func (c *Counter) check(slot int) error {
	if slot < 0 || slot >= c.slots {
		return fmt.Errorf("count requests of slot %d: there are only slots 0 to %d", slot, c.slots-1)
	}
	return nil
}
