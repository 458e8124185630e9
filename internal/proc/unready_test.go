package proc

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A moment in which instances do not accept connections is not worth a word; what
// lasts is, once.
func TestOnlyWhatLastsIsUnready(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s stall
		pass := func(d time.Duration) {
			time.Sleep(d)
			synctest.Wait()
		}
		f := newFake(t, nil, worker("a", 2))
		f.apps[0].way.way = &s
		f.run(false)
		begun := len(f.events())
		for range 10 { // whenever it is looked
			s.begin()
			pass(noticeable - time.Millisecond)
			s.end()
			pass(70 * time.Millisecond)
		}
		if got := f.events()[begun:]; len(got) > 0 {
			t.Errorf("moments are told of: %q", got)
		}
		s.begin()
		pass(2 * noticeable)
		f.is("a/0", StateReady, "")
		f.is("a/1", StateUnready, notAccepting)
		pass(time.Minute)
		s.end()
		pass(2 * tick)
		f.is("a/1", StateReady, "")
		var got []string
		for _, e := range f.events()[begun:] {
			_, text, _ := strings.Cut(e, " ")
			got = append(got, text)
		}
		if want := []string{
			"a/1 unready: it does not accept connections; others get its connections",
			"a/1 ready again: accepts connections again",
		}; !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	})
}

// stall is a way on which slot 1 does not accept connections at times.
type stall struct {
	noPort
	mu    sync.Mutex
	since time.Time // zero: it does
}

func (s *stall) begin() { s.set(time.Now()) }
func (s *stall) end()   { s.set(time.Time{}) }

func (s *stall) set(since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.since = since
}

func (s *stall) stuck(slot int) (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.since, slot == 1 && !s.since.IsZero()
}
