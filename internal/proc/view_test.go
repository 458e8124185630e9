package proc

import (
	"testing"
	"testing/synctest"
	"time"
)

// A page of the log says whether a snapshot of before still has all states.
func TestChangesOfStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := runFake(t, false, nil, worker("a", 2))
		f.after(time.Minute)
		look := func() (snapshot, page uint64) {
			s, err := f.Snapshot(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			p, err := f.Logs(t.Context(), LogQuery{})
			if err != nil {
				t.Fatal(err)
			}
			return s.Changes, p.Changes
		}
		before, paged := look()
		f.journal.append("a/0", StreamOut, "a line")
		f.after(2 * time.Minute)
		if s, p := look(); before == 0 || s != before || p != before || paged != before {
			t.Errorf("nothing changes, and it was %d, %d and is %d, %d", before, paged, s, p)
		}
		f.os.last("a/1").exit(1)
		f.after(3 * time.Minute)
		if p, _ := f.Logs(t.Context(), LogQuery{}); p.Changes == before {
			t.Errorf("a page after an exit says %d as before", p.Changes)
		}
		if s, p := look(); s != p {
			t.Errorf("a snapshot has %d, and a page after it %d", s, p)
		}
	})
}
