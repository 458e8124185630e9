package ebpf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// Replies are the totals of what a slot has sent since WatchReplies. Over HTTP/2
// only bytes are counted.
type Replies struct {
	BytesOut uint64
	Classes  [5]uint64 // final responses by status: 1xx (only 101) to 5xx
}

// outgoing is what counts replies.
type outgoing struct {
	Sent    *ebpf.Program `ebpf:"sent"`
	Answers *ebpf.Map     `ebpf:"answers_of"`
	Latency *ebpf.Map     `ebpf:"latency"`

	link link.Link
}

var errNoNetAdmin = errors.New("counting replies by eBPF needs the capability CAP_NET_ADMIN")

// WatchReplies begins to count what slots send. It takes a look at each packet that
// sockets of this process's cgroup send. Sockets
// belong to the cgroup in which their listening socket was made, whoever accepts
// them; so only those are seen that were made here or below. It needs
// CAP_NET_ADMIN as well, and comes before the first Attach. It must not be called
// while other methods run, nor again when it has succeeded.
func (c *Counter) WatchReplies() error {
	if c.outgoing != nil {
		return errors.New("watch replies: they are watched already")
	}
	if c.object != object() {
		return errors.New("watch replies: requests are counted by the program of another version")
	}
	if allowed, err := capable(unix.CAP_NET_ADMIN, unix.CAP_SYS_ADMIN); err != nil {
		return err
	} else if !allowed {
		return errNoNetAdmin
	}
	cgroup, err := ownCgroup()
	if err != nil {
		return fmt.Errorf("watch replies: %w", err)
	}
	spec, err := specFor(c.slots)
	if err != nil {
		return err
	}
	out := &outgoing{}
	if err := spec.LoadAndAssign(out, &ebpf.CollectionOptions{
		MapReplacements: map[string]*ebpf.Map{
			requestsMapConns: c.incoming.Conns, requestsMapSeats: c.incoming.Seats, requestsMapPorts: c.incoming.Ports,
		},
	}); err != nil {
		return fmt.Errorf("load the program that counts replies: %w", err)
	}
	out.link, err = link.AttachCgroup(link.CgroupOptions{Path: cgroup, Attach: ebpf.AttachCGroupInetEgress, Program: out.Sent})
	if err != nil {
		return errors.Join(fmt.Errorf("watch replies of cgroup %s: %w", cgroup, err), out.close())
	}
	c.outgoing = out
	return nil
}

// ReadReplies returns the totals of a slot, or an error if they are not watched.
func (c *Counter) ReadReplies(slot int) (Replies, error) {
	if err := c.check(slot); err != nil {
		return Replies{}, err
	}
	if c.outgoing == nil {
		return Replies{}, errors.New("read replies: they are not watched")
	}
	var perCPU []requestsAnswers
	if err := c.outgoing.Answers.Lookup(uint32(slot), &perCPU); err != nil {
		return Replies{}, fmt.Errorf("read the replies of slot %d: %w", slot, err)
	}
	var sum Replies
	for _, n := range perCPU {
		sum.BytesOut += n.BytesOut
		for i, class := range n.Classes {
			sum.Classes[i] += class
		}
	}
	return sum, nil
}

// latencySteps is LATENCIES of bpf/latency.h.
const latencySteps = 128

// Latencies is how many responses took how long, from the end of the request's
// head to the first byte of the final response: element i counts those from
// LatencyFrom(i) to LatencyFrom(i+1). Of requests that were sent before the last
// one was answered only the last is measured.
type Latencies [latencySteps]uint64

// LatencyFrom is the lower end of a step of Latencies: four steps to each
// doubling, so that none is wider than a quarter of its lower end.
func LatencyFrom(step int) time.Duration {
	if step < 8 { // 0 to 7 µs
		return time.Duration(step) * time.Microsecond
	}
	return time.Duration(4+step%4) << (step/4 - 1) * time.Microsecond
}

// ReadLatencies returns the totals of a slot since WatchReplies.
func (c *Counter) ReadLatencies(slot int) (n Latencies, err error) {
	if err := c.check(slot); err != nil {
		return n, err
	}
	if c.outgoing == nil {
		return n, errors.New("read latencies: replies are not watched")
	}
	for step := range n {
		if err := c.outgoing.Latency.Lookup(uint32(slot*latencySteps+step), &n[step]); err != nil {
			return n, fmt.Errorf("read the latencies of slot %d: %w", slot, err)
		}
	}
	return n, nil
}

// latenciesBelow are those of the first n slots, read at once, which is some hundred
// times as fast; none if replies are not watched.
func (c *Counter) latenciesBelow(n int) ([]Latencies, error) {
	if c.outgoing == nil || n == 0 {
		return nil, nil
	}
	keys, values := make([]uint32, n*latencySteps), make([]uint64, n*latencySteps)
	var from ebpf.MapBatchCursor
	if _, err := c.outgoing.Latency.BatchLookup(&from, keys, values, nil); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil, fmt.Errorf("read the latencies of %d slots: %w", n, err) // that there are no more is none
	}
	out := make([]Latencies, n)
	for i, key := range keys {
		out[key/latencySteps][key%latencySteps] = values[i]
	}
	return out, nil
}

func (o *outgoing) close() error {
	var err error
	if o.link != nil {
		err = o.link.Close()
	}
	return errors.Join(err, o.Sent.Close(), o.Answers.Close(), o.Latency.Close())
}

// ownCgroup is the folder of this process's cgroup of version 2 (cgroups(7)).
func ownCgroup() (string, error) {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	return cgroupFolder(string(own), string(mounts))
}

// cgroupFolder finds the folder in what /proc/PID/cgroup and mountinfo say.
func cgroupFolder(own, mounts string) (string, error) {
	for line := range strings.Lines(own) {
		path, found := strings.CutPrefix(strings.TrimSpace(line), "0::")
		if !found {
			continue
		}
		for mount := range strings.Lines(mounts) {
			// 30 23 0:26 /root /where options … - cgroup2 …
			where, kind, _ := strings.Cut(mount, " - ")
			fields := strings.Fields(where)
			if !strings.HasPrefix(kind, "cgroup2 ") || len(fields) < 5 {
				continue
			}
			below, err := filepath.Rel(fields[3], path)
			if err == nil && below != ".." && !strings.HasPrefix(below, "../") {
				return filepath.Join(fields[4], below), nil
			}
		}
	}
	return "", errors.New("no cgroup of version 2 is mounted that this process is in")
}
