package config

import (
	"path/filepath"
	"strconv"
)

// reader turns the tree of one file into a Config, and reports every mistake
// on the way instead of stopping at the first.
type reader struct {
	report
	dir    string // where relative paths of the file start
	lookup func(string) (string, bool)
}

// config reads the whole file. The result is worth something only when nothing
// was reported.
func (r *reader) config(root *node) Config {
	c := Config{Name: defaultName(filepath.Base(r.dir)), Dir: r.dir}
	for _, k := range root.keys {
		switch k.name {
		case "name":
			c.Name = r.clusterName(field{k, "name", r})
		case "apps", "defaults":
		default:
			r.unknownTopKey(k)
		}
	}

	base := draft{App: builtin(r.dir)}
	if n := root.key("defaults"); n != nil {
		if _, ok := n.value.(map[string]any); ok {
			base = r.draft(base, n, "[defaults]")
			base.node = nil
		} else {
			field{n, "defaults", r}.must("a table, [defaults]", "")
		}
	}

	drafts := r.apps(root, base)
	for i := range drafts {
		r.checkApp(&drafts[i])
		c.Apps = append(c.Apps, drafts[i].finished())
	}
	r.checkPorts(drafts)
	return c
}

func (r *reader) clusterName(f field) string {
	name, ok := f.text(`a string such as "shop"`)
	if wrong := nameMistake(name); ok && wrong != "" {
		f.fail("%s", wrong)
	}
	return name
}

// example is what a file must have at the least, for errors.
const example = `

    [apps.web]
    command = "bun server.ts"
    port = 8080`

// apps reads every app in the order of the file.
func (r *reader) apps(root *node, base draft) []draft {
	n := root.key("apps")
	if n == nil {
		for _, k := range root.keys {
			if !isTopKey(k.name) && closest(k.name, topKeys) == "apps" {
				return nil // reported as a slip of the pen
			}
		}
		r.add(position{}, "no apps are declared; an app is a table such as%s", example)
		return nil
	}
	if _, ok := n.value.(map[string]any); !ok {
		field{n, "apps", r}.must("a table of tables", "write one for each app, such as"+example)
		return nil
	}
	if len(n.keys) == 0 {
		r.add(n.at, "no apps are declared; an app is a table such as%s", example)
	}
	var drafts []draft
	for _, k := range n.keys {
		table := header("apps", k.name)
		if _, ok := k.value.(map[string]any); !ok {
			r.notAnApp(k, table)
			continue
		}
		if wrong := nameMistake(k.name); wrong != "" {
			r.add(k.at, "the app name %s %s", cite(k.name), wrong)
		}
		d := r.draft(base, k, table)
		d.Name = k.name
		drafts = append(drafts, d)
	}
	return drafts
}

// notAnApp reports an entry of apps that is no table.
func (r *reader) notAnApp(k *node, table string) {
	switch f := (field{k, "apps." + k.name, r}); {
	case isAppKey(k.name):
		r.add(k.at, "unknown key %q in [apps]; it belongs into the table of one app, [apps.NAME]", k.name)
	case len(k.items) > 0 && k.items[0].source == "":
		f.must("one table", "write "+table+" once, and give other apps other names")
	default:
		f.must("a table, "+table, "")
	}
}

// checkApp checks what concerns several keys of one app.
func (r *reader) checkApp(d *draft) {
	if d.set["command"] == nil {
		r.add(d.node.at, `%s has no command; add what to run, such as command = "bun server.ts"`, d.table)
	}
	if d.set["port"] == nil {
		r.checkWorker(d)
	} else if d.Listen == ListenSelf && d.Count == CountRelay {
		r.add(d.blame("count", "listen"), `count = "relay" cannot be had with listen = "self": the instances own the port, `+
			`and no connection passes through the relay; use listen = "relay", or count = "auto"`)
	}
	if d.BackoffMin > d.BackoffMax && !d.wrong["backoff_min"] && !d.wrong["backoff_max"] {
		r.add(d.blame("backoff_min", "backoff_max"), "backoff_min, %s, must not be more than backoff_max, %s",
			d.given("backoff_min", "100ms"), d.given("backoff_max", "30s"))
	}
}

// given is the value of a duration as the file has it, or what it is by
// default.
func (d *draft) given(key, byDefault string) string {
	if n := d.set[key]; n != nil {
		return n.source
	}
	return strconv.Quote(byDefault) + " by default"
}

// checkWorker checks an app without a port. What only makes sense with a port
// is an error in the app itself; in [defaults] it is meant for the other apps.
func (r *reader) checkWorker(d *draft) {
	needsPort := func(key string) {
		if d.own(key) && !d.wrong[key] {
			r.add(d.set[key].valueAt, "%s = %s needs a port, and %s has none; add one, such as port = 8080", key, d.set[key].source, d.table)
		}
	}
	if d.Listen != ListenAuto {
		needsPort("listen")
	}
	if d.Count == CountRelay {
		needsPort("count")
	}
	if d.Host != "" {
		needsPort("host")
	}
}

// finished is the app as the supervisor gets it.
func (d *draft) finished() App {
	a := d.App
	if a.Command.Argv != nil {
		a.Command.Shell = ""
	}
	if a.Port == 0 {
		a.Host, a.Listen = "", ListenAuto
		if a.Count == CountRelay {
			a.Count = CountAuto
		}
	}
	return a
}

// checkPorts reports every app whose port an earlier one has on the same
// address.
func (r *reader) checkPorts(drafts []draft) {
	earlier := map[int][]*draft{}
	for i := range drafts {
		d := &drafts[i]
		if d.Port == 0 || d.wrong["port"] || d.wrong["host"] {
			continue
		}
		for _, e := range earlier[d.Port] {
			if overlap(d.Host, e.Host) {
				r.add(d.portAt(), "port %d is already that of %s on line %d; give %s a port or a host of its own",
					d.Port, e.table, e.portAt().line, d.table)
				break
			}
		}
		earlier[d.Port] = append(earlier[d.Port], d)
	}
}

// portAt is where the app gets its port: where the number stands, or the
// app's header when it is that of [defaults].
func (d *draft) portAt() position {
	if d.own("port") {
		return d.set["port"].valueAt
	}
	return d.node.at
}
