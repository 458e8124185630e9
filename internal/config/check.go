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
	files  map[string]string // the variables of the files that hold for what is being read
}

// variable is what a ${VAR} reference finds.
func (r *reader) variable(name string) (string, bool) {
	if v, ok := r.files[name]; ok {
		return v, true
	}
	return r.lookup(name)
}

// config reads the whole file. The result is worth something only when nothing
// was reported.
func (r *reader) config(root *node) Config {
	c := Config{Name: defaultName(filepath.Base(r.dir)), Dir: r.dir}
	base := draft{App: builtin(r.dir)}
	if n := root.key("env_file"); n != nil {
		setEnvFile(field{n, n.name, r}, &base.App)
	}
	r.files = base.FileEnv
	for _, k := range root.keys {
		switch k.name {
		case "name":
			c.Name = r.clusterName(field{k, "name", r})
		case "watch_config":
			if on, ok := k.value.(bool); ok {
				c.WatchConfig = on
			} else {
				field{k, k.name, r}.must("true or false", "")
			}
		case "metrics":
			c.Metrics = r.metrics(field{k, "metrics", r})
		case "apps", "defaults", "env_file":
		default:
			r.unknownTopKey(k)
		}
	}

	if n := root.key("defaults"); n != nil {
		if _, ok := n.value.(map[string]any); ok {
			base = r.draft(base, n, "[defaults]")
			base.node = nil
		} else {
			field{n, "defaults", r}.must("a table, [defaults]", "")
		}
	}

	drafts := r.apps(root, base)
	r.checkLogs(drafts)
	r.checkDependencies(drafts)
	for i := range drafts {
		r.checkApp(&drafts[i])
		c.Apps = append(c.Apps, drafts[i].finished())
	}
	r.checkPorts(drafts)
	r.checkMetrics(root.key("metrics"), c.Metrics, drafts)
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
	} else if d.Listen != ListenAuto && d.Listen != ListenRelay && d.Count == CountRelay {
		r.add(d.blame("count", "listen"), `count = "relay" cannot be had with listen = %q: the instances own the port, `+
			`and no connection passes through the relay; use listen = "relay", or count = "auto"`, d.Listen)
	}
	if d.set["port"] != nil {
		r.checkRelayOnly(d)
	}
	if d.set["port"] != nil && d.Listen == ListenRelay && d.Count == CountEBPF {
		r.add(d.blame("count", "listen"), `count = "ebpf" cannot be had with listen = "relay": it counts what instances accept `+
			`straight from the kernel; use count = "relay", or listen = "auto"`)
	}
	r.identity(d)
	r.checkSchedule(d)
	if d.own("watch") && !d.wrong["watch"] && d.Watch.Paths == nil {
		r.add(d.set["watch"].valueAt, `watch names no paths; add some, such as paths = ["src/**/*.ts"]`)
	}
	if d.set["port"] != nil && d.Listen == ListenRelay && d.Count == CountKernel {
		r.add(d.blame("count", "listen"), `count = "kernel" cannot be had with listen = "relay": the relay counts better; `+
			`use count = "relay", or listen = "auto"`)
	}
	if d.BackoffMin > d.BackoffMax && !d.wrong["backoff_min"] && !d.wrong["backoff_max"] {
		r.add(d.blame("backoff_min", "backoff_max"), "backoff_min, %s, must not be more than backoff_max, %s",
			d.given("backoff_min", "100ms"), d.given("backoff_max", "30s"))
	}
}

// checkRelayOnly checks that what only the relay can do is asked of the relay.
func (r *reader) checkRelayOnly(d *draft) {
	for _, k := range []struct {
		name string
		on   bool
		why  string
	}{
		{"forwarded", d.Forwarded, "only the relay adds to requests"},
		{"proxy_protocol", d.ProxyProtocol, "only the relay makes connections to instances"},
		{"strict", d.Strict, "only the relay can refuse requests"},
	} {
		switch {
		case !k.on || d.wrong[k.name]:
		case d.Listen != ListenAuto && d.Listen != ListenRelay && !d.wrong["listen"]:
			r.add(d.blame(k.name, "listen"), `%s = true cannot be had with listen = %q: %s; use listen = "relay", or "auto"`, k.name, d.Listen, k.why)
		case (d.Count == CountEBPF || d.Count == CountKernel) && !d.wrong["count"]:
			r.add(d.blame(k.name, "count"), `%s = true cannot be had with count = %q: %s, and it counts by itself; use count = "relay", or "auto"`, k.name, d.Count, k.why)
		}
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
	if d.Count == CountRelay || d.Count == CountEBPF || d.Count == CountKernel {
		needsPort("count")
	}
	if d.Host != "" {
		needsPort("host")
	}
	for _, key := range []string{"forwarded", "proxy_protocol", "strict"} {
		if n := d.set[key]; n != nil && n.value == true {
			needsPort(key)
		}
	}
	for key, p := range map[string]Probe{"ready": d.Ready, "health": d.Health} {
		if p.Reaches() && d.own(key) && !d.wrong[key] {
			r.add(d.set[key].key(string(p.By)).at, `%s by %q needs a port, and %s has none; add one, such as port = 8080, or ask by "exec"`, key, p.By, d.table)
		}
	}
	if d.Ready.By == "" && d.own("ready") && !d.wrong["ready"] {
		r.add(d.set["ready"].at, `ready.timeout alone says how long it may take to listen, and %s has no port: it is ready at once; add a way to tell, such as { log = "listening on" }`, d.table)
	}
}

// finished is the app as the supervisor gets it.
func (d *draft) finished() App {
	a := d.App
	for _, p := range []*Probe{&a.Ready, &a.Health} {
		if p.By == ByExec && p.Exec.Argv == nil {
			p.Exec.Shell = a.Command.Shell
		}
	}
	if a.Command.Argv != nil {
		a.Command.Shell = ""
	}
	if a.Port == 0 {
		a.Host, a.Listen = "", ListenAuto
		a.Forwarded, a.ProxyProtocol, a.Strict = false, false, false
		if a.Count != CountOff {
			a.Count = CountAuto
		}
		if a.Ready.Reaches() {
			a.Ready = builtinReady
		}
		if a.Health.Reaches() {
			a.Health = builtinHealth
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
