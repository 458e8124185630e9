package proc

import (
	"context"
	"fmt"

	"clusterd/internal/config"
	"clusterd/internal/watch"
)

// watching is the watch of one app's files.
type watching struct{ end context.CancelFunc }

// watchFiles has an app reloaded when its files change, as its config says from
// now on.
func (c *Cluster) watchFiles(a *app) {
	if a.watching != nil {
		a.watching.end()
		a.watching = nil
	}
	cfg := a.config.Watch
	if cfg.Paths == nil {
		return
	}
	ctx, cancel := context.WithCancel(c.ending)
	a.watching = &watching{cancel}
	o := watch.Options{
		Root: a.config.Cwd, Paths: cfg.Paths, Ignore: cfg.Ignore,
		Gitignore: cfg.Gitignore, Debounce: cfg.Debounce,
	}
	if a.config.Log.File != "" { // or an app would restart itself by what it says of that
		o.Ignore = append([]string{a.config.Log.File + "*"}, o.Ignore...)
	}
	c.background.Go(func() {
		c.os.watch(ctx, o, a.log, func(files []string) {
			select {
			case c.messages <- filesChangedMsg{a, files}:
			case <-ctx.Done():
			}
		})
	})
}

// endWatches ends the watches of all files.
func (c *Cluster) endWatches() {
	c.endAll()
	c.background.Wait()
}

// watchUntil calls changed for each burst of changes until ctx ends.
func watchUntil(ctx context.Context, o watch.Options, report func(string), changed func([]string)) {
	w, err := watch.New(o, report)
	if err != nil {
		report(fmt.Sprintf("cannot %v", err))
		return
	}
	defer w.Close()
	for {
		select {
		case files := <-w.Changes():
			changed(files)
		case <-ctx.Done():
			return
		}
	}
}

// onFilesChanged notes that an app is to be reloaded. A reload that waits for
// processes of the old files gives that up, unless they are the first of a new config:
// that would be given up as well.
func (c *Cluster) onFilesChanged(m filesChangedMsg) {
	a := m.app
	if c.stopping || a.watching == nil {
		return
	}
	a.changed = append(a.changed, m.files...)
	if a.reload == nil || a.reload.undo != nil {
		return
	}
	for _, s := range a.reload.steps {
		if s.inst.next != nil {
			c.failSuccessor(s.inst, "is out of date: "+nameFiles(m.files)+" changed")
		}
	}
}

// reloadChanged begins to reload an app whose files have changed, unless something
// else is under way. What has been stopped stays so; what has failed is tried
// again.
func (c *Cluster) reloadChanged(a *app) {
	if a.changed == nil || a.reload != nil || a.shrinking() || a.next != nil || c.stopping {
		return
	}
	files := a.changed
	a.changed = nil
	var insts []*instance
	for _, inst := range a.instances {
		if inst.state != StateStopped && !inst.unwanted && !(inst.state == StateStopping && !inst.again) {
			insts = append(insts, inst)
		}
	}
	if insts == nil {
		return
	}
	action := a.config.Watch.Action
	c.event(a.config.Name, fmt.Sprintf("%s changed; %sing", nameFiles(files), action))
	if action == config.WatchRestart {
		for _, inst := range insts {
			c.renew(inst)
		}
		return
	}
	if _, err := c.beginReload(a, insts); err != nil {
		c.event(a.config.Name, err.Error()) // nothing was in the way a moment ago
	}
}

// nameFiles is "a.ts", or "a.ts and 3 more".
func nameFiles(files []string) string {
	if len(files) == 1 {
		return files[0]
	}
	return fmt.Sprintf("%s and %d more", files[0], len(files)-1)
}
