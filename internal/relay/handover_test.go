package relay

import (
	"fmt"
	"testing"
	"time"

	"clusterd/internal/handover"
)

// handOver replaces the relay by one that takes it over, within this process. ins are
// the live instances by slot.
func (r *rig) handOver(ins ...Instance) {
	r.t.Helper()
	b := handover.NewBag()
	late := time.AfterFunc(5*time.Second, func() { panic("something does not stop") })
	defer late.Stop()
	st, err := r.relay.HandOver(b)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := b.Pack("relay", st); err != nil {
		r.t.Fatal(err)
	}
	var taken RelayState
	if err := b.Unpack("relay", &taken); err != nil {
		r.t.Fatal(err)
	}
	next, err := Take(r.options, taken, b)
	if err != nil {
		r.t.Fatal(err)
	}
	b.Close()
	r.relay = next
	for i, c := range r.counters {
		next.AddSlot(i, nil, c)
	}
	for i, in := range ins {
		next.Admit(i, in)
	}
	next.Start()
}

// settle waits until the relay has read what it was sent, if it is going to.
func (r *rig) settle() {
	read := func() bool {
		for _, p := range r.pairs() {
			if unread(p.in.raw) > 0 {
				return false
			}
			p.mu.Lock()
			l := p.link
			p.mu.Unlock()
			if l != nil && unread(l.out.raw) > 0 {
				return false
			}
		}
		return true
	}
	for range 20 {
		if read() {
			return
		}
		time.Sleep(100 * time.Microsecond)
	}
}

// A conversation goes on through as many hand-overs as it has bytes and ends, one
// behind each, and is counted as without.
func TestHandOverBehindEachByte(t *testing.T) {
	for _, settled := range []bool{true, false} {
		for _, talk := range conversations {
			t.Run(fmt.Sprintf("%s, settled %v", talk.name, settled), func(t *testing.T) {
				t.Parallel()
				want := talk.check(t, Options{}, nil)
				got := talk.check(t, Options{}, func(r *rig, in Instance) {
					if settled {
						r.settle()
					}
					r.handOver(in)
				})
				if got != want {
					t.Errorf("counted %+v, want %+v", got, want)
				}
			})
		}
	}
}
