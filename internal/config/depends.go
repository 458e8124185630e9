package config

import (
	"fmt"
	"slices"
	"strings"
)

// Dependency is an app that has to get somewhere before another one is started.
type Dependency struct {
	App   string
	Until Until
}

// Until says how far an app has to be for those that depend on it.
type Until string

// The ways to depend on an app; each is about all of its instances.
const (
	UntilStarted Until = "started" // a process runs, or did
	UntilReady   Until = "ready"   // it is ready, or done
	UntilDone    Until = "done"    // it has run to its end
)

var untils = []Until{UntilStarted, UntilReady, UntilDone}

const dependsForm = `an array of apps, such as ["db"], or a table such as { db = "ready" }`

// setDependsOn reads the names; whether they name apps is checked when all apps
// are known.
func setDependsOn(f field, a *App) bool {
	var out []Dependency
	good := true
	switch f.value.(type) {
	case []any:
		for _, item := range f.items {
			name, ok := field{item, "an element of " + f.name, f.r}.text("the name of an app")
			out, good = append(out, Dependency{name, UntilReady}), good && ok
		}
	case map[string]any:
		for _, k := range f.keys {
			d := Dependency{App: k.name}
			set := word(func(*App) *Until { return &d.Until }, untils)
			good = set(field{k, f.name + "." + k.name, f.r}, nil) && good
			out = append(out, d)
		}
	default:
		hint := ""
		if s, isText := f.value.(string); isText {
			hint = "write [" + cite(s) + "]"
		}
		return f.must(dependsForm, hint)
	}
	if good {
		a.DependsOn = out
	}
	return good
}

// dependencyAt is where the app, or [defaults], names a dependency.
func (d *draft) dependencyAt(name string) position {
	n := d.set["depends_on"]
	if k := n.key(name); k != nil {
		return k.at
	}
	i := slices.IndexFunc(n.items, func(item *node) bool { return item.value == name })
	return n.items[i].valueAt
}

// checkDependencies checks what apps say of each other.
func (r *reader) checkDependencies(drafts []draft) {
	byName := map[string]*draft{}
	var names []string
	for i := range drafts {
		byName[drafts[i].Name] = &drafts[i]
		names = append(names, drafts[i].Name)
	}
	for i := range drafts {
		d := &drafts[i]
		switch {
		case d.wrong["depends_on"]:
			d.DependsOn = nil
		case !d.own("depends_on"): // that of [defaults] is for all the others
			d.DependsOn = slices.DeleteFunc(slices.Clone(d.DependsOn), func(on Dependency) bool { return on.App == d.Name })
		}
		r.checkNames(d, byName, names)
	}
	r.checkCircles(drafts, byName)
}

func (r *reader) checkNames(d *draft, byName map[string]*draft, names []string) {
	table := d.table
	if !d.own("depends_on") {
		table = "[defaults]"
	}
	seen := map[string]bool{}
	for _, on := range d.DependsOn {
		other, at := byName[on.App], d.dependencyAt(on.App)
		switch {
		case other == nil:
			hint := didYouMean(on.App, names)
			if hint == "" {
				hint = "; the apps are " + strings.Join(names, ", ")
			}
			r.add(at, "%s depends on %s, and there is no such app%s", table, cite(on.App), hint)
		case other == d:
			r.add(at, "%s depends on itself", table)
		case seen[on.App]:
			r.add(at, "%s depends on %s twice", table, on.App)
		case on.Until == UntilDone && other.Restart == RestartAlways && !other.wrong["restart"]:
			r.add(at, `%s waits until %s is done, which it never is, since it is always restarted; give it restart = "on-failure" or "never"`,
				table, on.App)
		}
		seen[on.App] = true
	}
}

// checkCircles reports every circle of apps that wait for each other, once.
func (r *reader) checkCircles(drafts []draft, byName map[string]*draft) {
	const open, closed = 1, 2
	state := map[*draft]int{}
	var path []*draft
	var visit func(d *draft)
	visit = func(d *draft) {
		state[d] = open
		path = append(path, d)
		for _, on := range d.DependsOn {
			other := byName[on.App]
			switch {
			case other == nil || other == d:
			case state[other] == 0:
				visit(other)
			case state[other] == open:
				r.addCircle(path[slices.Index(path, other):])
			}
		}
		path = path[:len(path)-1]
		state[d] = closed
	}
	for i := range drafts {
		if state[&drafts[i]] == 0 {
			visit(&drafts[i])
		}
	}
}

// addCircle reports apps of which each depends on the next, and the last on the
// first.
func (r *reader) addCircle(circle []*draft) {
	var steps []string
	for i, d := range circle {
		steps = append(steps, fmt.Sprintf("%s on %s", d.Name, circle[(i+1)%len(circle)].Name))
	}
	r.add(circle[0].dependencyAt(circle[1].Name), "depends_on goes round in a circle, so that none of them could start: %s", strings.Join(steps, ", "))
}
