package proc

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"

	"clusterd/internal/traffic"
	"clusterd/internal/traffic/ebpf"
)

// kernelCounts has requests counted in the kernel, for all apps of a cluster. It
// is made when it is first asked for, and kept until the process ends.
type kernelCounts struct {
	log func(string)

	mu      sync.Mutex
	counter *ebpf.Counter
	err     error              // why there is none
	used    int                // slots
	lost    *ebpf.CounterState // what was handed over and cannot be gone on with; nil: all can
}

// maxKernelSlots bounds the slots of a cluster whose requests are counted.
const maxKernelSlots = 4096

// kernelSlot is one slot that is counted.
type kernelSlot struct {
	counter *ebpf.Counter
	id      int
	source  *ebpf.Source
}

// attach has the connections counted that are accepted from a listening socket.
func (s kernelSlot) attach(fd int) error { return s.counter.Attach(s.id, fd) }

// slot returns a slot that nobody uses.
func (k *kernelCounts) slot() (kernelSlot, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.counter == nil && k.err == nil {
		k.counter, k.err = k.open()
	}
	switch {
	case k.err != nil:
		return kernelSlot{}, k.err
	case k.used == maxKernelSlots:
		return kernelSlot{}, fmt.Errorf("%d instances are counted already", maxKernelSlots)
	}
	id := k.used
	k.used++
	return kernelSlot{k.counter, id, k.counter.Source(id)}, nil
}

func (k *kernelCounts) open() (*ebpf.Counter, error) {
	c, err := ebpf.New(maxKernelSlots)
	if err != nil {
		return nil, err
	}
	if err := c.WatchReplies(); err != nil {
		k.log(fmt.Sprintf("statuses and latencies are not known: %v", err))
	}
	return c, nil
}

func (k *kernelCounts) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.counter != nil {
		_ = k.counter.Close() // nothing is to be done about it
		k.counter, k.err = nil, ErrDown
	}
}

// countedSlots are the slots of one app that are counted. A slot that was removed
// goes on to count when it comes back.
type countedSlots struct {
	mu    sync.Mutex
	slots map[int]kernelSlot
}

func (c *countedSlots) add(slot int, k *kernelCounts) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.slots[slot]; known {
		return nil
	}
	s, err := k.slot()
	if err != nil {
		return err
	}
	if c.slots == nil {
		c.slots = map[int]kernelSlot{}
	}
	c.slots[slot] = s
	return nil
}

// attach does nothing for a slot that is not counted.
func (c *countedSlots) attach(slot, fd int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.slots[slot]
	if !ok {
		return nil
	}
	return s.attach(fd)
}

// disown takes a connection of a slot out of its counts.
func (c *countedSlots) disown(slot int, conn net.Conn) error {
	c.mu.Lock()
	s, ok := c.slots[slot]
	c.mu.Unlock()
	socket, isSocket := conn.(syscall.Conn)
	if !ok || !isSocket {
		return nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = s.counter.Disown(s.id, int(fd)) })
	return errors.Join(err, failed)
}

func (c *countedSlots) source(slot int) traffic.Source {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s, ok := c.slots[slot]; ok {
		return s.source
	}
	return nil
}
