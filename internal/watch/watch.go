// Package watch tells when files have changed: in folders that come and go, in
// bursts, and however editors save.
package watch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"
)

// Options say what to watch.
type Options struct {
	Root      string        // absolute; relative patterns start here
	Paths     []string      // patterns of files, as of package doublestar
	Files     []string      // the very files, absolute, whatever characters their names have
	Ignore    []string      // patterns of what is left out; without a slash, of names at any depth
	Gitignore bool          // leave out what .gitignore files say
	Debounce  time.Duration // how long nothing changes before a change is told
}

// Watcher watches files. Make it with New.
type Watcher struct {
	options  Options
	report   func(string)
	globs    []glob
	ignore   []ignored
	git      gitignore
	notify   *fsnotify.Watcher
	told     bool // that not everything can be watched
	changes  chan []string
	closing  chan struct{}
	shutdown func()
	ended    chan struct{}
}

// mostBursts is after how many times Debounce a change is told although there are
// more all the time.
const mostBursts = 10

// New watches from now on. It blocks for as long as it takes to look through the
// folders. What cannot be watched is told to report, from any goroutine.
func New(o Options, report func(string)) (*Watcher, error) {
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		if errors.Is(err, unix.EMFILE) {
			err = fmt.Errorf("%w (of inotify; sysctl fs.inotify.max_user_instances)", err)
		}
		return nil, fmt.Errorf("watch files: %w", err)
	}
	w := &Watcher{
		options: o, report: report, notify: notify,
		git:     gitignore{rules: map[string][]rule{}},
		changes: make(chan []string),
		closing: make(chan struct{}),
		ended:   make(chan struct{}),
	}
	w.shutdown = sync.OnceFunc(func() { close(w.closing) })
	for _, p := range o.Paths {
		w.globs = append(w.globs, globOf(o.Root, p))
	}
	for _, f := range o.Files {
		w.globs = append(w.globs, glob{base: filepath.Clean(f), pattern: "**", fixed: true})
	}
	for _, p := range o.Ignore {
		w.ignore = append(w.ignore, ignored{o.Root, filepath.ToSlash(filepath.Clean(p))})
	}
	w.scan(nil)
	for _, g := range w.globs {
		if _, err := os.Stat(g.base); err != nil {
			report(fmt.Sprintf("nothing to watch yet: %s does not exist", g.base))
		}
	}
	go w.run()
	return w, nil
}

// Changes delivers the files of each burst of changes, sorted, relative to the
// root where they are below it. While nobody receives, they gather.
func (w *Watcher) Changes() <-chan []string { return w.changes }

// Close ends the watch. Changes is not closed.
func (w *Watcher) Close() {
	w.shutdown()
	<-w.ended
}

// scan watches all folders that are to be watched, and calls each for the files
// in them that are.
func (w *Watcher) scan(each func(string)) {
	seen := map[string]bool{}
	for i := range w.globs {
		g := &w.globs[i]
		base := g.base
		for !isFolder(base) && base != "/" {
			base = filepath.Dir(base) // where it will be made
		}
		if w.options.Gitignore {
			w.loadAbove(base)
			g.tracked = w.git.ignores(g.base, true)
		}
		if seen[base] {
			continue
		}
		seen[base] = true
		w.add(base+"/", each)
		if base == g.base && base != w.options.Root { // which may be made anew
			_ = w.notify.Add(filepath.Dir(base))
		}
	}
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// loadAbove reads the .gitignore files from the top of the repository that a
// folder is in, down to it.
func (w *Watcher) loadAbove(dir string) {
	var above []string
	for d := dir; ; d = filepath.Dir(d) {
		above = append(above, d)
		if _, err := os.Lstat(filepath.Join(d, ".git")); err == nil {
			break
		}
		if d == filepath.Dir(d) {
			above = []string{dir, w.options.Root} // in no repository
			break
		}
	}
	for _, d := range above {
		w.git.load(d)
	}
}

// add watches a folder and those below it, as far as there can be files of
// interest, and calls each for those that there are. Links are not followed, but for a
// folder with a slash at its end.
func (w *Watcher) add(dir string, each func(string)) {
	top := filepath.Clean(dir)
	_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		path = filepath.Clean(path)
		switch {
		case err != nil:
			return nil // gone, or closed to us: there is nothing to see
		case !entry.IsDir():
			if each != nil && w.wanted(path) {
				each(path)
			}
			return nil
		case path != top && !w.reaches(path):
			return filepath.SkipDir
		}
		if w.options.Gitignore {
			w.git.load(path)
		}
		if err := w.notify.Add(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			w.cannot(path, err)
		}
		return nil
	})
}

func (w *Watcher) cannot(path string, err error) {
	if w.told {
		return
	}
	w.told = true
	hint := ""
	if errors.Is(err, unix.ENOSPC) {
		hint = "; raise sysctl fs.inotify.max_user_watches, or ignore folders that do not matter"
	}
	w.report(fmt.Sprintf("cannot watch everything: %s: %v%s", path, err, hint))
}

// reaches tells whether there may be files of interest below a folder.
func (w *Watcher) reaches(dir string) bool {
	return filepath.Base(dir) != ".git" && w.concerns(dir, true, glob.reaches)
}

// wanted tells whether a change of a file is to be told.
func (w *Watcher) wanted(file string) bool {
	return !isScratch(file) && w.concerns(file, false, glob.matches)
}

// concerns tells whether one of the patterns takes a path that is not left out.
func (w *Watcher) concerns(path string, isDir bool, takes func(glob, string) bool) bool {
	if slices.ContainsFunc(w.ignore, func(i ignored) bool { return i.matches(path) }) {
		return false
	}
	inGit := !w.options.Gitignore || !w.git.ignores(path, isDir)
	return slices.ContainsFunc(w.globs, func(g glob) bool { return (inGit || g.tracked) && takes(g, path) })
}

// burst is what has changed since it was told last.
type burst struct {
	files map[string]bool // true: it was made in this burst
	since time.Time
}

func (w *Watcher) run() {
	defer close(w.ended)
	defer w.notify.Close()
	b := burst{files: map[string]bool{}}
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	var out chan<- []string // nil: nothing is due
	var due []string
	touch := func(file string, made bool) {
		if len(b.files) == 0 {
			b.since = time.Now()
		}
		if _, known := b.files[file]; !known {
			b.files[file] = made
		}
		out = nil
		timer.Reset(min(w.options.Debounce, max(0, time.Until(b.since.Add(mostBursts*w.options.Debounce)))))
	}
	for {
		select {
		case e, ok := <-w.notify.Events:
			if ok {
				w.onEvent(e, touch)
			}
		case err := <-w.notify.Errors:
			if errors.Is(err, fsnotify.ErrEventOverflow) { // so anything may have changed
				w.scan(func(file string) { touch(file, false) })
			}
		case <-timer.C:
			if due = w.names(b.files); due == nil {
				clear(b.files) // they have come and gone
			} else {
				out = w.changes
			}
		case out <- due:
			out = nil
			clear(b.files)
		case <-w.closing:
			return
		}
	}
}

func (w *Watcher) onEvent(e fsnotify.Event, touch func(file string, made bool)) {
	if e.Op == fsnotify.Chmod {
		return
	}
	if w.options.Gitignore && filepath.Base(e.Name) == ".gitignore" {
		w.git.load(filepath.Dir(e.Name))
		w.scan(nil) // what was left out may be of interest now
	}
	if e.Has(fsnotify.Create) {
		if info, err := os.Lstat(e.Name); err == nil && info.IsDir() {
			if w.reaches(e.Name) {
				w.add(e.Name, func(file string) { touch(file, true) })
			}
			return
		}
	}
	if w.wanted(e.Name) {
		touch(e.Name, e.Has(fsnotify.Create))
	}
}

// names are those of changed files, without those that were made and are gone
// again.
func (w *Watcher) names(files map[string]bool) []string {
	var out []string
	for file, made := range files {
		if _, err := os.Lstat(file); err != nil && made {
			continue
		}
		if below, ok := within(w.options.Root, file); ok {
			file = below
		}
		out = append(out, file)
	}
	slices.Sort(out)
	return out
}
