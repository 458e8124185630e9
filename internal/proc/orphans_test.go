package proc

import (
	"sync"
	"sync/atomic"
	"testing"
)

// Who asks before a reading begins shares it, and nobody gets one that had begun.
func TestReadingsAreShared(t *testing.T) {
	var r readings
	a, first := r.join()
	if !first {
		t.Fatal("nobody begins the first reading")
	}
	if b, first := r.join(); first || b != a {
		t.Error("two readings wait")
	}
	r.begin(a, func() ([]int, error) {
		if b, first := r.join(); !first || b == a {
			t.Error("who asks while somebody reads gets what is being read")
		}
		return []int{7}, nil
	})
	if <-a.done; len(a.pids) != 1 || a.pids[0] != 7 {
		t.Errorf("read %v", a.pids)
	}
}

// What is read is never older than the question.
func TestReadingsAreNew(t *testing.T) {
	var r readings
	var looks atomic.Int64
	var asking sync.WaitGroup
	for range 8 {
		asking.Go(func() {
			for range 1000 {
				before := looks.Load()
				pids, _ := r.read(func() ([]int, error) { return []int{int(looks.Add(1))}, nil })
				if int64(pids[0]) <= before {
					t.Errorf("got reading %d when there had been %d", pids[0], before)
				}
			}
		})
	}
	asking.Wait()
}
