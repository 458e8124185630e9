package proc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"clusterd/internal/handover"
	"clusterd/internal/port"
)

// A handing is the way of a cluster to the program that replaces this one. It waits
// for a moment in which nothing is under way that cannot be carried, while all else
// goes on; then what reads from the instances is paused; and when everything read
// has been acted on, the loop packs what it knows, and is not heard of any more.
type handing struct {
	bag     *handover.Bag
	reply   chan<- error // buffered
	overdue *time.Timer
	pausing bool // runs are being paused
	paused  bool // some are: there is no way back
}

// quietFor is how long a handing waits for what is under way.
const quietFor = 30 * time.Second

// HandOver packs the cluster into b, for Take in the program that replaces this one.
// It blocks until nothing of the cluster runs any more; then only Exec is to be
// called, in this process. With an error nothing has changed: something is under
// way that does not come to its end, or the cluster has ended.
//
// Instances go on to serve; what is asked of the cluster meanwhile waits for the next
// program, in the queues of its sockets, or fails with ErrDown.
func (c *Cluster) HandOver(b *handover.Bag) error {
	reply := make(chan error, 1)
	outcome, err := ask(context.Background(), c, handOverMsg{b, reply}, reply)
	if err != nil {
		return err
	}
	return outcome
}

// Exec replaces this program by the one at path, which is handed b. It returns only
// if that could not be done.
func (c *Cluster) Exec(b *handover.Bag, path string) (err error) {
	c.starter.thread.do(func() { err = b.Exec(path) })
	return err
}

func (c *Cluster) onHandOver(m handOverMsg) {
	switch {
	case c.stopping:
		m.reply <- errors.New("the cluster is stopping")
		return
	case c.handing != nil:
		m.reply <- errors.New("another program is about to replace this one already")
		return
	}
	h := &handing{bag: m.bag, reply: m.reply}
	h.overdue = time.AfterFunc(quietFor, func() { c.post(handOverdueMsg{h}) })
	c.handing = h
}

// onHandOverdue gives a handing up, unless it has gone too far.
func (c *Cluster) onHandOverdue(m handOverdueMsg) {
	h := m.handing
	if c.handing != h || h.paused {
		return
	}
	c.handing = nil
	h.reply <- fmt.Errorf("nothing has been changed: after %s, %s", quietFor, strings.Join(c.busy(), ", "))
	for _, a := range c.apps {
		for _, inst := range a.instances {
			if inst.retry != nil {
				inst.retry.Reset(time.Until(inst.retryAt)) // it may have come meanwhile
			}
		}
	}
}

// reviewHanding goes on with a handing as far as it can.
func (c *Cluster) reviewHanding() {
	h := c.handing
	if h == nil || h.pausing {
		return
	}
	if c.stopping {
		h.overdue.Stop()
		c.handing = nil
		h.reply <- errors.New("the cluster is stopping")
		return
	}
	if len(c.busy()) > 0 {
		return
	}
	var running []*run
	for _, a := range c.apps {
		for _, inst := range a.instances {
			if inst.run != nil && !inst.run.paused {
				running = append(running, inst.run)
			}
		}
	}
	if len(running) == 0 {
		h.overdue.Stop()
		c.leave(h)
		return
	}
	h.pausing, h.paused = true, true
	for _, r := range running {
		r.unwatch() // it is asked anew by the next program
	}
	go func() {
		c.flushing.Wait()
		c.checks.Wait()
		for _, r := range running {
			r.pause(h.bag)
		}
		c.post(pausedMsg{running})
	}()
}

// onPaused: what runs had to tell is all in the loop's hands.
func (c *Cluster) onPaused(m pausedMsg) {
	for _, r := range m.runs {
		r.paused = true
	}
	c.handing.pausing = false
}

// busy says what is under way that cannot be carried.
func (c *Cluster) busy() (out []string) {
	for _, a := range c.apps {
		name := a.config.Name
		switch {
		case a.reload != nil:
			out = append(out, fmt.Sprintf("%s is being reloaded", name))
		case a.removing:
			out = append(out, fmt.Sprintf("%s is being removed", name))
		case a.next != nil || a.refused:
			out = append(out, fmt.Sprintf("%s is changing its way onto its port", name))
		}
		for _, inst := range a.instances {
			switch r := inst.run; {
			case inst.surplus:
				out = append(out, fmt.Sprintf("%s is being removed", inst.id))
			case inst.next != nil || len(inst.leaving) > 0:
				out = append(out, fmt.Sprintf("%s is being replaced", inst.id))
			case inst.unwanted:
				out = append(out, fmt.Sprintf("%s is to be stopped", inst.id))
			case r == nil:
			case r.process == nil:
				out = append(out, fmt.Sprintf("%s is being started", inst.id))
			case r.stopping || r.exited || r.leaves:
				out = append(out, fmt.Sprintf("%s is stopping", inst.id))
			}
		}
	}
	for _, op := range c.operations {
		if op.verb != VerbWait && len(out) == 0 {
			out = append(out, fmt.Sprintf("somebody is told of a %s", op.verb))
		}
	}
	return out
}

// declines answers what must not begin while the cluster is being handed over. It
// is true when m needs no more.
func (c *Cluster) declines(m message) bool {
	if c.handing == nil {
		return false
	}
	const why = "clusterd is being replaced by another version"
	switch m := m.(type) {
	case actionMsg:
		m.reply <- fmt.Errorf("cannot %s: %s; try again in a moment", m.action.Verb, why)
	case applyMsg:
		m.reply <- &BusyError{why}
	case retryMsg: // its time is known
	default:
		return false
	}
	return true
}

// pause has nothing more read from a run's processes.
func (r *run) pause(b *handover.Bag) {
	if r.notifier != nil {
		r.notifier.pause()
	}
	r.streams.stdout.pause()
	r.streams.stderr.pause()
	p, ok := r.process.(*leader)
	if ok && p.adoption != nil && r.adoption == nil {
		st, err := p.adoption.HandOver(b)
		if err != nil {
			st = port.AdoptionState{Ended: true} // its next bind or listen fails with ENOSYS
		}
		r.adoption = &st
	}
}

// leave packs everything, and has Run return: nothing happens any more until the next
// program runs.
func (c *Cluster) leave(h *handing) {
	c.endAll()
	c.left = true
	h.reply <- c.pack(h.bag)
}

// ErrHandedOver is what Run returns when the cluster has been handed over: it goes on
// in the next program.
var ErrHandedOver = errors.New("the cluster has been handed over")
