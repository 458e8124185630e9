package tui

import (
	"fmt"
	"strings"

	"clusterd/internal/figure"
	"clusterd/internal/proc"
)

// question waits for an answer before something is done that hurts.
type question struct {
	title  string
	detail string
	yes    string // the word for doing it
	chosen bool   // yes is chosen; it never is at first
	then   func() cmd
}

// confirm asks before a verb that reaches n instances of a target.
func (m *model) confirm(verb proc.Verb, t target, n int) *question {
	w := words[verb]
	yes := strings.ToUpper(w.plain[:1]) + w.plain[1:]
	detail := figure.Plural(n, "instance")
	rps := t.app.RequestsPerS
	if t.instance != nil {
		detail = string(t.instance.State)
		if t.instance.PID != nil {
			detail = fmt.Sprintf("pid %d, %s", *t.instance.PID, detail)
		}
		rps = t.instance.RequestsPerS
	}
	if rps != nil && *rps > 0 {
		detail += ", " + figure.Rate(rps) + " requests per second"
	}
	switch verb {
	case proc.VerbKill:
		detail += "; SIGKILL ends what is being answered"
	case proc.VerbRestart:
		detail += ", all at once"
	}
	return &question{
		title:  fmt.Sprintf("%s %s?", yes, m.theme.line(t.id)),
		detail: detail,
		yes:    yes,
		then:   func() cmd { return m.do(verb, t.id) },
	}
}

// confirmShutdown asks before the whole cluster is stopped.
func (m *model) confirmShutdown() *question {
	apps, instances := m.size()
	name := "the cluster"
	if m.snap != nil {
		name = m.theme.line(m.snap.Name)
	}
	return &question{
		title:  "Stop " + name + " and quit?",
		detail: figure.Plural(apps, "app") + ", " + figure.Plural(instances, "instance"),
		yes:    "Stop",
		then: func() cmd {
			m.outcome = Shutdown
			return quit
		},
	}
}

// The rows and columns of a question's box that its buttons are at.
const (
	buttonRow = 4
	buttonAt  = 2
	buttonGap = 2
)

// click handles a click at a cell of the question's box.
func (m *model) clickAnswer(x, y int) cmd {
	q := m.ask
	no, yes := q.buttons(m.theme)
	from := buttonAt + width(no) + buttonGap
	switch {
	case y != buttonRow:
	case buttonAt <= x && x < from-buttonGap:
		m.ask = nil
	case from <= x && x < from+width(yes):
		m.ask = nil
		return q.then()
	}
	return nil
}

// answer handles a key while a question is open.
func (m *model) answer(key string) cmd {
	q := m.ask
	m.changed()
	switch key {
	case "y":
		m.ask = nil
		return q.then()
	case "n", "esc", "q":
		m.ask = nil
	case "tab", "shift+tab", "left", "right", "h", "l":
		q.chosen = !q.chosen
	case "enter":
		m.ask = nil
		if q.chosen {
			return q.then()
		}
	}
	return nil
}

// render draws the question as a box.
func (q *question) render(t *theme, w int) []string {
	no, yes := q.buttons(t)
	inner := max(width(q.title), width(q.detail), width(no)+buttonGap+width(yes)+len("   y / n"))
	inner = min(inner, w-6)
	line := func(s style, text string) string {
		return t.wall + " " + t.paint(s, t.fit(text, inner)) + " " + t.wall
	}
	buttons := no + spaces(buttonGap) + yes
	rest := inner - width(buttons)
	edge := strings.Repeat(t.rule, inner+2)
	return []string{
		t.corners[0] + edge + t.corners[1],
		line(dialog, q.title),
		line(plain, q.detail),
		line(plain, ""),
		t.wall + " " + buttons + t.paint(faint, t.fitRight("y / n", rest)) + " " + t.wall,
		t.corners[3] + edge + t.corners[2],
	}
}

// buttons are the two answers.
func (q *question) buttons(t *theme) (no, yes string) {
	return t.button("Cancel", !q.chosen), t.button(q.yes, q.chosen)
}

// button draws one answer; the chosen one is marked in text, too.
func (t *theme) button(text string, on bool) string {
	if on {
		return t.paint(chosen, "[ "+text+" ]")
	}
	return "  " + text + "  "
}
