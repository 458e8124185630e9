package ebpf

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"clusterd/internal/handover"
	"clusterd/internal/traffic"
)

// layout is the version of all that programs and maps have in common with this
// package: counts, answers and disowned of bpf, the steps of latencies, and what
// an entry leaves in cb[0]. It grows with each change by which a Counter would read
// the maps of another version wrongly.
const layout = 1

// object names the programs that New loads.
var object = sync.OnceValue(func() string {
	sum := sha256.Sum256(_RequestsBytes)
	return hex.EncodeToString(sum[:])
})

// CounterState is a Counter as it is handed over.
type CounterState struct {
	Object string // the programs' name
	Layout int
	Slots  int

	Requests, Conns, Totals, Disown, Jump int // descriptors
	Seats, Ports                          int // the same; only with the programs of this name

	Replies *RepliesState       // nil: they are not watched
	Sources map[int]SourceState // by slot, of those that were asked for
}

// SourceState is a Source as it is handed over. Totals and latencies are what had
// been counted then; who goes on finds them in the maps.
type SourceState struct {
	Window    window
	Totals    traffic.Totals
	Latencies traffic.LatenciesState
}

// Past is what a slot had counted when it was handed over, for the Ledger of whoever
// cannot go on with the Counter.
func (st CounterState) Past(slot int) traffic.Source { return past{st.Sources[slot]} }

type past struct{ state SourceState }

func (p past) Totals() traffic.Totals       { return p.state.Totals }
func (p past) Recent() traffic.Latencies    { return traffic.Latencies{} }
func (p past) Latencies() traffic.Latencies { return traffic.TakeLatencies(p.state.Latencies) }

// RepliesState is what watches replies, as descriptors.
type RepliesState struct{ Sent, Answers, Latency, Link int }

// HandOver keeps all that counts open. There is nothing to stop: the kernel goes on
// to count on all sockets, before and after Take, and totals stay readable. But
// nobody may call Attach, Detach, Disown or WatchReplies any more.
func (c *Counter) HandOver(b *handover.Bag) (CounterState, error) {
	var failed error
	keep := func(o interface{ FD() int }) int {
		fd, err := unix.FcntlInt(uintptr(o.FD()), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			failed = errors.Join(failed, err)
			return -1
		}
		return b.Keep(fd)
	}
	st := CounterState{
		Object: c.object, Layout: layout, Slots: c.slots,
		Requests: keep(c.incoming.Requests), Conns: keep(c.incoming.Conns), Totals: keep(c.incoming.Totals),
		Disown: keep(c.incoming.Disown), Jump: keep(c.jump), Seats: -1, Ports: -1,
		Sources: map[int]SourceState{},
	}
	if c.incoming.Ports != nil {
		st.Seats, st.Ports = keep(c.incoming.Seats), keep(c.incoming.Ports)
	}
	if out := c.outgoing; out != nil {
		// Without a descriptor, it would be a kernel before 5.7.
		attached, ok := out.link.(interface{ FD() int })
		if !ok {
			return st, errors.New("hand over the count of replies: the kernel has no link to keep")
		}
		st.Replies = &RepliesState{keep(out.Sent), keep(out.Answers), keep(out.Latency), keep(attached)}
	}
	if failed != nil {
		return st, fmt.Errorf("hand over the count of requests: %w", failed)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	latencies, _ := c.latenciesBelow(len(c.sources)) // what is not in there is read one by one
	for slot, s := range c.sources {
		state := s.state()
		if slot < len(latencies) {
			state.Latencies = latencies[slot].latencies().State()
		} else {
			state.Latencies = s.Latencies().State()
		}
		st.Sources[slot] = state
	}
	return st, nil
}

// TakeCounter makes a Counter of what was handed over. The programs and maps stay
// those that count already, also where this version has others: it does with them
// what it would do with its own, but for WatchReplies. Where it could not read them,
// that is an error, and what was handed over is lost once the bag is closed: the next
// Counter begins at 0, with connections that are accepted after its Attach.
func TakeCounter(st CounterState, b *handover.Bag) (*Counter, error) {
	if st.Layout != layout {
		return nil, fmt.Errorf("go on to count requests: the running program has layout %d, and this version reads layout %d", st.Layout, layout)
	}
	t := taker{bag: b}
	c := &Counter{
		incoming: incoming{
			Requests: t.program(st.Requests), Conns: t.mapOf(st.Conns), Totals: t.mapOf(st.Totals), Disown: t.program(st.Disown),
		},
		jump:    t.mapOf(st.Jump),
		slots:   st.Slots,
		object:  st.Object,
		sources: map[int]*Source{},
	}
	if st.Object == object() {
		c.incoming.Seats, c.incoming.Ports = t.mapOf(st.Seats), t.mapOf(st.Ports) // for WatchReplies, which others' programs may not have
	}
	if r := st.Replies; r != nil {
		c.outgoing = &outgoing{Sent: t.program(r.Sent), Answers: t.mapOf(r.Answers), Latency: t.mapOf(r.Latency), link: t.link(r.Link)}
	}
	if t.err == nil {
		t.err = c.compatible()
	}
	if t.err != nil {
		return nil, errors.Join(fmt.Errorf("go on to count requests: %w", t.err), c.Close())
	}
	for slot, s := range st.Sources {
		c.Source(slot).window = s.Window
	}
	return c, nil
}

// compatible checks that the maps are as this version reads them.
func (c *Counter) compatible() error {
	spec, err := specFor(c.slots)
	if err != nil {
		return err
	}
	err = spec.Maps[requestsMapTotals].Compatible(c.incoming.Totals)
	if c.outgoing != nil {
		err = errors.Join(err,
			spec.Maps[requestsMapAnswersOf].Compatible(c.outgoing.Answers),
			spec.Maps[requestsMapLatency].Compatible(c.outgoing.Latency))
	}
	return err
}

// taker takes descriptors out of a bag until one fails.
type taker struct {
	bag *handover.Bag
	err error
}

func (t *taker) mapOf(fd int) *ebpf.Map { return take(t, fd, ebpf.NewMapFromFD) }

func (t *taker) program(fd int) *ebpf.Program { return take(t, fd, ebpf.NewProgramFromFD) }

func (t *taker) link(fd int) link.Link { return take(t, fd, link.NewFromFD) }

// take makes an object of a descriptor, which it owns then.
func take[T any](t *taker, fd int, from func(int) (T, error)) (object T) {
	if t.err != nil {
		return object
	}
	if fd, t.err = t.bag.Take(fd); t.err != nil {
		return object
	}
	object, t.err = from(fd)
	return object
}
