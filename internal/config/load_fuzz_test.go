package config

import (
	"path/filepath"
	"strings"
	"testing"
)

func FuzzLoad(f *testing.F) {
	for _, seed := range []string{
		"name = \"x\"\n[apps.web]\ncommand = \"bun server.ts\"\nport = 8080\ninstances = 4\n",
		"[apps.a]\ncommand = [\"x\", \"${HOME}\", \"$$\", \"${Y:-${Z:-d}}\"]\nenv = { A = 1, B = 1.5, C = true, \"\" = 2 }\n",
		"[defaults]\nport = 1\ncwd = \"/\"\nlisten = \"self\"\n[apps.a]\n[apps.b]\ncount = \"relay\"\nhost = \"::\"",
		"[[apps]]\n[[apps.x]]\n", "apps = 3\ndefaults = []\nport = 1", "[app.web]\nstop_signal = 9\nstop_timeout=\"10\"",
		"[apps.web]\nhealth = {}\nlisten = \"adopt\"\nsuccess_codes = [1, 256, \"x\"]\nbackoff_min = \"1h\"\n",
		"[apps]\ncommand = \"x\"\n[apps.\"a/b\"]\ninstances = \"cpus\"\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r := &reader{report: report{file: "f"}, dir: "/", lookup: func(string) (string, bool) { return "", false }}
		root := r.parse(text)
		if root == nil {
			if len(r.list) == 0 {
				t.Fatal("neither a tree nor an error")
			}
			return
		}
		c := r.config(root)
		if r.err() != nil {
			for _, e := range r.list {
				if e.Message == "" || e.Line == 0 && !strings.HasPrefix(e.Message, "no apps") {
					t.Errorf("an error without text or position: %v", e)
				}
			}
			return
		}
		if len(c.Apps) == 0 || c.Name == "" {
			t.Errorf("accepted without an app or a name: %+v", c)
		}
		for _, a := range c.Apps {
			if nameMistake(a.Name) != "" || a.Instances < 0 || a.BackoffMin > a.BackoffMax || !filepath.IsAbs(a.Cwd) ||
				(a.Command.Line == "") == (a.Command.Argv == nil) || a.Command.Args()[0] == "" {
				t.Errorf("accepted: %+v", a)
			}
		}
	})
}
