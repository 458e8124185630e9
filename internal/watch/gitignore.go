package watch

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// gitignore is what the .gitignore files of some folders say, see gitignore(5).
type gitignore struct {
	rules map[string][]rule // by the folder of the file
}

// rule is one line of a .gitignore file, as a pattern of package doublestar.
type rule struct {
	pattern string
	include bool // a line with !
	folders bool // holds for folders only
}

// load reads the .gitignore file of a folder; one that cannot be read says
// nothing, as with git.
func (g *gitignore) load(dir string) {
	text, err := os.ReadFile(filepath.Join(dir, ".gitignore"))
	if err != nil {
		delete(g.rules, dir)
		return
	}
	var rules []rule
	for line := range strings.Lines(string(text)) {
		if r, ok := ruleOf(line); ok {
			rules = append(rules, r)
		}
	}
	g.rules[dir] = rules
}

func ruleOf(line string) (r rule, ok bool) {
	line = strings.TrimRight(line, "\r\n")
	for strings.HasSuffix(line, " ") && !strings.HasSuffix(line, `\ `) {
		line = line[:len(line)-1]
	}
	if line == "" || strings.HasPrefix(line, "#") {
		return rule{}, false
	}
	line, r.include = strings.CutPrefix(line, "!")
	line, r.folders = strings.CutSuffix(line, "/")
	// Braces have no meaning to git.
	r.pattern = strings.NewReplacer("{", `\{`, "}", `\}`).Replace(strings.TrimPrefix(line, "/"))
	if !strings.Contains(line, "/") {
		r.pattern = "**/" + r.pattern
	}
	return r, doublestar.ValidatePattern(r.pattern)
}

// ignores tells whether a file or folder is left out, as far as the files in the
// folders above it say that have been loaded: by the last line that concerns it,
// or because a folder is in which it is.
func (g *gitignore) ignores(path string, isDir bool) bool {
	for dir := path; ; {
		parent := filepath.Dir(dir)
		if parent == dir {
			return false
		}
		if g.says(dir, isDir || dir != path) {
			return true
		}
		dir = parent
	}
}

// says tells what the lines say of exactly this path. Those in nearer folders
// count more.
func (g *gitignore) says(path string, isDir bool) bool {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		rules := g.rules[dir]
		below, _ := within(dir, path)
		for i := len(rules) - 1; i >= 0; i-- {
			r := rules[i]
			if r.folders && !isDir {
				continue
			}
			if match, err := doublestar.Match(r.pattern, below); match && err == nil {
				return !r.include
			}
		}
		if dir == filepath.Dir(dir) {
			return false
		}
	}
}
