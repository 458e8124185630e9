package ebpf

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"clusterd/internal/handover"
)

// takeOver does to a Counter what an upgrade does, and returns the next one, which is
// closed with the test.
func takeOver(t testing.TB, c *Counter) *Counter {
	t.Helper()
	b := handover.NewBag()
	st := handOver(t, c, b)
	if err := c.Close(); err != nil { // as execve(2) does
		t.Fatal(err)
	}
	next, err := TakeCounter(st, b)
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
	t.Cleanup(func() { next.Close() })
	return next
}

// handOver is the state that the next program gets.
func handOver(t testing.TB, c *Counter, b *handover.Bag) (carried CounterState) {
	t.Helper()
	st, err := c.HandOver(b)
	if err == nil {
		err = b.Pack("counter", st)
	}
	if err == nil {
		err = b.Unpack("counter", &carried)
	}
	if err != nil {
		t.Fatal(err)
	}
	return carried
}

// What is counted of requests and replies is what was served, however often the
// Counter is handed over meanwhile; connections are open all the time.
func TestHandOverUnderTraffic(t *testing.T) {
	c := newCounter(t, 1)
	watch(t, c)
	server := answer(t, listen(t, c, 0, "tcp", "127.0.0.1:0"))
	const workers, each = 4, 8
	var back atomic.Uint64
	var clients sync.WaitGroup
	for worker := range uint64(workers) {
		clients.Go(func() {
			r := rand.New(rand.NewPCG(worker, 7))
			for range each {
				n, err := exchange(server.addr, r, 1)
				if err != nil {
					t.Error(err)
				}
				back.Add(n)
			}
		})
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		clients.Wait()
	}()
	var before uint64
	for done := false; !done; {
		select {
		case <-over:
			done = true
		default:
		}
		c = takeOver(t, c)
		now := c.Source(0).Totals().Requests
		if now < before {
			t.Errorf("%d requests after %d", now, before)
		}
		before = now
	}
	want := Replies{BytesOut: back.Load()}
	var served uint64
	for i := range server.classes {
		want.Classes[i] = server.classes[i].Load()
		served += want.Classes[i]
	}
	if got, err := c.ReadReplies(0); err != nil || got != want {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
	}
	if got := read(t, c, 0); got.ConnsTotal != workers*each || got.Requests != served || got.Unparsed+got.Resynced != 0 {
		t.Errorf("%+v, and %d were served on %d connections", got, served, workers*each)
	}
	if n := c.Source(0).Latencies().Count(); n != served {
		t.Errorf("%d of %d responses were measured", n, served)
	}
}

// Whoever has taken a Counter does with it what its maker did, with no capability but
// CAP_BPF.
func TestTakenWithoutPrivilege(t *testing.T) {
	c := newCounter(t, 3)
	watch(t, c)
	exchangeOn := func(ln *net.TCPListener) {
		t.Helper()
		if _, err := exchange(answer(t, ln).addr, rand.New(rand.NewPCG(1, 1)), 1); err != nil {
			t.Error(err)
		}
	}
	exchangeOn(listen(t, c, 1, "tcp", "127.0.0.1:0"))
	ln := plainListener(t, "tcp", "127.0.0.1:0")
	raw, err := ln.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var taken *Counter
	err = withBPFOnly(func() error {
		b := handover.NewBag()
		st, err := c.HandOver(b)
		if err != nil {
			return err
		}
		if taken, err = TakeCounter(st, b); err != nil {
			return err
		}
		var attached error
		err = raw.Control(func(fd uintptr) { attached = taken.Attach(2, int(fd)) })
		if err := errors.Join(err, attached); err != nil {
			return err
		}
		client, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			return err
		}
		defer client.Close()
		server, err := ln.AcceptTCP()
		if err != nil {
			return err
		}
		defer server.Close()
		accepted, err := server.SyscallConn()
		if err != nil {
			return err
		}
		var disowned error
		err = accepted.Control(func(fd uintptr) { disowned = taken.Disown(2, int(fd)) })
		return errors.Join(err, disowned)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	exchangeOn(ln)
	for slot, want := range []uint64{0, 1, 1} {
		replies, err := taken.ReadReplies(slot)
		if err != nil {
			t.Fatal(err)
		}
		var answered uint64
		for _, n := range replies.Classes {
			answered += n
		}
		if got := read(t, taken, slot); got.ConnsTotal != want || got.Requests != 25*want || answered != 25*want {
			t.Errorf("slot %d: %+v and %d answers, want %d connections with 25 requests each", slot, got, answered, want)
		}
	}
}

// withBPFOnly calls do in a thread that has no other capability.
func withBPFOnly(do func() error) error {
	failed := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		const n, bit = unix.CAP_BPF / 32, 1 << (unix.CAP_BPF % 32)
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var sets [2]unix.CapUserData
		sets[n].Effective, sets[n].Permitted = bit, bit
		err := unix.Capset(&header, &sets[0])
		if err == nil {
			err = do()
		}
		failed <- err
	}()
	return <-failed
}

// What a source knows besides the maps is handed over as well, and what it had
// counted can be read where the Counter cannot go on.
func TestSourceIsHandedOver(t *testing.T) {
	c := newCounter(t, 2)
	watch(t, c)
	server := answer(t, listen(t, c, 1, "tcp", "127.0.0.1:0"))
	if _, err := exchange(server.addr, rand.New(rand.NewPCG(1, 1)), 1); err != nil {
		t.Fatal(err)
	}
	source := c.Source(1)
	source.window = window{Began: time.Now(), Now: Latencies{5: 1}, Before: Latencies{7: 2}}
	totals, latencies, began := source.Totals(), source.Latencies(), source.window.Began
	b := handover.NewBag()
	st := handOver(t, c, b)
	b.Close()
	if past := st.Past(1); past.Totals() != totals || !reflect.DeepEqual(past.Latencies().State(), latencies.State()) {
		t.Errorf("past %+v, %v", past.Totals(), past.Latencies().State())
	}
	if past := st.Past(0); past.Totals().Requests != 0 || past.Latencies().Count() != 0 {
		t.Errorf("of a slot that nobody asked for: %+v", past.Totals())
	}
	c.Source(0) // all slots are asked for: their latencies are read at once
	b = handover.NewBag()
	st = handOver(t, c, b)
	b.Close()
	if past := st.Past(1).Latencies(); !reflect.DeepEqual(past.State(), latencies.State()) || st.Past(0).Latencies().Count() != 0 {
		t.Errorf("past %v, of the other slot %v", past.State(), st.Past(0).Latencies().State())
	}
	next := takeOver(t, c).Source(1)
	if got := next.Totals(); got != totals {
		t.Errorf("%+v, want %+v", got, totals)
	}
	if w := next.window; !w.Began.Equal(began) || w.Now != (Latencies{5: 1}) || w.Before != (Latencies{7: 2}) {
		t.Errorf("%+v", w)
	}
}

// What cannot be taken is an error that says why, and nothing stays open.
func TestWhatCannotBeTaken(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*CounterState)
		want   string
	}{
		{"nothing wrong", func(*CounterState) {}, ""},
		{"other programs", func(st *CounterState) { st.Object = "other" }, ""},
		{"another layout", func(st *CounterState) { st.Layout++ }, "the running program has layout 2, and this version reads layout 1"},
		{"other maps", func(st *CounterState) { st.Totals, st.Conns = st.Conns, st.Totals }, "ValueSize"},
		{"fewer slots", func(st *CounterState) { st.Slots-- }, "MaxEntries"},
		{"a missing descriptor", func(st *CounterState) { st.Jump = 1 << 20 }, "descriptor 1048576"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := descriptors(t)
			c := newCounter(t, 2)
			watch(t, c)
			b := handover.NewBag()
			st := handOver(t, c, b)
			c.Close()
			tt.change(&st)
			next, err := TakeCounter(st, b)
			switch {
			case err == nil && tt.want == "":
				next.Close()
			case err == nil || tt.want == "" || !strings.Contains(err.Error(), tt.want):
				t.Errorf("%v, want %q", err, tt.want)
			}
			b.Close()
			if after := descriptors(t); after != before {
				t.Errorf("%d descriptors of eBPF are open, of %d before", after, before)
			}
		})
	}
}

// A program of this version does not read what one of another has noted of
// connections.
func TestRepliesOfAnotherVersion(t *testing.T) {
	c := newCounter(t, 1)
	b := handover.NewBag()
	st := handOver(t, c, b)
	st.Object = "other"
	next, err := TakeCounter(st, b)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	if err := next.WatchReplies(); err == nil || !strings.Contains(err.Error(), "another version") {
		t.Error(err)
	}
}

// descriptors are how many of eBPF this process has.
func descriptors(t *testing.T) (n int) {
	t.Helper()
	all, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range all {
		if kind, err := os.Readlink(path); err == nil && strings.Contains(kind, "bpf") {
			n++
		}
	}
	return n
}

// Programs of another version must not be taken for those of this one: whoever
// changes these makes it another layout, with a line of its own.
func TestLayout(t *testing.T) {
	described := map[int]string{
		1: "requestsCounts{Conns uint64; Requests uint64; BytesIn uint64; Unparsed uint64; Resynced uint64} " +
			"requestsAnswers{BytesOut uint64; Classes [5]uint64} " +
			"requestsDisowned{Key ebpf.requestsKey; Slot uint32} " +
			"requestsKey{Addrs [8]uint32; Ports uint32} " +
			"128 latencies, slot at 48",
	}
	var b strings.Builder
	for _, shared := range []reflect.Type{
		reflect.TypeFor[requestsCounts](), reflect.TypeFor[requestsAnswers](), reflect.TypeFor[requestsDisowned](), reflect.TypeFor[requestsKey](),
	} {
		var fields []string
		for _, f := range reflect.VisibleFields(shared) {
			if f.Name != "_" {
				fields = append(fields, fmt.Sprint(f.Name, " ", f.Type))
			}
		}
		fmt.Fprintf(&b, "%s{%s} ", shared.Name(), strings.Join(fields, "; "))
	}
	fmt.Fprintf(&b, "%d latencies, slot at %d", latencySteps, firstCB)
	if got := b.String(); got != described[layout] {
		t.Errorf("this is not layout %d:\n%s\nbut\n%s", layout, described[layout], got)
	}
}
