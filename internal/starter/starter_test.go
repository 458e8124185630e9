package starter

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"clusterd/internal/config"
)

// Each project becomes a file that can be loaded, and says what is missing in it.
func TestLook(t *testing.T) {
	for _, tt := range []struct {
		name  string
		files map[string]string
		has   []string
		notes string
	}{
		{"nothing", nil, []string{"[apps.web]"}, ""},
		{"Procfile", map[string]string{"Procfile": "# x\nweb: bundle exec puma -p $PORT\nworker: rake \"a b\"\n???\n"},
			[]string{"[apps.web]\ncommand = \"bundle exec puma -p $PORT\"", "[apps.worker]\ncommand = \"rake \\\"a b\\\"\"", "# Made from Procfile."}, `the line "???"`},
		{"a name twice", map[string]string{"Procfile": "web: a\nweb-2: b\nweb: c\n"},
			[]string{"[apps.web]\ncommand = \"a\"", "[apps.web-2]\ncommand = \"b\"", "[apps.web-3]\ncommand = \"c\"", "# Not translated: the name web of another app"},
			"the name web of another app, which is called web-3 here"},
		{"names that become one", map[string]string{"process-compose.yaml": `
processes:
  a.b: {command: "first"}
  a/b: {command: "second"}
  c: {command: "third", depends_on: {a/b: {}}}
`}, []string{"[apps.a-b]\ncommand = \"first\"", "[apps.a-b-2]\ncommand = \"second\"", "depends_on = { \"a-b-2\" = \"started\" }"},
			"the name a-b of another app, which is called a-b-2 here"},
		{"package.json", map[string]string{"package.json": `{"name":"@me/shop","scripts":{"dev":"vite","start":"node ."}}`},
			[]string{"[apps.shop]\ncommand = \"npm run start\""}, ""},
		{"ecosystem", map[string]string{"package.json": `{"scripts":{"start":"x"}}`, "ecosystem.config.json": `{"apps":[
			{"name":"api","script":"server.js","args":"--x","instances":"max","exec_mode":"cluster","env":{"N":1,"S":"a ${B}"},"watch":true},
			{"name":"api","script":"./job.py","instances":2,"autorestart":false,"max_restarts":3}]}`},
			[]string{"[apps.api]\ncommand = \"node server.js --x\"\ninstances = \"cpus\"\nenv = { \"N\" = \"1\"", "[apps.api-2]\ncommand = \"python3 ./job.py\"\ninstances = 2\nrestart = \"never\"\nmax_restarts = 3"}, "watch of api; the name api of another app, which is called api-2 here"},
		{"process-compose", map[string]string{"process-compose.yaml": `
processes:
  db: {command: "postgres", availability: {restart: always}}
  migrate: {command: "migrate up", depends_on: {db: {condition: process_healthy}}}
  web:
    command: |
      serve
    environment: ["A=1"]
    replicas: 3
    availability: {restart: on_failure}
    depends_on: {migrate: {condition: process_completed_successfully}}
    readiness_probe: {}
`}, []string{"[apps.db]\ncommand = \"postgres\"\n", "depends_on = { \"db\" = \"ready\" }", "instances = 3", "restart = \"on-failure\"", "depends_on = { \"migrate\" = \"done\" }"}, "readiness_probe of web"},
		{"a program", map[string]string{"ecosystem.config.js": "module.exports = {}"}, []string{"[apps.web]"},
			"ecosystem.config.js is a program, which is not run; write what it exports to ecosystem.config.json, and call clusterd init again"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range tt.files {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			p, err := Look(dir)
			if err != nil {
				t.Fatal(err)
			}
			text := p.Text()
			for _, part := range tt.has {
				if !strings.Contains(text, part) {
					t.Errorf("no %q in\n%s", part, text)
				}
			}
			if got := strings.Join(p.Notes, "; "); got != tt.notes {
				t.Errorf("notes: %s", got)
			}
			path := filepath.Join(dir, "cluster.toml")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := config.Load(path); err != nil {
				t.Errorf("%v in\n%s", err, text)
			}
			// What is commented out is right as well.
			open := strings.NewReplacer("# port", "port", "# health", "health", "# watch", "watch", "# log", "log").Replace(text)
			if err := os.WriteFile(path, []byte(open), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := config.Load(path); err != nil {
				t.Errorf("%v in\n%s", err, open)
			}
		})
	}
}
