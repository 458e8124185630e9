package starter

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

var procfileLine = regexp.MustCompile(`^([A-Za-z0-9_-]+):\s*(.+)$`)

// readProcfile reads NAME: COMMAND lines, as of foreman and Heroku.
func readProcfile(p *Plan, text []byte) error {
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		m := procfileLine.FindStringSubmatch(line)
		if m == nil {
			p.note("the line %q", line)
			continue
		}
		a := app{name: p.distinct(m[1])}
		a.set("command", m[2])
		p.apps = append(p.apps, a)
	}
	return nil
}

// readPackage takes the script that starts a project of npm.
func readPackage(p *Plan, text []byte) error {
	var pkg struct {
		Name    string
		Scripts map[string]string
	}
	if err := json.Unmarshal(text, &pkg); err != nil {
		return err
	}
	for _, script := range []string{"start", "serve", "dev"} {
		if pkg.Scripts[script] != "" {
			a := app{name: name(pkg.Name[strings.LastIndexByte(pkg.Name, '/')+1:])}
			a.set("command", "npm run "+script)
			p.apps = append(p.apps, a)
			return nil
		}
	}
	return nil
}

// readEcosystem reads what pm2 does.
func readEcosystem(p *Plan, text []byte) error {
	var file struct{ Apps []map[string]any }
	if err := json.Unmarshal(text, &file); err != nil {
		return err
	}
	for i, m := range file.Apps {
		script, _ := m["script"].(string)
		n, _ := m["name"].(string)
		if n == "" {
			n = script
		}
		if script == "" {
			p.note("app %d, which has no script", i+1)
			continue
		}
		a := app{name: p.distinct(n)}
		known := []string{"name", "script", "args", "interpreter", "instances", "exec_mode", "cwd", "env", "autorestart", "max_restarts"}
		a.set("command", pm2Command(script, m))
		switch v := m["instances"].(type) {
		case float64:
			if v > 0 {
				a.set("instances", int64(v))
			} else {
				a.set("instances", "cpus")
			}
		case string:
			a.set("instances", "cpus") // "max"
		}
		if v, ok := m["cwd"].(string); ok {
			a.set("cwd", v)
		}
		if env, ok := m["env"].(map[string]any); ok && len(env) > 0 {
			vars := map[string]string{}
			for k, v := range env {
				vars[k] = fmt.Sprint(v)
			}
			a.set("env", vars)
		}
		if v, ok := m["autorestart"].(bool); ok && !v {
			a.set("restart", "never")
		}
		if v, ok := m["max_restarts"].(float64); ok && v >= 0 {
			a.set("max_restarts", int64(v))
		}
		p.unknown(a.name, m, known)
		p.apps = append(p.apps, a)
	}
	return nil
}

// pm2Command is a script with its interpreter and arguments.
func pm2Command(script string, m map[string]any) string {
	words := []string{}
	interpreter, _ := m["interpreter"].(string)
	switch {
	case interpreter != "" && interpreter != "none":
		words = append(words, interpreter)
	case interpreter == "" && regexp.MustCompile(`\.[cm]?js$`).MatchString(script):
		words = append(words, "node")
	case interpreter == "" && strings.HasSuffix(script, ".py"):
		words = append(words, "python3")
	}
	words = append(words, script)
	switch args := m["args"].(type) {
	case string:
		words = append(words, args)
	case []any:
		for _, a := range args {
			words = append(words, fmt.Sprint(a))
		}
	}
	return strings.Join(words, " ")
}

// composeProcess is one process of process-compose, as far as it is translated.
type composeProcess struct {
	Command      string
	WorkingDir   string            `yaml:"working_dir"`
	Environment  []string          `yaml:"environment"`
	Replicas     int               `yaml:"replicas"`
	DependsOn    map[string]needed `yaml:"depends_on"`
	Availability struct{ Restart string }
}

type needed struct{ Condition string }

// readCompose reads what process-compose does.
func readCompose(p *Plan, text []byte) error {
	var file struct{ Processes map[string]yaml.Node }
	if err := yaml.Unmarshal(text, &file); err != nil {
		return err
	}
	var names []string
	for n := range file.Processes {
		names = append(names, n)
	}
	slices.Sort(names)
	apps := map[string]string{}
	for _, n := range names {
		apps[n] = p.distinct(n)
	}
	for _, n := range names {
		node := file.Processes[n]
		var c composeProcess
		var all map[string]any
		if err := node.Decode(&c); err != nil {
			return fmt.Errorf("process %s: %w", n, err)
		}
		if err := node.Decode(&all); err != nil {
			return fmt.Errorf("process %s: %w", n, err)
		}
		if strings.TrimSpace(c.Command) == "" {
			p.note("%s, which has no command", n)
			continue
		}
		p.apps = append(p.apps, composed(c, n, apps))
		p.unknown(n, all, []string{"command", "working_dir", "environment", "replicas", "depends_on", "availability"})
	}
	return nil
}

// composed is the app that a process becomes, where all have such names.
func composed(c composeProcess, process string, apps map[string]string) app {
	a := app{name: apps[process]}
	a.set("command", c.Command)
	if c.WorkingDir != "" {
		a.set("cwd", c.WorkingDir)
	}
	if c.Replicas > 1 {
		a.set("instances", int64(c.Replicas))
	}
	vars := map[string]string{}
	for _, kv := range c.Environment {
		if k, v, ok := strings.Cut(kv, "="); ok {
			vars[k] = v
		}
	}
	if len(vars) > 0 {
		a.set("env", vars)
	}
	switch c.Availability.Restart {
	case "always": // as it is by default
	case "on_failure":
		a.set("restart", "on-failure")
	default: // process-compose restarts nothing that is not told to be
		a.set("restart", "never")
	}
	needs := map[string]string{}
	for process, need := range c.DependsOn {
		other := cmp.Or(apps[process], name(process)) // one that is not there, clusterd check reports
		switch need.Condition {
		case "process_completed", "process_completed_successfully":
			needs[other] = "done"
		case "process_healthy", "process_log_ready":
			needs[other] = "ready"
		default:
			needs[other] = "started"
		}
	}
	if len(needs) > 0 {
		a.set("depends_on", needs)
	}
	return a
}

// unknown notes the keys of an app that mean nothing here.
func (p *Plan) unknown(app string, keys map[string]any, known []string) {
	var left []string
	for k := range keys {
		if !slices.Contains(known, k) {
			left = append(left, k)
		}
	}
	if len(left) > 0 {
		slices.Sort(left)
		p.note("%s of %s", strings.Join(left, ", "), app)
	}
}

// distinct makes a name of any that no other app has, and notes when it cannot be the
// one that the app would have by itself.
func (p *Plan) distinct(of string) string {
	want := name(of)
	n := want
	for i := 2; slices.Contains(p.names, n); i++ {
		n = fmt.Sprintf("%s-%d", want, i)
	}
	p.names = append(p.names, n)
	if n != want {
		p.note("the name %s of another app, which is called %s here", want, n)
	}
	return n
}
