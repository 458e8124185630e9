package proc

import (
	"container/heap"
	"slices"
)

// oldest returns the first limit lines of several logs, each in order, as one
// log in order. The lines are copied, the logs stay as they are.
func oldest(logs [][]Line, limit int) []Line {
	h := &byFirst{slices.Clone(logs)}
	heap.Init(h)
	out := make([]Line, min(count(logs), limit))
	for i := range out {
		first := h.merging[0]
		if len(h.merging) == 1 {
			copy(out[i:], first)
			break
		}
		out[i] = first[0]
		if h.merging[0] = first[1:]; len(first) == 1 {
			heap.Pop(h)
		} else {
			heap.Fix(h, 0)
		}
	}
	return out
}

// newest is oldest for the last limit lines.
func newest(logs [][]Line, limit int) []Line {
	h := &byLast{slices.Clone(logs)}
	heap.Init(h)
	out := make([]Line, min(count(logs), limit))
	for i := len(out) - 1; i >= 0; i-- {
		last := h.merging[0]
		if len(h.merging) == 1 {
			copy(out, last[len(last)-1-i:])
			break
		}
		out[i] = last[len(last)-1]
		if h.merging[0] = last[:len(last)-1]; len(last) == 1 {
			heap.Pop(h)
		} else {
			heap.Fix(h, 0)
		}
	}
	return out
}

func count(logs [][]Line) (n int) {
	for _, l := range logs {
		n += len(l)
	}
	return n
}

// merging is a heap of logs without its order.
type merging [][]Line

func (m merging) Len() int      { return len(m) }
func (m merging) Swap(i, k int) { m[i], m[k] = m[k], m[i] }
func (m *merging) Push(x any)   { *m = append(*m, x.([]Line)) }
func (m *merging) Pop() any {
	last := (*m)[len(*m)-1]
	*m = (*m)[:len(*m)-1]
	return last
}

// byFirst has the log on top whose first line is the oldest.
type byFirst struct{ merging }

func (h byFirst) Less(i, k int) bool { return h.merging[i][0].Seq < h.merging[k][0].Seq }

// byLast has the log on top whose last line is the newest.
type byLast struct{ merging }

func (h byLast) Less(i, k int) bool {
	a, b := h.merging[i], h.merging[k]
	return a[len(a)-1].Seq > b[len(b)-1].Seq
}
