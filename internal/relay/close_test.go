package relay

import (
	"errors"
	"testing"
	"time"
)

// A request that an instance took to its grave looks for another instance. If
// Close comes just then, the search may notice that before its pair is ended,
// and must not go on: Close waits for it.
func TestSearchEndsWithTheRelay(t *testing.T) {
	r := New(Options{Limits: Limits{Hold: time.Hour}})
	p := &pair{relay: r, home: &slot{}}
	r.Close()
	found := make(chan error, 1)
	go func() {
		_, err := p.connect()
		found <- err
	}()
	select {
	case err := <-found:
		if !errors.Is(err, errEnded) {
			t.Errorf("the search ended with %v, want %v", err, errEnded)
		}
	case <-time.After(10 * time.Second):
		t.Error("the search goes on in a closed relay")
	}
}
