package tui

import (
	"fmt"

	"clusterd/internal/figure"
	"clusterd/internal/proc"
)

// scaleBy gives the selected app, or that of the selected instance, more
// instances or fewer.
func scaleBy(by int) func(*model) cmd {
	return func(m *model) cmd {
		t, ok := m.target()
		if !ok {
			m.say("nothing is selected: " + m.emptyTree())
			return nil
		}
		return m.requestScale(t.app, m.wanted(t.app)+by*max(m.times, 1))
	}
}

// wanted is how many instances an app is to have, with what has been asked for
// and may not show yet.
func (m *model) wanted(a *proc.AppSnapshot) int {
	n := a.InstancesWanted
	for _, act := range m.acting {
		if size, ok := act.asked.Sizes[a.Name]; ok {
			n = size
		}
	}
	return n
}

// requestScale scales an app, says why not, or asks back: before more than one
// instance ends, or the last one does.
func (m *model) requestScale(a *proc.AppSnapshot, n int) cmd {
	now := m.wanted(a)
	switch {
	case m.lost != nil:
		m.say(fmt.Sprintf("cannot scale %s: the cluster does not answer", a.Name))
	case m.snap.Stopping:
		m.say(fmt.Sprintf("cannot scale %s: the cluster is stopping", a.Name))
	case n < 0:
		m.say(fmt.Sprintf("cannot scale %s: it has no instances", a.Name))
	case n == now:
		m.say(fmt.Sprintf("cannot scale %s: it has %s already", a.Name, figure.Plural(n, "instance")))
	case n < now-1 || n == 0:
		m.ask = m.confirmScale(a, now, n)
	default:
		return m.scale(a.Name, n)
	}
	return nil
}

func (m *model) scale(app string, n int) cmd {
	return m.begin(proc.Action{Verb: proc.VerbScale, Sizes: map[string]int{app: n}}, fmt.Sprintf("%s to %d", app, n))
}

// confirmScale asks before instances end for good.
func (m *model) confirmScale(a *proc.AppSnapshot, from, to int) *question {
	name := a.Name
	detail := figure.Plural(from-to, "instance") + " of " + fmt.Sprint(from) + " will end"
	if a.RequestsPerS != nil && *a.RequestsPerS > 0 {
		detail += ", " + figure.Rate(a.RequestsPerS) + " requests per second"
	}
	return &question{
		title:  fmt.Sprintf("Scale %s to %d?", m.theme.line(name), to),
		detail: detail,
		yes:    "Scale",
		then:   func() cmd { return m.scale(name, to) },
	}
}
