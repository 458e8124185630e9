package config

import (
	"path/filepath"
	"time"

	"github.com/bmatcuk/doublestar/v4"
)

// Watch says which files an app is to be reloaded for when they change. Nil
// Paths: none.
type Watch struct {
	Paths     []string // globs as of package doublestar, relative to the app's cwd or absolute
	Ignore    []string // the same
	Gitignore bool     // leave out what .gitignore files say
	Debounce  time.Duration
	Action    WatchAction
}

// WatchAction is what is done when a watched file has changed.
type WatchAction string

// The actions.
const (
	WatchReload  WatchAction = "reload"
	WatchRestart WatchAction = "restart"
)

func setWatch(f field, a *App) bool {
	w := a.Watch
	globs := func(in *[]string) func(field) bool {
		return func(f field) bool {
			patterns, ok := f.strings(`a glob such as "src/**/*.ts", or an array of globs`)
			if !ok {
				return false
			}
			for i, p := range patterns {
				at := f
				if len(f.items) > i {
					at.node = f.items[i]
				}
				if p == "" || !doublestar.ValidatePattern(filepath.ToSlash(p)) {
					return at.fail(`%s is no glob; * stands for any part of a name, ** for any folders, {a,b} for one of them`, cite(p))
				}
			}
			*in = patterns
			return true
		}
	}
	ok := parts{
		"paths":     globs(&w.Paths),
		"ignore":    globs(&w.Ignore),
		"gitignore": boolean(func(*App) *bool { return &w.Gitignore }).of(a),
		"debounce":  duration(positive, func(*App) *time.Duration { return &w.Debounce }).of(a),
		"action":    word(func(*App) *WatchAction { return &w.Action }, []WatchAction{WatchReload, WatchRestart}).of(a),
	}.read(f, `{ paths = ["src/**/*.ts"] }`)
	if ok {
		a.Watch = w
	}
	return ok
}
