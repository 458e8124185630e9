package proc

import (
	"testing"

	"clusterd/internal/traffic"
)

// Slots that were removed are counted on where they were, also if they come back after
// the way has been taken over.
func TestCountersOfSlotsThatComeBack(t *testing.T) {
	a := &app{}
	add := func(w *relayWay, slot int) {
		t.Helper()
		if slot == len(a.counters) {
			a.counters = append(a.counters, &traffic.Counters{})
		}
		if err := w.addSlot(slot, a.counters[slot]); err != nil {
			t.Fatal(err)
		}
	}
	w := &relayWay{}
	for slot := range 4 {
		add(w, slot)
	}
	w.removeSlot(3)
	w.removeSlot(2)

	w = &relayWay{}
	if err := w.takeOver(wayState{}, a, nil); err != nil {
		t.Fatal(err)
	}
	for slot := 2; slot < 5; slot++ {
		add(w, slot)
	}
	for slot, want := range a.counters {
		if w.source(slot) != traffic.Source(want) {
			t.Errorf("slot %d is counted elsewhere", slot)
		}
	}
}
