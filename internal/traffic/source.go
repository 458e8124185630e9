package traffic

// Source tells what one slot has served. Its methods may be called by any
// goroutine; none blocks for longer than a few system calls.
type Source interface {
	Totals() Totals
	// Recent are the latencies of the requests answered within the last 30 to 60
	// seconds, Latencies those of all. Where they are not known there are none.
	Recent() Latencies
	Latencies() Latencies
}

// Totals is a reading of a Source. Each figure is exact unless it says otherwise;
// the figures of one reading may be a few nanoseconds apart.
type Totals struct {
	ConnsOpen  uint64
	ConnsTotal uint64
	InFlight   int64  // requests passed on and not yet answered
	Requests   uint64 // answered
	Classes    [5]uint64
	Unparsed   uint64 // connections that could not be followed; above 0: Requests is a lower bound
	BytesIn    uint64
	BytesOut   uint64

	Estimated bool // Requests is an estimate
	NoStatus  bool // Classes and InFlight are not known
	NoOut     bool // BytesOut is not known
	NoOpen    bool // ConnsOpen is not known

	ConnsInexact bool // ConnsTotal is a lower bound, or connections are put down to another slot
}

// Add is what two sources have counted one after the other, or side by side. What
// one of them does not know is not known of both.
func (t Totals) Add(o Totals) Totals {
	t.ConnsOpen += o.ConnsOpen
	t.ConnsTotal += o.ConnsTotal
	t.InFlight += o.InFlight
	t.Requests += o.Requests
	for i, n := range o.Classes {
		t.Classes[i] += n
	}
	t.Unparsed += o.Unparsed
	t.BytesIn += o.BytesIn
	t.BytesOut += o.BytesOut
	t.Estimated = t.Estimated || o.Estimated
	t.NoStatus = t.NoStatus || o.NoStatus
	t.NoOut = t.NoOut || o.NoOut
	t.NoOpen = t.NoOpen || o.NoOpen
	t.ConnsInexact = t.ConnsInexact || o.ConnsInexact
	return t
}

// Ledger is what a slot has served over all the sources that have counted it, one
// after the other: the total goes on when one takes over from another. It is not
// safe for concurrent use.
type Ledger struct {
	past      Totals
	latencies Latencies
}

// Close takes over what a source has counted that counts no more.
func (l *Ledger) Close(s Source) {
	t := s.Totals()
	// What it still had open it cannot say; whoever has it now may.
	t.ConnsOpen, t.InFlight, t.NoOpen = 0, 0, false
	l.past = l.past.Add(t)
	l.latencies = l.latencies.Merge(s.Latencies())
}

// Totals are those of the past and of the present source, nil if nobody counts.
func (l *Ledger) Totals(s Source) Totals {
	if s == nil {
		return l.past
	}
	return l.past.Add(s.Totals())
}

// Latencies are those of the past and of the present source.
func (l *Ledger) Latencies(s Source) Latencies {
	if s == nil {
		return l.latencies
	}
	return l.latencies.Merge(s.Latencies())
}

// LedgerState is what a Ledger has taken over.
type LedgerState struct {
	Past      Totals
	Latencies LatenciesState
}

// State is that of the past; what the present source has counted is not in it.
func (l *Ledger) State() LedgerState { return LedgerState{l.past, l.latencies.State()} }

// TakeLedger makes a Ledger that goes on from a state.
func TakeLedger(st LedgerState) *Ledger {
	return &Ledger{past: st.Past, latencies: TakeLatencies(st.Latencies)}
}
