package port

import (
	"context"
	"errors"
	"slices"

	"golang.org/x/sys/unix"
)

// A cohort that is left to the kernel's hash rests, without a program and without
// sockets of clusterd's own, as long as all of its members are live: the hash
// knows no other difference. While one is not admitted yet, drains, or waits for
// its next process, the cohort is steered like any other, by a hash over those
// that are live.

// hashed says why the kernel's hash chooses at present; "": it does not.
func (c *cohort) hashed() string {
	if c.why == "" && c.hash && !c.inForce {
		return "it is left to the kernel, as the configuration has it"
	}
	return c.why
}

// rested tells whether nothing keeps the kernel's hash from choosing.
func (c *cohort) rested() bool { return c.level() && !slices.ContainsFunc(c.members, (*member).ours) }

// level tells whether there is no difference between the slots that listen.
func (c *cohort) level() bool {
	some := false
	for _, h := range c.held {
		if h.listening && (h.standing != live || h.retiring) {
			return false
		}
		some = some || h.listening
	}
	return some
}

// rest leaves the choice to the kernel's hash.
func (c *cohort) rest() error {
	if !c.inForce {
		return nil
	}
	if err := c.detach(); !errors.Is(err, unix.ENOENT) { // an application was faster
		return err
	}
	return nil
}

// wake puts a program in force that changes nothing yet, so that a socket that is
// about to listen gets no connections by that alone.
func (c *cohort) wake() error {
	if c.why != "" || !c.hash || c.inForce || len(c.members) == 0 {
		return nil
	}
	return c.follow(choose(c.held).even())
}

// untidy tells whether the cohort could rest, if it were not for sockets of
// clusterd's own.
func (c *cohort) untidy() bool { return c.why == "" && c.hash && c.level() && !c.rested() }

// idle is the index of a socket of clusterd's own in whose queue nothing waits;
// -1: there is none.
func (c *cohort) idle() int {
	return slices.IndexFunc(c.members, func(m *member) bool { return m.ours() && queueOf(m.fd) == 0 })
}

// part closes the own socket at index i, which the plan does not use. The last
// member moves into its place, and gets nothing while it does.
func (c *cohort) part(i int) error {
	p := c.plan
	last := c.members[len(c.members)-1]
	p.spread = slices.DeleteFunc(slices.Clone(p.spread), func(s share) bool { return s.to == last.slot })
	if len(p.spread) > 0 { // else who is left is the only one
		if err := c.follow(p); err != nil {
			return err
		}
	}
	c.leave(i)
	c.moved = true
	return nil
}

// tidy closes clusterd's own sockets in a cohort that could rest, one after the
// other, each when nothing can be on its way to it any more.
func (f *Front) tidy(c *cohort) {
	for f.tidyOne(c) {
	}
}

func (f *Front) tidyOne(c *cohort) (again bool) {
	f.mu.Lock()
	before := c.changes
	f.mu.Unlock()
	err := f.settle(context.Background())
	f.mu.Lock()
	defer f.mu.Unlock()
	if c.tidying = err == nil && !f.closed && c.untidy(); !c.tidying {
		return false
	}
	if i := c.idle(); i >= 0 && c.changes == before {
		err = c.part(i)
	}
	if err == nil {
		err = c.steer()
	}
	if err != nil {
		f.unsteer(c, err.Error())
	}
	c.tidying = c.untidy()
	return c.tidying
}
