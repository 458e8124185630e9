package proc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"clusterd/internal/config"
	"clusterd/internal/port"
)

// Applied is what came of applying the config file.
type Applied struct {
	Changes []string `json:"changes"` // one sentence each; none: all runs as the file says
	Error   string   `json:"error"`   // what could not be done, one line each; "": all was
	Mistake bool     `json:"mistake"` // the file is wrong, and nothing was done
}

// Report is Apply, with the outcome in words.
func (c *Cluster) Report(ctx context.Context) Applied {
	changes, err := c.Apply(ctx)
	a := Applied{Changes: changes}
	if err != nil {
		a.Error = err.Error()
		_, a.Mistake = errors.AsType[*config.Errors](err)
	}
	return a
}

// BusyError says that something else that is under way has to end first.
type BusyError struct{ Reason string }

func (e *BusyError) Error() string {
	return "cannot apply: " + e.Reason + "; nothing has been changed"
}

// applying is an application of a new config under way.
type applying struct {
	config *config.Config
	later  []func(*operation) // what waits for what has been begun before
}

// Apply reads the config file again and makes the cluster run as it says,
// touching only what differs. It blocks until that is done, cannot be done, or
// ctx ends (which takes nothing back). The changes are told also where there is an
// error, which is a *config.Errors or a *BusyError when nothing has been changed.
func (c *Cluster) Apply(ctx context.Context) (changes []string, err error) {
	cfg, err := config.Load(c.path)
	if err != nil {
		return nil, err
	}
	if err := c.preflightOf(cfg); err != nil {
		return nil, fmt.Errorf("nothing has been changed: %w", err)
	}
	told, reply := make(chan []string, 1), make(chan error, 1)
	outcome, err := ask(ctx, c, applyMsg{cfg, told, reply}, reply)
	select {
	case changes = <-told:
	default:
	}
	return changes, cmp.Or(err, outcome)
}

// preflightOf looks for what would keep apps of a config from being started.
func (c *Cluster) preflightOf(cfg *config.Config) error {
	var errs []error
	for _, a := range cfg.Apps {
		if a.Port != 0 {
			if p := PlanOf(a, c.os.machine()); p.Err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", a.Name, p.Err))
			}
		}
		if a.Instances > 0 && a.Autostart {
			if err := cmp.Or(startable(a, os.Environ()), Limitable(a)); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", a.Name, err))
			}
		}
	}
	return errors.Join(errs...)
}

// running is the config by which the cluster runs.
func (c *Cluster) running() *config.Config {
	now := *c.config
	now.Apps = nil
	for _, a := range c.apps {
		if !a.removing {
			now.Apps = append(now.Apps, a.config)
		}
	}
	return &now
}

// onApply begins to make the cluster run by another config: all of it, or nothing.
func (c *Cluster) onApply(m applyMsg) {
	d := config.Diff(c.running(), m.config)
	if err := c.applicable(d); err != nil {
		m.reply <- err
		return
	}
	err := c.canMove(d, m.config)
	if err == nil {
		err = c.moveMetrics(m.config) // the last that can fail
	}
	if err != nil {
		go func() { m.reply <- fmt.Errorf("cannot apply: %w; nothing has been changed", port.FindHolders(err)) }()
		return
	}
	op := &operation{verb: verbApply, asks: context.Background(), reply: m.reply, applying: &applying{config: m.config}}
	changes := c.beginApply(op, d)
	for _, text := range changes {
		c.event("", text)
	}
	m.told <- changes
	c.operations = append(c.operations, op)
}

// applicable says why a difference cannot be applied now.
func (c *Cluster) applicable(d config.Difference) error {
	if c.stopping {
		return errors.New("cannot apply: the cluster is stopping")
	}
	for _, op := range c.operations {
		if op.applying != nil {
			return &BusyError{"the file is being applied already"}
		}
	}
	touched := slices.Clone(d.Removed)
	for _, ch := range d.Changed {
		if ch.Effect > config.EffectLive {
			touched = append(touched, ch.App)
		}
	}
	for _, a := range c.apps {
		switch {
		case a.removing && slices.Contains(d.Added, a.config.Name):
			return &BusyError{fmt.Sprintf("%s is still being removed", a.config.Name)}
		case !slices.Contains(touched, a.config.Name):
		case a.reload != nil:
			return &BusyError{fmt.Sprintf("%s is being reloaded (%d of %d done)", a.config.Name, a.reload.done, a.reload.total)}
		case a.shrinking():
			return &BusyError{fmt.Sprintf("instances of %s are being removed", a.config.Name)}
		case a.next != nil:
			return &BusyError{fmt.Sprintf("%s is changing its way onto its port", a.config.Name)}
		}
	}
	return nil
}

// canMove says why an app cannot have the port that it does not have yet. Ports
// that the cluster itself has are left out: they may be free by then, or are for sure
// where the metrics move.
func (c *Cluster) canMove(d config.Difference, to *config.Config) error {
	names := slices.Clone(d.Added)
	for _, ch := range d.Changed {
		if slices.Contains(ch.Keys, "port") {
			names = append(names, ch.App)
		}
	}
	_, vacated := splitAddress(c.config.Metrics)
	if to.Metrics == c.config.Metrics {
		vacated = 0
	}
	for _, name := range names {
		cfg := to.App(name)
		if cfg.Port == 0 || cfg.Port == vacated || slices.ContainsFunc(c.apps, func(a *app) bool { return a.open && a.held == cfg.Port }) {
			continue
		}
		addr := net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port))
		l, err := net.Listen("tcp", addr)
		if errors.Is(err, unix.EADDRINUSE) {
			at, _ := netip.ParseAddr(cfg.Host) // no address is all of them
			err = &port.TakenError{Addr: netip.AddrPortFrom(at, uint16(cfg.Port))}
		}
		if err != nil {
			return &addressError{name, err}
		}
		l.Close()
	}
	return nil
}

// beginApply does all that need not wait for anything, and says what is done.
func (c *Cluster) beginApply(op *operation, d config.Difference) (changes []string) {
	to := op.applying
	var added []config.App
	say := func(format string, args ...any) { changes = append(changes, fmt.Sprintf(format, args...)) }
	for _, key := range d.Top {
		switch {
		case key != "metrics":
			say("%s changed", key)
		case to.config.Metrics == "":
			say("metrics removed; nobody can ask for them any more")
		default:
			say("metrics changed; they are at %s/metrics", to.config.Metrics)
		}
	}
	for _, name := range d.Removed {
		say("%s: removed", name)
		c.remove(op, c.app(name))
	}
	for _, ch := range d.Changed {
		a, cfg := c.app(ch.App), *to.config.App(ch.App)
		say("%s: %s", ch.App, describe(ch, a.config, cfg))
		if becomesAnother(a.config, cfg) {
			c.remove(op, a)
			added = append(added, cfg)
		} else {
			c.change(op, a, cfg, ch.Effect)
		}
	}
	for _, name := range d.Added {
		cfg := *to.config.App(name)
		say("%s: added, %s", name, instances(cfg.Instances))
		added = append(added, cfg)
	}
	if added != nil {
		to.later = append(to.later, func(op *operation) { c.addApps(op, added) })
	}
	c.config = to.config
	c.watchConfig()
	return changes
}

// describe says what is done about a change: "env changed; replacing 4 instances".
func describe(ch config.Change, old, new config.App) string {
	keys := strings.Join(ch.Keys, ", ") + " changed"
	switch {
	case becomesAnother(old, new):
		return keys + "; removed, and added anew"
	case ch.Effect == config.EffectRestart:
		return fmt.Sprintf("%s; restarting %s", keys, instances(new.Instances))
	case ch.Effect == config.EffectReload:
		return fmt.Sprintf("%s; replacing %s", keys, instances(min(old.Instances, new.Instances)))
	case ch.Effect == config.EffectScale:
		return fmt.Sprintf("%s; going from %d to %d", keys, old.Instances, new.Instances)
	}
	return keys + "; no process is touched"
}

func instances(n int) string {
	if n == 1 {
		return "1 instance"
	}
	return fmt.Sprintf("%d instances", n)
}

// becomesAnother tells whether an app has become something else altogether, although
// it has kept its name: a worker that was a server, or one that runs by a schedule.
func becomesAnother(old, new config.App) bool {
	return (old.Port == 0) != (new.Port == 0) || old.Schedule.Set() != new.Schedule.Set()
}

// change begins to make one app what its new config says.
func (c *Cluster) change(op *operation, a *app, cfg config.App, effect config.Effect) {
	later := func(f func(*operation)) { op.applying.later = append(op.applying.later, f) }
	old := a.config
	c.reconfigure(a, cfg)
	if old.Instances != cfg.Instances && cfg.Instances < a.wanted {
		c.scale(op, a, cfg.Instances)
	}
	switch effect {
	case config.EffectRestart:
		plan := PlanOf(cfg, c.os.machine())
		next := choose(cfg, plan, c.private, c.kernel, a.log)
		a.next = &next
		for _, inst := range a.toRenew() {
			c.interrupt(inst, "restarted")
			op.pending = append(op.pending, pending{inst, inst.run})
			c.renew(inst)
		}
	case config.EffectReload:
		later(func(op *operation) { c.reloadInto(op, a, old) })
	}
	if old.Instances != cfg.Instances && cfg.Instances > a.wanted {
		later(func(op *operation) { c.scale(op, a, cfg.Instances) })
	}
}

// reloadInto replaces the processes of an app by those of its new config. When
// the first of them is no good, the old config holds again.
func (c *Cluster) reloadInto(op *operation, a *app, old config.App) {
	insts := a.toRenew()
	if len(insts) == 0 {
		return
	}
	l, err := c.beginReload(a, insts)
	if err != nil {
		c.reconfigure(a, old.WithInstances(a.config.Instances))
		op.failed = append(op.failed, err)
		return
	}
	l.undo = func() {
		c.reconfigure(a, old.WithInstances(a.config.Instances))
		c.event(a.config.Name, "goes on as it was")
	}
	op.reloads = append(op.reloads, l)
}

// toRenew are the instances that a new config concerns: not those that have been
// stopped, nor those on their way out, nor those that wait for their next time.
func (a *app) toRenew() []*instance {
	var out []*instance
	for _, inst := range a.instances {
		stopped := inst.state == StateStopped || inst.state == StateStopping && !inst.again && (inst.run == nil || inst.run.fault == "")
		if !inst.surplus && !inst.unwanted && !stopped && !inst.awaitsTime() {
			out = append(out, inst)
		}
	}
	return out
}

// reconfigure has a config hold for an app from now on, as far as that touches no
// process.
func (c *Cluster) reconfigure(a *app, cfg config.App) {
	old := a.config
	a.config, a.policy = cfg, policyOf(cfg)
	ch := config.DiffApps(old, cfg)
	if slices.Contains(ch, "log") {
		c.keepLog(cfg)
	}
	if slices.Contains(ch, "watch") || slices.Contains(ch, "cwd") || slices.Contains(ch, "log") {
		c.watchFiles(a)
	}
	if slices.Contains(ch, "schedule") {
		a.reschedule(time.Now())
	}
}

// remove begins to end an app for good.
func (c *Cluster) remove(op *operation, a *app) {
	a.removing = true
	if a.watching != nil {
		a.watching.end()
		a.watching = nil
	}
	c.scale(op, a, 0)
	op.removals = append(op.removals, a)
}

// dropRemoved forgets the apps of which nothing is left.
func (c *Cluster) dropRemoved() {
	if !slices.ContainsFunc(c.apps, func(a *app) bool { return a.removing }) {
		return
	}
	c.apps = slices.DeleteFunc(c.apps, func(a *app) bool {
		if !a.removing || len(a.instances) > 0 || a.open {
			return false
		}
		a.removed = true
		if f := c.journal.keepIn(a.config.Name, nil); f != nil {
			f.close()
		}
		return true
	})
}

// addApps adds apps, and starts those that are to start by themselves.
func (c *Cluster) addApps(op *operation, added []config.App) {
	for _, cfg := range added {
		c.apps = append(c.apps, c.newApp(cfg))
	}
	order := func(a *app) int {
		return slices.IndexFunc(c.config.Apps, func(cfg config.App) bool { return cfg.Name == a.config.Name })
	}
	slices.SortStableFunc(c.apps, func(a, b *app) int { return cmp.Compare(order(a), order(b)) })
	for _, a := range c.inOrder() {
		if !slices.ContainsFunc(added, func(cfg config.App) bool { return cfg.Name == a.config.Name }) {
			continue
		}
		for _, inst := range c.launchApp(a) {
			op.pending = append(op.pending, pending{inst, nil})
		}
	}
}

// goOn does what has waited for the first part of an operation. It is false when
// there is nothing more.
func (op *operation) goOn() bool {
	if op.applying == nil || len(op.applying.later) == 0 {
		return false
	}
	later := op.applying.later
	op.applying.later = nil
	for _, f := range later {
		f(op)
	}
	return true
}
