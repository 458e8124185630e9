package tui

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"clusterd/internal/figure"
	"clusterd/internal/proc"
)

// byUrgency are the states other than ready, the one that needs a look most
// first.
var byUrgency = []proc.State{
	proc.StateFailed, proc.StateBackoff, proc.StateUnready, proc.StateStarting,
	proc.StateWaiting, proc.StateStopping, proc.StateStopped,
}

// part is a piece of the header; the least important ones give way first.
type part struct {
	text   string
	style  style
	weight int
}

// renderHeader is the first line: how the whole cluster is.
func (m *model) renderHeader(w int) string {
	if m.snap == nil {
		return m.theme.paint(strong, " clusterd")
	}
	left := []part{{m.theme.line(m.snap.Name), strong, 9}}
	if m.lost != nil {
		age := m.now().Sub(m.snapAt).Seconds()
		left = append(left, part{"no answer for " + figure.Span(age), bad, 8})
	} else if m.snap.Stopping {
		left = append(left, part{"stopping", warning, 8})
	}

	ready, wanted := 0, 0
	counts := map[proc.State]int{}
	var total *float64
	mark := ""
	for i := range m.snap.Apps {
		a := &m.snap.Apps[i]
		ready += a.Ready
		wanted += a.Awaited()
		for k := range a.Instances {
			if s := a.Instances[k].State; s != proc.StateReady {
				counts[s]++
			}
		}
		if a.RequestsPerS != nil {
			if mark != m.theme.about {
				mark = cmp.Or(m.theme.mark(a.RequestsKind), mark)
			}
			sum := *a.RequestsPerS
			if total != nil {
				sum += *total
			}
			total = &sum
		}
	}
	weight := 5
	for _, s := range byUrgency {
		if n := counts[s]; n > 0 {
			left = append(left, part{fmt.Sprintf("%s %d %s", m.theme.state(s), n, s), stateStyles[s], weight})
			weight = min(weight, 4) - 1
		}
	}
	health := good
	if ready < wanted {
		health = warning
	}
	left = append(left, part{fmt.Sprintf("%d/%d ready", ready, wanted), health, 7},
		part{figure.Plural(len(m.snap.Apps), "app"), plain, 1},
		part{"up " + figure.Span(m.snap.Uptime), plain, 2})
	right := part{m.theme.rate(total, mark) + " req/s", strong, 6}
	return m.flow(left, right, w)
}

// flow sets parts from the left and one at the right end into w cells.
func (m *model) flow(left []part, right part, w int) string {
	const gap = 2
	need := func() int {
		n := 1 + width(right.text) + 1
		for _, p := range left {
			n += width(p.text) + gap
		}
		return n
	}
	for len(left) > 1 && need() > w {
		least := 0
		for i := range left {
			if left[i].weight <= left[least].weight {
				least = i
			}
		}
		left = slices.Delete(left, least, least+1)
	}
	if over := need() - w; over > 0 {
		left[0].text = m.theme.cut(left[0].text, width(left[0].text)-over)
	}
	var b strings.Builder
	used := 1
	b.WriteString(" ")
	for _, p := range left {
		s := p.style
		if m.lost != nil && s != bad {
			s = faint
		}
		b.WriteString(m.theme.paint(s, p.text))
		b.WriteString(spaces(gap))
		used += width(p.text) + gap
	}
	b.WriteString(spaces(w - used - width(right.text) - 1))
	if m.lost != nil {
		right.style = faint
	}
	b.WriteString(m.theme.paint(right.style, right.text))
	return b.String()
}
