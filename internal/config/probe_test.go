package config

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestMistakesInProbes(t *testing.T) {
	const at = "cluster.toml:4:"
	for _, tt := range []struct{ key, want string }{
		{`ready = "/health"`, `9: ready must be a table such as { http = "/health" }, not "/health"; write { http = "/health" }`},
		{`ready = "notify"`, `9: ready must be a table such as { http = "/health" }, not "notify"; write { notify = true }`},
		{`ready = "http"`, `9: ready must be a table such as { http = "/health" }, not "http"`},
		{`ready = true`, `9: ready must be a table such as { http = "/health" }, not true`},
		{`ready = {}`, `9: ready must have exactly one of "http", "tcp", "exec", "log" or "notify", not none`},
		{`ready = { tcp = true, http = "/" }`, `9: ready must have exactly one of "http", "tcp", "exec", "log" or "notify", not "tcp" and "http"`},
		{`ready = { interval = "1s" }`, `9: ready must have exactly one of "http", "tcp", "exec", "log" or "notify", not none`},
		{`ready = { timeuot = "1s", tcp = true }`, `11: unknown key "timeuot" in ready; did you mean "timeout"?`},
		{`ready = { watchdog = true }`, `11: unknown key "watchdog" in ready`},
		{`ready = { failures = 2, tcp = true }`, `11: unknown key "failures" in ready`},
		{`ready = { http = "health" }`, `18: ready.http must be a path that begins with "/", such as "/health", not "health"`},
		{`ready = { http = "http://localhost:80/a?b" }`, `18: ready.http must be a path that begins with "/", such as "/health", not "http://localhost:80/a?b"; write "/a?b", each instance is asked for it`},
		{`ready = { http = 1 }`, `18: ready.http must be a path such as "/health", not 1`},
		{`ready = { tcp = false }`, `17: ready.tcp must be true, not false; to ask in another way, write that instead`},
		{`ready = { exec = "" }`, `18: ready.exec is empty; it must be a string such as "bun server.ts", or an array such as ["bun", "server.ts"]`},
		{`ready = { log = "(" }`, "17: ready.log is no regular expression: missing closing ): `(`"},
		{`ready = { log = "" }`, `17: ready.log is empty, and every line would match it`},
		{`ready = { log = "x", interval = "1s" }`, `22: ready.interval has no meaning with "log": the instance itself says when; leave it out`},
		{`ready = { tcp = true, timeout = 5 }`, `33: ready.timeout must be a duration with a unit, such as "100ms", "10s" or "5m", not 5; write "5s" for seconds`},
		{`health = { notify = true }`, `12: unknown key "notify" in health`},
		{`health = { tcp = true, failures = 0 }`, `35: health.failures must be an integer from 1 to 1000, not 0`},
		{`health = { watchdog = true, timeout = "1s" }`, `29: health.timeout has no meaning with "watchdog": the instance itself says when; leave it out`},
	} {
		t.Run(tt.key, func(t *testing.T) {
			wantErrors(t, "[apps.web]\ncommand = \"x\"\nport = 80\n"+tt.key+"\n", at+tt.want)
		})
	}
}

// What [defaults] ask of every app, an app without a port cannot be asked.
func TestProbesFromDefaults(t *testing.T) {
	c := mustLoad(t, `
[defaults]
command = "x"
ready = { http = "/", timeout = "9s" }
health.watchdog = true
[apps.web]
port = 80
health = { tcp = true }
[apps.worker]
`)
	want := []Probe{
		{By: ByHTTP, HTTP: "/", Interval: 250 * time.Millisecond, Timeout: 9 * time.Second},
		{By: ByTCP, Interval: 10 * time.Second, Timeout: 2 * time.Second, Failures: 3},
		builtinReady,
		{By: ByWatchdog, Interval: 10 * time.Second, Timeout: 2 * time.Second, Failures: 3},
	}
	got := []Probe{c.Apps[0].Ready, c.Apps[0].Health, c.Apps[1].Ready, c.Apps[1].Health}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("probes (-want +got):\n%s", diff)
	}
	wantErrors(t, "[defaults]\nready.http = \"/\"\n[apps.web]\ncommand = \"x\"\nready = 5\n",
		`cluster.toml:5:9: ready must be a table such as { http = "/health" }, not 5`)
}

// An app with a port is ready when it listens, for which it may be given more time; a
// worker needs none.
func TestOnlyTimeToListen(t *testing.T) {
	c := mustLoad(t, "[defaults]\ncommand = \"x\"\nready.timeout = \"2m\"\n[apps.web]\nport = 80\n[apps.worker]\n")
	want := Probe{Interval: 250 * time.Millisecond, Timeout: 2 * time.Minute}
	if diff := cmp.Diff(want, c.Apps[0].Ready); diff != "" {
		t.Errorf("ready (-want +got):\n%s", diff)
	}
	wantErrors(t, "[apps.job]\ncommand = \"x\"\nready = { timeout = \"2m\" }\n",
		`cluster.toml:3:1: ready.timeout alone says how long it may take to listen, and [apps.job] has no port: it is ready at once; add a way to tell, such as { log = "listening on" }`)
}

func TestMistakesInDependencies(t *testing.T) {
	const apps = "[apps.web]\ncommand = \"x\"\ndepends_on = %\n[apps.db]\ncommand = \"x\"\n[apps.job]\ncommand = \"x\"\nrestart = \"never\"\n"
	for _, tt := range []struct{ value, want string }{
		{`"db"`, `14: depends_on must be an array of apps, such as ["db"], or a table such as { db = "ready" }, not "db"; write ["db"]`},
		{`["db", 1]`, `21: an element of depends_on must be the name of an app, not 1`},
		{`["dbb"]`, `15: [apps.web] depends on "dbb", and there is no such app; did you mean "db"?`},
		{`["elsewhere"]`, `15: [apps.web] depends on "elsewhere", and there is no such app; the apps are web, db, job`},
		{`["db", "web"]`, `21: [apps.web] depends on itself`},
		{`["db", "db"]`, `15: [apps.web] depends on db twice`},
		{`{ db = "up" }`, `21: depends_on.db must be "started", "ready" or "done", not "up"`},
		{`{ db = "done" }`, `16: [apps.web] waits until db is done, which it never is, since it is always restarted; give it restart = "on-failure" or "never"`},
	} {
		t.Run(tt.value, func(t *testing.T) {
			wantErrors(t, strings.Replace(apps, "%", tt.value, 1), "cluster.toml:3:"+tt.want)
		})
	}
	for _, tt := range []struct{ name, file, want string }{
		{"two", "[apps.a]\ncommand = \"x\"\ndepends_on = [\"b\"]\n[apps.b]\ncommand = \"x\"\ndepends_on.a = \"started\"\n",
			"cluster.toml:3:15: depends_on goes round in a circle, so that none of them could start: a on b, b on a"},
		{"three, and one before", "[apps.z]\ncommand = \"x\"\ndepends_on = [\"a\"]\n[apps.a]\ncommand = \"x\"\ndepends_on = [\"b\"]\n" +
			"[apps.b]\ncommand = \"x\"\ndepends_on = [\"c\"]\n[apps.c]\ncommand = \"x\"\ndepends_on = [\"a\"]\n",
			"cluster.toml:6:15: depends_on goes round in a circle, so that none of them could start: a on b, b on c, c on a"},
		{"through defaults", "[defaults]\ncommand = \"x\"\ndepends_on = [\"db\"]\n[apps.db]\ndepends_on = [\"web\"]\n[apps.web]\n",
			"cluster.toml:5:15: depends_on goes round in a circle, so that none of them could start: db on web, web on db"},
		{"unknown in defaults", "[defaults]\ncommand = \"x\"\ndepends_on = [\"bd\"]\n[apps.db]\n[apps.web]\n",
			`cluster.toml:3:15: [defaults] depends on "bd", and there is no such app; did you mean "db"?`},
	} {
		t.Run(tt.name, func(t *testing.T) { wantErrors(t, tt.file, tt.want) })
	}
}

// What [defaults] say holds for all the others.
func TestDependencyOfAllOthers(t *testing.T) {
	c := mustLoad(t, "[defaults]\ncommand = \"x\"\ndepends_on = [\"db\"]\n[apps.db]\n[apps.web]\n")
	if len(c.Apps[0].DependsOn) != 0 || !cmp.Equal(c.Apps[1].DependsOn, []Dependency{{"db", UntilReady}}) {
		t.Errorf("%+v", c.Apps)
	}
}
