package tui

import (
	"testing"

	"clusterd/internal/proc"
)

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

// While nothing but the log of a calm cluster grows, it is read at every tick and the
// cluster is looked at seldom, but for when there are new states.
func TestGrowingLogIsRead(t *testing.T) {
	c := withLogs(cluster(app("web", 3000, ready("web", 0, 7))))
	d := newDash(t, c, 100, 20, nil)
	seq := uint64(1000)
	ticks := func(n int) (looks, fresh int) {
		before := c.looks
		for range n {
			seq++
			p := c.pages["web"]
			p.Lines = append(p.Lines, lines("web/0", seq, 1)...)
			c.pages["web"] = p
			d.send(tickMsg{})
			if d.logs.next == seq {
				fresh++
			}
		}
		return c.looks - before, fresh
	}
	ticks(2 * calmAfter)
	if looks, fresh := ticks(40); looks != 10 || fresh != 40 {
		t.Errorf("in 40 ticks the cluster was looked at %d times, and the newest line was there %d times", looks, fresh)
	}
	for d.ticks%detailEvery != 0 {
		ticks(1)
	}
	c.changes++
	fallen := ready("web", 0, 7)
	fallen.State = proc.StateBackoff
	c.snap = cluster(app("web", 3000, fallen))
	if looks, _ := ticks(1); looks != 1 || d.snap.Apps[0].Instances[0].State != proc.StateBackoff {
		t.Errorf("a new state is not shown at the next tick: %d looks", looks)
	}
	if looks, _ := ticks(calmAfter - 1); looks != calmAfter-1 {
		t.Errorf("after that it is looked at %d times in %d ticks", looks, calmAfter-1)
	}
	for range 3 * detailEvery { // it writes no more
		d.send(tickMsg{})
	}
	before := len(c.asked)
	for range 40 {
		d.send(tickMsg{})
	}
	if n := len(c.asked) - before; n != 0 {
		t.Errorf("a log that does not grow is read %d times", n)
	}
}
