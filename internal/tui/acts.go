package tui

import (
	"context"
	"fmt"
	"strings"
	"time"

	"clusterd/internal/figure"
	"clusterd/internal/proc"
)

// act is something that has been asked of the cluster and is not done yet.
type act struct {
	number int // tells acts apart
	asked  proc.Action
	id     string // of the target; of a scaling, also the number
	since  time.Time
}

// notice is the outcome of an act, or why a key does nothing.
type notice struct {
	text  string
	style style
	until time.Time
}

// How long a notice stays, unless a key is pressed.
const (
	noticeFor  = 5 * time.Second
	failureFor = 30 * time.Second
)

func (m *model) say(text string) {
	m.notice = notice{m.theme.line(text), plain, m.now().Add(noticeFor)}
	m.changed()
}

func (m *model) complain(text string) {
	m.notice = notice{m.theme.line(text), bad, m.now().Add(failureFor)}
	m.changed()
}

// words of a verb.
var words = map[proc.Verb]struct{ plain, doing, done string }{
	proc.VerbStart:   {"start", "starting", "started"},
	proc.VerbStop:    {"stop", "stopping", "stopped"},
	proc.VerbRestart: {"restart", "restarting", "restarted"},
	proc.VerbReload:  {"reload", "reloading", "reloaded"},
	proc.VerbScale:   {"scale", "scaling", "scaled"},
	proc.VerbKill:    {"kill", "killing", "killed"},
}

// request does what a key asks of the selected target, says why not, or asks
// back: before anything that hits several instances at once, and before a kill.
// A reload is none of these: it goes on only as long as nobody notices.
func (m *model) request(verb proc.Verb) cmd {
	t, ok := m.target()
	if !ok {
		m.say("nothing is selected: " + m.emptyTree())
		return nil
	}
	return m.requestOf(verb, t)
}

// ask is request for one verb.
func ask(verb proc.Verb) func(*model) cmd {
	return func(m *model) cmd { return m.request(verb) }
}

// requestOf is request for any target.
func (m *model) requestOf(verb proc.Verb, t target) cmd {
	if why := m.refuse(verb, t); why != "" {
		m.say(why)
		return nil
	}
	if n := affected(verb, t); verb == proc.VerbKill || (verb == proc.VerbStop || verb == proc.VerbRestart) && n > 1 {
		m.ask = m.confirm(verb, t, n)
		m.changed()
		return nil
	}
	return m.do(verb, t.id)
}

// refuse says why a verb makes no sense for a target now, or "".
func (m *model) refuse(verb proc.Verb, t target) string {
	name := words[verb].plain
	switch {
	case m.lost != nil:
		return fmt.Sprintf("cannot %s %s: the cluster does not answer", name, t.id)
	case m.snap.Stopping:
		return fmt.Sprintf("cannot %s %s: the cluster is stopping", name, t.id)
	case len(t.instances()) == 0:
		return fmt.Sprintf("cannot %s %s: it has no instances", name, t.id)
	case affected(verb, t) > 0:
		return ""
	}
	state := string(t.instances()[0].State)
	if t.instance == nil && len(t.app.Instances) > 1 {
		state = "all " + state
	}
	if verb == proc.VerbKill {
		return fmt.Sprintf("cannot kill %s: it has no process (%s)", t.id, state)
	}
	return fmt.Sprintf("cannot %s %s: already %s", name, t.id, state)
}

// affected counts the instances of a target that a verb does something to.
func affected(verb proc.Verb, t target) int {
	n := 0
	for _, in := range t.instances() {
		switch verb {
		case proc.VerbKill:
			if in.PID != nil {
				n++
			}
		case proc.VerbStop:
			if in.PID != nil || in.State == proc.StateBackoff || in.State == proc.StateStarting || in.State == proc.StateWaiting {
				n++
			}
		case proc.VerbStart:
			if in.State != proc.StateReady && in.State != proc.StateStarting && in.State != proc.StateUnready {
				n++
			}
		default:
			n++
		}
	}
	return n
}

// do begins an act on one target.
func (m *model) do(verb proc.Verb, id string) cmd {
	return m.begin(proc.Action{Verb: verb, Targets: []string{id}}, id)
}

// begin begins an act on what id names. Its outcome comes as an actDoneMsg.
func (m *model) begin(asked proc.Action, id string) cmd {
	m.acts++
	a := act{m.acts, asked, id, m.now()}
	m.acting = append(m.acting, a)
	m.notice = notice{}
	m.changed()
	ctx, cluster := m.ctx, m.cluster
	return func() msg {
		return actDoneMsg{a, cluster.Do(ctx, asked)}
	}
}

// actDoneMsg is the outcome of an act.
type actDoneMsg struct {
	act act
	err error
}

func (m *model) onActDone(msg actDoneMsg) cmd {
	for i := range m.acting {
		if m.acting[i].number == msg.act.number {
			m.acting = append(m.acting[:i], m.acting[i+1:]...)
			break
		}
	}
	w := words[msg.act.asked.Verb]
	switch {
	case msg.err != nil && m.ctx.Err() != context.Canceled:
		text := oneLine(msg.err)
		if !strings.HasPrefix(text, "cannot ") {
			text = fmt.Sprintf("cannot %s %s: %s", w.plain, msg.act.id, text)
		}
		m.complain(text)
	case m.notice.style == bad && m.now().Before(m.notice.until): // that another act has failed is more
	default:
		m.say(fmt.Sprintf("%s %s in %.1fs", msg.act.id, w.done, m.now().Sub(msg.act.since).Seconds()))
	}
	return m.poll()
}

// oneLine joins the lines of an error, which are errors of their own.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// progress says what is being done right now, or "".
func (m *model) progress() string {
	if len(m.acting) == 0 {
		return ""
	}
	a := m.acting[0]
	s := fmt.Sprintf("%s %s%s", words[a.asked.Verb].doing, m.theme.line(a.id), m.stage(a))
	if took := m.now().Sub(a.since); took >= time.Second {
		s += " " + figure.Span(took.Seconds())
	}
	if more := len(m.acting) - 1; more > 0 {
		s += fmt.Sprintf(" (and %d more)", more)
	}
	return s
}

// stage is how far an act is: " 2/4" of what it does something to, or only that
// it goes on.
func (m *model) stage(a act) string {
	t, ok := m.targetNamed(a.id)
	if a.asked.Verb == proc.VerbScale {
		for name := range a.asked.Sizes {
			t, ok = m.targetNamed(name)
		}
	}
	if !ok {
		return m.theme.dots
	}
	done, all := 0, len(t.instances())
	switch a.asked.Verb {
	case proc.VerbReload:
		if t.app.Reload == nil {
			return m.theme.dots
		}
		done, all = t.app.Reload.Done, t.app.Reload.Total
	case proc.VerbStop:
		done = all - affected(proc.VerbStop, t)
	case proc.VerbScale:
		done, all = t.app.Ready, t.app.InstancesWanted
	default:
		for _, in := range t.instances() {
			if in.State == proc.StateReady && in.Since.After(a.since) {
				done++
			}
		}
	}
	if all < 2 {
		return m.theme.dots
	}
	return fmt.Sprintf(" %d/%d%s", done, all, m.theme.dots)
}
