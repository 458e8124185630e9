package config

import (
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// MaxInstances bounds instances: more of one app on one machine is a slip of
// the finger.
const MaxInstances = 1000

// setInstances reads a number, or "cpus": as many as Go runs threads at once,
// which is the machine's processors, or fewer where the affinity mask or the
// cgroup's CPU limit allows fewer, or what GOMAXPROCS says.
func setInstances(f field, a *App) bool {
	const be = `an integer from 0 to 1000 or "cpus"`
	s, isText := f.value.(string)
	if s == "cpus" {
		a.Instances = runtime.GOMAXPROCS(0)
		return true
	}
	if hint := didYouMean(s, []string{"cpus"}); isText && hint != "" {
		return f.must(be, strings.TrimPrefix(hint, "; "))
	}
	n, ok := f.between(0, MaxInstances, be)
	if ok {
		a.Instances = n
	}
	return ok
}

// setCwd reads a folder, relative to the file's own, that must exist.
func setCwd(f field, a *App) bool {
	dir, ok := f.expanded("the path of a folder")
	if !ok {
		return false
	}
	if dir == "" {
		return f.fail(`is empty; write "." for the folder of this file, or leave it out`)
	}
	path := dir
	if !filepath.IsAbs(path) {
		path = filepath.Join(f.r.dir, path)
	}
	info, err := os.Stat(path)
	switch {
	case os.IsNotExist(err) && (dir == "~" || strings.HasPrefix(dir, "~/")):
		return f.fail(`names no folder: "~" stands for itself here; write "${HOME}%s"`, dir[1:])
	case os.IsNotExist(err):
		return f.fail("%q does not exist; relative paths start at the folder of this file", path)
	case err != nil:
		return f.fail("%q cannot be used: %v", path, cause(err))
	case !info.IsDir():
		return f.fail("%q is not a folder", path)
	}
	a.Cwd = filepath.Clean(path)
	return true
}

// setEnv adds variables to those that the app has from [defaults].
func setEnv(f field, a *App) bool {
	if _, ok := f.value.(map[string]any); !ok {
		return f.must(`a table of strings, such as { NODE_ENV = "production" }`, "")
	}
	good := true
	for _, k := range f.keys {
		if wrong := variableMistake(k.name); wrong != "" {
			f.r.add(k.at, "%s cannot be the name of a variable: %s", cite(k.name), wrong)
			good = false
		} else if text, ok := (field{k, f.name + "." + k.name, f.r}).variable(); ok {
			a.Env[k.name] = text
		} else {
			good = false
		}
	}
	return good
}

// variable is the value of one environment variable. Numbers are taken as
// they are written, so that VERSION = 1.10 is "1.10"; only the underscores go,
// and an integer of another base becomes decimal.
func (f field) variable() (string, bool) {
	switch v := f.value.(type) {
	case int64:
		return strconv.FormatInt(v, 10), true
	case float64:
		return strings.TrimPrefix(strings.ReplaceAll(f.source, "_", ""), "+"), true
	case bool:
		return strconv.FormatBool(v), true
	}
	return f.expanded("a string, a number, true or false")
}

// variableMistake says why no environment variable can have that name, or "".
// Names that a shell would not take, such as spring.port, are allowed: other
// programs read them.
func variableMistake(name string) string {
	switch {
	case name == "":
		return "it is empty"
	case strings.Contains(name, "="):
		return `it contains "="`
	case strings.ContainsFunc(name, unicode.IsSpace):
		return "it contains a space"
	case strings.ContainsFunc(name, unicode.IsControl):
		return "it contains a control character"
	}
	return ""
}

// setSuccessCodes reads exit codes; they end up ascending, each once.
func setSuccessCodes(f field, a *App) bool {
	if _, ok := f.value.([]any); !ok {
		hint := ""
		if _, isInteger := f.value.(int64); isInteger {
			hint = "write [" + f.source + "]"
		}
		return f.must("an array of exit codes, such as [0, 143]", hint)
	}
	codes, good := make([]int, len(f.items)), true
	for i, item := range f.items {
		code, ok := field{item, "an element of " + f.name, f.r}.between(0, 255, "an integer from 0 to 255")
		codes[i], good = code, good && ok
	}
	if good {
		slices.Sort(codes)
		a.SuccessCodes = slices.Compact(codes)
	}
	return good
}

// draft is an app, or [defaults], while it is read.
type draft struct {
	App
	table string           // its header, for errors
	node  *node            // nil: no such table
	set   map[string]*node // who gave each key its value, also those of [defaults]
	wrong map[string]bool  // keys whose value was refused
}

// draft reads the table n on top of what base has. A nil table adds nothing.
func (r *reader) draft(base draft, n *node, table string) draft {
	d := draft{
		App: base.App, table: table, node: n,
		set: map[string]*node{}, wrong: map[string]bool{},
	}
	maps.Copy(d.set, base.set)
	maps.Copy(d.wrong, base.wrong)
	d.Env = maps.Clone(base.Env)
	d.FileEnv = maps.Clone(base.FileEnv)
	d.EnvFiles = slices.Clone(base.EnvFiles)
	before := r.files
	r.files = d.FileEnv
	defer func() { r.files = before }()
	d.SuccessCodes = slices.Clone(base.SuccessCodes)
	d.Command.Argv = slices.Clone(base.Command.Argv)
	if n == nil {
		return d
	}
	for _, k := range filesFirst(n.keys) {
		key := appKeyNamed(k.name)
		if key == nil {
			r.unknownAppKey(k, table)
			continue
		}
		d.set[k.name] = k
		d.wrong[k.name] = !key.set(field{k, k.name, r}, &d.App)
	}
	return d
}

// filesFirst puts env_file before all keys that may refer to its variables.
func filesFirst(keys []*node) []*node {
	rank := func(k *node) int {
		if k.name == "env_file" {
			return 0
		}
		return 1
	}
	return slices.SortedStableFunc(slices.Values(keys), func(a, b *node) int { return rank(a) - rank(b) })
}

// own tells whether the app's own table has the key.
func (d *draft) own(key string) bool {
	return d.node != nil && d.node.key(key) != nil
}

// blame is where an error about several keys together belongs: the first that
// the app has itself, else the first that it has from [defaults]. At least one
// of them must be set.
func (d *draft) blame(keys ...string) position {
	for _, k := range keys {
		if d.own(k) {
			return d.set[k].valueAt
		}
	}
	for _, k := range keys {
		if n := d.set[k]; n != nil {
			return n.valueAt
		}
	}
	return d.node.at
}
