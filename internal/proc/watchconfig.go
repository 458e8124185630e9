package proc

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"clusterd/internal/config"
	"clusterd/internal/watch"
)

const (
	// configDebounce is how long the config file rests before it is applied.
	configDebounce = 200 * time.Millisecond
	// applyRetry is when a saved file is tried again that could not be applied
	// for something else that was under way.
	applyRetry = 500 * time.Millisecond
)

// watchConfig applies the config file and the files of variables that it names
// whenever they are saved, if the config says so, from now on.
func (c *Cluster) watchConfig() {
	if c.unwatch != nil {
		c.unwatch()
		c.unwatch = nil
	}
	if !c.config.WatchConfig {
		return
	}
	ctx, cancel := context.WithCancel(c.ending)
	c.unwatch = cancel
	o := watch.Options{Root: filepath.Dir(c.path), Files: []string{c.path}, Debounce: configDebounce}
	for _, a := range c.config.Apps {
		o.Files = append(o.Files, a.EnvFiles...)
	}
	c.background.Go(func() {
		c.os.watch(ctx, o, func(text string) { c.event("", text) }, c.applySaved)
	})
}

// applySaved applies the file, and tells what came of that.
func (c *Cluster) applySaved(files []string) {
	said := false
	for {
		changes, err := c.Apply(c.ending)
		busy, isBusy := errors.AsType[*BusyError](err)
		switch {
		case c.ending.Err() != nil:
			return
		case isBusy:
			if !said {
				said = true
				c.event("", fmt.Sprintf("%s was saved, and will be applied: %s now", nameFiles(files), busy.Reason))
			}
			select {
			case <-time.After(applyRetry):
				continue
			case <-c.ending.Done():
				return
			}
		}
		if mistakes, ok := errors.AsType[*config.Errors](err); ok {
			c.event("", fmt.Sprintf("%s was saved, but is wrong; nothing has been changed", nameFiles(files)))
			for _, one := range mistakes.List {
				c.event("", one.Error())
			}
			return
		}
		if err != nil {
			for line := range strings.SplitSeq(err.Error(), "\n") {
				c.event("", line)
			}
			return
		}
		if len(changes) == 0 {
			c.event("", fmt.Sprintf("%s was saved; nothing runs differently", nameFiles(files)))
		}
		return
	}
}
