package traffic

import (
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What many goroutines count at once adds up exactly, and at no time does a
// reading say something impossible.
func TestTotalsAreExact(t *testing.T) {
	const workers, rounds = 16, 500
	var c Counters
	over := make(chan struct{})
	var reader, counting sync.WaitGroup
	reader.Go(func() {
		var before Totals
		for {
			got := c.Totals()
			// Figures of one reading may be apart, but a difference of two must
			// not wrap around.
			if got.ConnsOpen > got.ConnsTotal || got.InFlight < 0 || got.InFlight > workers {
				t.Errorf("%d of %d connections open, %d requests in flight of %d clients", got.ConnsOpen, got.ConnsTotal, got.InFlight, workers)
				return
			}
			if got.Requests < before.Requests || got.ConnsTotal < before.ConnsTotal || got.BytesIn < before.BytesIn {
				t.Errorf("a total went down: %+v after %+v", got, before)
				return
			}
			before = got
			c.Recent()
			select {
			case <-over:
				return
			default:
			}
		}
	})
	for w := range workers {
		counting.Go(func() {
			for i := range rounds {
				c.ConnOpened()
				c.RequestStarted()
				c.AddBytes(3, 0)
				c.AddBytes(0, 5)
				if i%10 == 9 {
					c.RequestAborted()
				} else {
					c.RequestDone(100*(1+(w+i)%5)+i%10, time.Millisecond)
				}
				if i%100 == 0 {
					c.ConnUnparsed()
				}
				c.ConnClosed()
			}
		})
	}
	counting.Wait()
	close(over)
	reader.Wait()

	got := c.Totals()
	var classes uint64
	for _, n := range got.Classes {
		classes += n
	}
	if classes != got.Requests {
		t.Errorf("the classes add up to %d, of %d requests", classes, got.Requests)
	}
	got.Classes = [5]uint64{}
	want := Totals{
		ConnsTotal: workers * rounds,
		Requests:   workers * rounds * 9 / 10,
		Unparsed:   workers * rounds / 100,
		BytesIn:    3 * workers * rounds,
		BytesOut:   5 * workers * rounds,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestClassOfStatus(t *testing.T) {
	tests := []struct {
		status int
		want   [5]uint64
	}{
		{100, [5]uint64{1, 0, 0, 0, 0}},
		{199, [5]uint64{1, 0, 0, 0, 0}},
		{200, [5]uint64{0, 1, 0, 0, 0}},
		{299, [5]uint64{0, 1, 0, 0, 0}},
		{304, [5]uint64{0, 0, 1, 0, 0}},
		{404, [5]uint64{0, 0, 0, 1, 0}},
		{500, [5]uint64{0, 0, 0, 0, 1}},
		{599, [5]uint64{0, 0, 0, 0, 1}},
		// Servers say such things; the request counts all the same.
		{600, [5]uint64{}},
		{999, [5]uint64{}},
	}
	for _, tt := range tests {
		var c Counters
		c.RequestStarted()
		c.RequestDone(tt.status, time.Millisecond)
		if got := c.Totals(); got.Classes != tt.want || got.Requests != 1 || got.InFlight != 0 {
			t.Errorf("status %d: %+v, want one request of classes %v", tt.status, got, tt.want)
		}
	}
}

// The zero value says nothing rather than zeros where there is nothing to say.
func TestZeroCounters(t *testing.T) {
	var c Counters
	if got := c.Totals(); got != (Totals{}) {
		t.Errorf("totals of nothing: %+v", got)
	}
	if p, ok := c.Recent().Percentiles(); ok {
		t.Errorf("latency of nothing: %+v", p)
	}
	c.AddBytes(0, 0)
	c.AddBytes(-1, -1)
	if got := c.Totals(); got != (Totals{}) {
		t.Errorf("totals after no bytes: %+v", got)
	}
}

// Counting costs no garbage: it happens once for each request.
func TestCountingAllocatesNothing(t *testing.T) {
	var c Counters
	count := func() {
		c.ConnOpened()
		c.RequestStarted()
		c.AddBytes(100, 200)
		c.RequestDone(200, time.Millisecond)
		c.ConnClosed()
	}
	count() // makes the histograms
	if n := testing.AllocsPerRun(1000, count); n != 0 {
		t.Errorf("%v allocations for each request, want none", n)
	}
}

func BenchmarkRequestDone(b *testing.B) {
	var c Counters
	b.ReportAllocs()
	for b.Loop() {
		c.RequestStarted()
		c.RequestDone(200, time.Millisecond)
	}
}

func BenchmarkRecent(b *testing.B) {
	var c Counters
	c.RequestDone(200, time.Millisecond)
	b.ReportAllocs()
	for b.Loop() {
		c.Recent()
	}
}
