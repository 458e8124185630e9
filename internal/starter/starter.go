// Package starter writes the first cluster.toml of a project: from what other
// process managers have been told of it, where they have.
package starter

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// Plan is what was found in a folder.
type Plan struct {
	Source string   // the file that it is from; "": none was there
	Notes  []string // what could not be translated, one sentence each
	apps   []app
	names  []string // that apps have, or are going to
}

// app is one app as it will stand in the file: its keys with their values in TOML.
type app struct {
	name string
	keys [][2]string
}

// set adds a key with a value, which is a string, a number, a bool, a list of
// strings or a table of strings.
func (a *app) set(key string, value any) {
	a.keys = append(a.keys, [2]string{key, literal(value)})
}

// literal is a value in TOML.
func literal(value any) string {
	switch v := value.(type) {
	case map[string]string:
		names := make([]string, 0, len(v))
		for name := range v {
			names = append(names, name)
		}
		slices.Sort(names)
		for i, name := range names {
			// A $ of another manager is not one of clusterd's references.
			names[i] = literal(name) + " = " + literal(strings.ReplaceAll(v[name], "${", "$${"))
		}
		return "{ " + strings.Join(names, ", ") + " }"
	case []string:
		out := make([]string, len(v))
		for i, s := range v {
			out[i] = literal(s)
		}
		return "[" + strings.Join(out, ", ") + "]"
	}
	var b strings.Builder
	if err := toml.NewEncoder(&b).Encode(map[string]any{"x": value}); err != nil {
		panic(err) // strings, numbers and bools
	}
	return strings.TrimSpace(strings.TrimPrefix(b.String(), "x = "))
}

// note says that something could not be translated.
func (p *Plan) note(format string, args ...any) {
	p.Notes = append(p.Notes, fmt.Sprintf(format, args...))
}

// sources are the files that are looked for, those that say most first.
var sources = []struct {
	name string
	read func(p *Plan, text []byte) error
}{
	{"process-compose.yaml", readCompose},
	{"process-compose.yml", readCompose},
	{"ecosystem.config.json", readEcosystem},
	{"Procfile", readProcfile},
	{"package.json", readPackage},
}

// Look finds out what runs in the project in a folder. The error says which file
// cannot be read, and why.
func Look(dir string) (Plan, error) {
	for _, s := range sources {
		text, err := os.ReadFile(filepath.Join(dir, s.name))
		if os.IsNotExist(err) {
			continue
		}
		p := Plan{Source: s.name}
		if err == nil {
			err = s.read(&p, text)
		}
		if err != nil {
			return Plan{}, fmt.Errorf("read %s: %w", s.name, err)
		}
		if len(p.apps) > 0 {
			return p, nil
		}
	}
	p := Plan{}
	for _, name := range []string{"ecosystem.config.js", "ecosystem.config.cjs"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			p.note("%s is a program, which is not run; write what it exports to ecosystem.config.json, and call clusterd init again", name)
		}
	}
	a := app{name: "web"}
	a.set("command", "echo 'write here what starts your server'; exec sleep infinity")
	p.apps = []app{a}
	return p, nil
}

// name makes a name that an app can have of any.
func name(s string) string {
	ok := func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '-'
	}
	if s = strings.Trim(strings.Map(ok, s), "-_"); s == "" {
		return "app"
	}
	return s
}

// Text is the file.
func (p Plan) Text() string {
	var b strings.Builder
	b.WriteString("# What clusterd runs here. clusterd check says what it makes of this file,\n# clusterd help how to go on.\n")
	if p.Source != "" {
		fmt.Fprintf(&b, "# Made from %s.\n", p.Source)
	}
	for _, n := range p.Notes {
		fmt.Fprintf(&b, "# Not translated: %s.\n", strings.ReplaceAll(n, "\n", " "))
	}
	for i, a := range p.apps {
		fmt.Fprintf(&b, "\n[apps.%s]\n", a.name)
		for _, k := range a.keys {
			fmt.Fprintf(&b, "%s = %s\n", k[0], k[1])
		}
		if i == 0 {
			b.WriteString(commented)
		}
	}
	return b.String()
}

// commented are the keys that most want next.
const commented = `# port = 8080                        # one public port for all instances of a server
# instances = 4                      # or "cpus"
# env_file = ".env"
# health = { http = "/health" }      # restarted when it fails
# watch = { paths = ["src/**"] }     # reloaded when files change
# log = { file = "logs/{app}.log" }
`
