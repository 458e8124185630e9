package traffic

import (
	"math"
	"slices"
	"testing"
	"time"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return noon.Add(time.Duration(seconds * float64(time.Second))) }

type read struct {
	at    float64 // seconds
	total uint64
}

func TestRate(t *testing.T) {
	tests := []struct {
		name  string
		reads []read
		now   read
		want  float64
	}{
		{"one reading", []read{{0, 100}}, read{1, 150}, 50},
		{"only the last second counts", []read{{0, 0}, {1, 1000}, {2, 1000}}, read{3, 1007}, 7},
		{"just read: over the second before", []read{{0, 0}, {1, 10}, {2, 30}}, read{2, 30}, 20},
		{"between readings: at least a second back", []read{{0, 0}, {1, 10}, {2, 30}}, read{2.5, 40}, 20},
		{"late", []read{{0, 0}, {1, 10}}, read{5, 30}, 5},
		{"younger than the window", []read{{0, 0}}, read{0.5, 10}, 20},
		{"nothing happens", []read{{0, 7}, {1, 7}, {2, 7}}, read{3, 7}, 0},
		{"no time has passed", []read{{0, 7}}, read{0, 9}, 0},
		{"the clock went back", []read{{10, 7}}, read{9, 9}, 0},
		{"the total began anew", []read{{0, 100}}, read{1, 3}, 0},
		{"above 2^53", []read{{0, 1 << 60}}, read{1, 1<<60 + 1}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var m Meter
			for _, r := range tt.reads {
				m.Read(at(r.at), r.total)
			}
			got, ok := m.Rate(at(tt.now.at), tt.now.total, time.Second)
			if !ok || math.Abs(got-tt.want) > 1e-9 {
				t.Errorf("%v per second (known: %v), want %v", got, ok, tt.want)
			}
		})
	}
}

func TestRateOverALongerWindow(t *testing.T) {
	var m Meter
	for i := range 60 {
		m.Read(at(float64(i)), uint64(i*i))
	}
	// From the reading at 49 s to 59 s.
	if got, _ := m.Rate(at(59), 59*59, 10*time.Second); got != (59*59-49*49)/10.0 {
		t.Errorf("%v per second", got)
	}
	// More than is remembered: over all there is.
	if got, _ := m.Rate(at(59), 59*59, time.Hour); got != 59 {
		t.Errorf("%v per second over everything, want 59", got)
	}
}

func TestNothingIsKnownBeforeTheFirstReading(t *testing.T) {
	var m Meter
	if got, ok := m.Rate(noon, 5, time.Second); ok {
		t.Errorf("%v per second", got)
	}
	if got := m.History(); len(got) != 0 {
		t.Errorf("history of nothing: %v", got)
	}
	m.Read(noon, 5)
	if got := m.History(); len(got) != 0 {
		t.Errorf("history of one reading: %v", got)
	}
}

func TestHistoryIsOldestFirst(t *testing.T) {
	var m Meter
	for _, r := range []read{{0, 0}, {1, 10}, {2, 10}, {4, 50}} {
		m.Read(at(r.at), r.total)
	}
	if got, want := m.History(), []float64{10, 0, 20}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// Nothing is said of what cannot be a rate, and what is true stays.
func TestHistorySkipsWhatMakesNoSense(t *testing.T) {
	var m Meter
	for _, r := range []read{{0, 0}, {1, 10}, {1, 20}, {2, 5}, {3, 6}} {
		m.Read(at(r.at), r.total)
	}
	if got, want := m.History(), []float64{10, 1}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// However long a cluster runs, the last 120 seconds are what is remembered.
func TestHistoryIsBounded(t *testing.T) {
	var m Meter
	var total uint64
	for i := range 1000 {
		total += uint64(i)
		m.Read(at(float64(i)), total)
		got := m.History()
		if want := min(i, 120); len(got) != want {
			t.Fatalf("%d rates after %d readings, want %d", len(got), i+1, want)
		}
		for j, rate := range got {
			if want := float64(i - len(got) + 1 + j); rate != want {
				t.Fatalf("after %d readings, rate %d of the history is %v, want %v", i+1, j, rate, want)
			}
		}
	}
	if n := testing.AllocsPerRun(100, func() { m.Read(at(1000), total) }); n != 0 {
		t.Errorf("a reading allocates %v times", n)
	}
}
