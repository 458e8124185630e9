package watch

import (
	"path"
	"path/filepath"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// glob is a pattern of files below a folder.
type glob struct {
	base    string // absolute; where its fixed part ends
	pattern string // of paths below base
	fixed   bool   // there is no wildcard: base may be a file
	tracked bool   // what .gitignore says does not hold: it says so of base itself
}

// globOf reads a pattern as of package doublestar, relative to root. One without
// any wildcard means a file, or all that is in a folder.
func globOf(root, pattern string) glob {
	base, rest := doublestar.SplitPattern(path.Clean(filepath.ToSlash(pattern)))
	g := glob{base: base, pattern: rest, fixed: !strings.ContainsAny(rest, `*?[{\`)}
	if !filepath.IsAbs(base) {
		g.base = filepath.Join(root, base)
	}
	if g.fixed {
		g.base, g.pattern = filepath.Join(g.base, rest), "**"
	}
	return g
}

// matches tells whether an absolute path is one of the glob.
func (g glob) matches(file string) bool {
	below, ok := within(g.base, file)
	if !ok || below == "." {
		return ok && g.fixed
	}
	match, err := doublestar.Match(g.pattern, below)
	return match && err == nil
}

// reaches tells whether there may be matches below a folder.
func (g glob) reaches(dir string) bool {
	if _, above := within(dir, g.base); above {
		return true
	}
	below, ok := within(g.base, dir)
	if !ok {
		return false
	}
	deep := strings.Contains(g.pattern, "**") || strings.Contains(g.pattern, "{")
	return deep || below == "." || strings.Count(below, "/")+1 < strings.Count(g.pattern, "/")+1
}

// within is the path of a file below a folder; "." is the folder itself.
func within(dir, file string) (string, bool) {
	rel, err := filepath.Rel(dir, file)
	if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		return "", false
	}
	return rel, true
}

// ignored is a pattern of files and folders to leave out. Without a slash it holds
// for names at any depth.
type ignored struct {
	root    string
	pattern string
}

func (i ignored) matches(file string) bool {
	if filepath.IsAbs(i.pattern) {
		match, err := doublestar.Match(i.pattern, file)
		return match && err == nil
	}
	below, ok := within(i.root, file)
	if !ok || below == "." {
		return false
	}
	if !strings.Contains(i.pattern, "/") {
		below = filepath.Base(below)
	}
	match, err := doublestar.Match(i.pattern, below)
	return match && err == nil
}

// isScratch tells whether a file is what editors keep beside the one that is
// edited: swap and backup files, locks, vim's trial.
func isScratch(file string) bool {
	name := filepath.Base(file)
	return strings.HasSuffix(name, "~") || strings.HasPrefix(name, ".#") || name == "4913" ||
		strings.HasPrefix(name, "#") && strings.HasSuffix(name, "#") ||
		strings.HasPrefix(name, ".") && strings.HasPrefix(filepath.Ext(name), ".sw")
}
