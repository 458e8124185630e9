package traffic

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// carried is what of a state the next program gets.
func carried[T any](t *testing.T, st T) (got T) {
	t.Helper()
	mode, err := cbor.EncOptions{Time: cbor.TimeRFC3339Nano}.EncMode()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := mode.Marshal(st)
	if err != nil {
		t.Fatal(err)
	}
	if err := cbor.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	return got
}

// Counters that are handed over at any time, again and again, say the same as those
// that never were.
func TestCountersAreHandedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(3, 4))
		whole, parts := &Counters{}, &Counters{}
		for range 100 {
			var do func(*Counters)
			switch d := time.Duration(random.Int64N(int64(20 * time.Minute))); random.IntN(8) {
			case 0:
				do = (*Counters).ConnOpened
			case 1:
				do = (*Counters).ConnClosed
			case 2:
				do = (*Counters).RequestStarted
			case 3:
				do = (*Counters).RequestAborted
			case 4:
				do = (*Counters).ConnUnparsed
			case 5:
				do = func(c *Counters) { c.AddBytes(int(d), int(d/2)) }
			default:
				do = func(c *Counters) { c.RequestDone(100*(1+int(d)%5), d) }
			}
			do(whole)
			do(parts)
			time.Sleep(time.Duration(random.Int64N(int64(20 * time.Second))))
			if random.IntN(3) == 0 {
				st := carried(t, parts.State())
				parts = &Counters{}
				parts.Restore(st)
				continue
			}
			if got, want := parts.Totals(), whole.Totals(); got != want {
				t.Fatalf("%+v, want %+v", got, want)
			}
			if random.IntN(3) == 0 {
				if got, want := parts.Recent(), whole.Recent(); !same(got, want) {
					t.Fatalf("lately %v, want %v", got.State(), want.State())
				}
				if got, want := parts.Latencies(), whole.Latencies(); !same(got, want) {
					t.Fatalf("ever %v, want %v", got.State(), want.State())
				}
			}
		}
	})
}

func same(a, b Latencies) bool {
	pa, oka := a.Percentiles()
	pb, okb := b.Percentiles()
	return reflect.DeepEqual(a.State(), b.State()) && a.Count() == b.Count() && a.Sum() == b.Sum() && pa == pb && oka == okb
}

// What was open stays open until whoever has it says that it is over.
func TestOpenConnectionsAreHandedOver(t *testing.T) {
	before, after := &Counters{}, &Counters{}
	before.ConnOpened()
	before.RequestStarted()
	after.Restore(carried(t, before.State()))
	if got := after.Totals(); got.ConnsOpen != 1 || got.InFlight != 1 {
		t.Errorf("%+v", got)
	}
	after.RequestDone(200, time.Millisecond)
	after.ConnClosed()
	if got, want := after.Totals(), (Totals{ConnsTotal: 1, Requests: 1, Classes: [5]uint64{1: 1}}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// A source that is handed over twice is in the ledger once, and so are its marks.
func TestLedgerIsHandedOver(t *testing.T) {
	var past, present Counters
	for _, c := range []*Counters{&past, &present} {
		c.ConnUnparsed()
		c.RequestStarted()
		c.RequestDone(404, 3*time.Millisecond)
	}
	var l Ledger
	l.Close(inexact{&past})
	taken := TakeLedger(carried(t, l.State()))
	taken = TakeLedger(carried(t, taken.State()))
	for _, present := range []Source{nil, &present} {
		if got, want := taken.Totals(present), l.Totals(present); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
		if got, want := taken.Latencies(present), l.Latencies(present); !same(got, want) {
			t.Errorf("%v, want %v", got.State(), want.State())
		}
	}
	if got := taken.Totals(nil); !got.ConnsInexact || !got.Estimated || got.Unparsed != 1 {
		t.Errorf("%+v: something was exact", got)
	}
	if got := TakeLedger(carried(t, (&Ledger{}).State())); got.Totals(nil) != (Totals{}) || got.Latencies(nil).Count() != 0 {
		t.Errorf("of nothing: %+v", got)
	}
}

// inexact has all marks.
type inexact struct{ Source }

func (s inexact) Totals() Totals {
	t := s.Source.Totals()
	t.Estimated, t.NoStatus, t.NoOut, t.ConnsInexact = true, true, true, true
	return t
}

// Rates and history go on as if nothing had happened, with fewer readings than are
// remembered and with more.
func TestMeterIsHandedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var whole, parts Meter
		for i := range 300 {
			total := uint64(i * i)
			whole.Read(time.Now(), total)
			parts.Read(time.Now(), total)
			time.Sleep(900 * time.Millisecond)
			if i%7 == 0 {
				parts = TakeMeter(carried(t, parts.State()))
			}
			for _, window := range []time.Duration{time.Second, 10 * time.Second} {
				got, _ := parts.Rate(time.Now(), total+5, window)
				want, _ := whole.Rate(time.Now(), total+5, window)
				if got != want {
					t.Fatalf("after %d readings: %v per second over %v, want %v", i+1, got, window, want)
				}
			}
			if got, want := parts.History(), whole.History(); !slices.Equal(got, want) {
				t.Fatalf("after %d readings: %v, want %v", i+1, got, want)
			}
		}
	})
	m := TakeMeter(carried(t, (&Meter{}).State()))
	if rate, ok := m.Rate(noon, 1, time.Second); ok {
		t.Errorf("of no readings: %v per second", rate)
	}
}
