package config

import (
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Every field of an app is compared, and every key of the file has its effect:
// a key that apply overlooks would be a change that never happens.
func TestDiffKnowsEveryKey(t *testing.T) {
	fields, keys := map[string]int{"Name": 1}, map[string]bool{"shell": true} // a part of Command
	for _, k := range keyEffects {
		keys[k.key] = true
		for _, f := range k.fields {
			fields[f]++
		}
	}
	for f := range reflect.TypeFor[App]().Fields() {
		if fields[f.Name] != 1 {
			t.Errorf("the field %s is compared %d times", f.Name, fields[f.Name])
		}
	}
	for _, k := range appKeys {
		if !keys[k.name] {
			t.Errorf("the key %s has no effect", k.name)
		}
	}
}

func TestDiff(t *testing.T) {
	const web, job = "[apps.web]\ncommand = \"serve\"\nport = 8080\n", "[apps.job]\ncommand = \"work\"\n"
	changed := func(effect Effect, keys ...string) Difference {
		return Difference{Changed: []Change{{App: "web", Keys: keys, Effect: effect}}}
	}
	for _, tt := range []struct {
		name, old, new string
		want           Difference
	}{
		{"nothing", web + job, web + "# a comment\n" + job, Difference{}},
		{"the order of apps", web + job, job + web, Difference{}},
		{"an app more", web, web + job, Difference{Added: []string{"job"}}},
		{"an app less", web + job, web, Difference{Removed: []string{"job"}}},
		{"another name", web, "[apps.www]\ncommand = \"serve\"\nport = 8080\n", Difference{Added: []string{"www"}, Removed: []string{"web"}}},
		{"the cluster's name", web, "name = \"x\"\n" + web, Difference{Top: []string{"name"}}},
		{"what is the default", web, web + "restart = \"always\"\nenv = {}\nsuccess_codes = [0]\n", Difference{}},
		{"more instances", web, web + "instances = 3\n", changed(EffectScale, "instances")},
		{"a live key", web, web + "stop_timeout = \"1s\"\n", changed(EffectLive, "stop_timeout")},
		{"the environment", web, web + "env = { A = 1 }\n", changed(EffectReload, "env")},
		{"the command", web, web + "shell = \"/bin/bash\"\n", changed(EffectReload, "command")},
		{"the port", web, "[apps.web]\ncommand = \"serve\"\nport = 8081\n", changed(EffectRestart, "port")},
		{"the port away", web, "[apps.web]\ncommand = \"serve\"\n", changed(EffectRestart, "port")},
		{"the mask", web + "umask = \"022\"\n", web + "umask = 0o022\n", Difference{}},
		{"several keys", web, web + "env = { A = 1 }\ninstances = 2\nlog.file = \"x\"\n", changed(EffectReload, "instances", "env", "log")},
		{"the limit of memory", web, web + "limits.memory = \"1GB\"\n", changed(EffectLive, "limits")},
		{"the limit of files", web, web + "limits.nofile = 99\n", changed(EffectReload, "limits")},
		{"the limit of CPU time", web, web + "limits.cpu = 0.5\n", changed(EffectReload, "limits")},
		{"a schedule", job, job + "schedule = \"@daily\"\n", Difference{Changed: []Change{{App: "job", Keys: []string{"restart", "schedule"}, Effect: EffectLive}}}},
		{"the same schedule", job + "schedule = \"@daily\"\n", job + "schedule = \"@daily\"\n", Difference{}},
		{"the defaults", web + job, "[defaults]\nenv = { A = 1 }\n" + web + job, Difference{Changed: []Change{
			{App: "web", Keys: []string{"env"}, Effect: EffectReload}, {App: "job", Keys: []string{"env"}, Effect: EffectReload},
		}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := write(t, tt.old)
			before, err := Load("cluster.toml")
			if err != nil {
				t.Fatal(err)
			}
			writeBeside(t, "cluster.toml", tt.new)
			after, err := Load(dir + "/cluster.toml")
			if err != nil {
				t.Fatal(err)
			}
			got := Diff(before, after)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if got.Empty() != (tt.want.Added == nil && tt.want.Removed == nil && tt.want.Changed == nil && tt.want.Top == nil) {
				t.Errorf("Empty is %v", got.Empty())
			}
		})
	}
}

// What a file of variables says counts as much as what the config says.
func TestDiffSeesEnvFiles(t *testing.T) {
	write(t, "env_file = \".env\"\n[apps.web]\ncommand = \"x\"\n")
	writeBeside(t, ".env", "A=1")
	before, err := Load("cluster.toml")
	if err != nil {
		t.Fatal(err)
	}
	writeBeside(t, ".env", "A=2")
	after, err := Load("cluster.toml")
	if err != nil {
		t.Fatal(err)
	}
	want := Difference{Changed: []Change{{App: "web", Keys: []string{"env_file"}, Effect: EffectReload}}}
	if diff := cmp.Diff(want, Diff(before, after)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
