package tui

import "testing"

// A cluster that is calm is looked at once a second; one in which something happens,
// or whose dashboard gets a key, four times.
func TestCalmClusterIsLookedAtSeldom(t *testing.T) {
	c := withLogs(cluster(app("web", 3000, ready("web", 0, 7))))
	d := newDash(t, c, 100, 20, nil)
	looks := func(ticks int) int {
		before := c.looks
		for range ticks {
			d.send(tickMsg{})
		}
		return c.looks - before
	}
	looks(2 * calmAfter)
	if got := looks(40); got != 10 {
		t.Errorf("a calm cluster is looked at %d times in 40 ticks", got)
	}
	d.press("down")
	if got := looks(calmAfter - 1); got != calmAfter-1 {
		t.Errorf("after a key it is looked at %d times in %d ticks", got, calmAfter-1)
	}
	looks(2 * calmAfter)
	served := cluster(app("web", 3000, ready("web", 0, 8)))
	c.snap = served
	looks(detailEvery) // it is seen by then
	if got := looks(calmAfter - detailEvery); got != calmAfter-detailEvery {
		t.Errorf("after a request it is looked at %d times in %d ticks", got, calmAfter-detailEvery)
	}
}
