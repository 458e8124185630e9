package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// write makes shop/cluster.toml in a new folder the working folder's only
// file, so that errors name it "cluster.toml". It returns the folder.
func write(t testing.TB, text string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "shop")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "cluster.toml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	if t, ok := t.(*testing.T); ok {
		t.Chdir(dir)
	}
	return dir
}

// mustLoad loads a file of that text.
func mustLoad(t *testing.T, text string) *Config {
	t.Helper()
	write(t, text)
	c, err := Load("cluster.toml")
	if err != nil {
		t.Fatalf("Load:\n%v", err)
	}
	return c
}

// wantErrors loads a file of that text and compares the errors, one a line.
// DIR stands for the file's folder.
func wantErrors(t *testing.T, text string, want ...string) {
	t.Helper()
	dir := write(t, text)
	c, err := Load("cluster.toml")
	if err == nil {
		t.Fatalf("Load: no error, but %+v", c)
	}
	if c != nil {
		t.Errorf("Load: a config besides the error: %+v", c)
	}
	if diff := cmp.Diff(strings.Join(want, "\n"), strings.ReplaceAll(err.Error(), dir, "DIR")); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
}

func TestLoadDefaults(t *testing.T) {
	dir := write(t, "[apps.web]\ncommand = \"bun server.ts\"\n")
	c, err := Load("cluster.toml")
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		Name: "shop",
		Path: filepath.Join(dir, "cluster.toml"),
		Dir:  dir,
		Apps: []App{{
			Name:           "web",
			Command:        Command{Line: "bun server.ts", Shell: "/bin/sh"},
			Instances:      1,
			Cwd:            dir,
			Env:            map[string]string{},
			Listen:         ListenAuto,
			Count:          CountAuto,
			Balance:        BalanceAuto,
			Restart:        RestartAlways,
			SuccessCodes:   []int{0},
			BackoffMin:     100 * time.Millisecond,
			BackoffMax:     30 * time.Second,
			BackoffReset:   10 * time.Second,
			MaxRestarts:    10,
			RestartWindow:  time.Minute,
			StopSignal:     syscall.SIGTERM,
			StopTimeout:    10 * time.Second,
			Ready:          Probe{Interval: 250 * time.Millisecond, Timeout: 30 * time.Second},
			Health:         Probe{Interval: 10 * time.Second, Timeout: 2 * time.Second, Failures: 3},
			ReloadParallel: 1,
			Autostart:      true,
			FileEnv:        map[string]string{},
			Watch:          Watch{Gitignore: true, Debounce: 300 * time.Millisecond, Action: WatchReload},
			Log:            Log{MaxSize: 10 << 20, Keep: 5, Format: LogText},
		}},
	}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
}

func TestLoadEveryKey(t *testing.T) {
	t.Setenv("WHO", "world")
	dir := write(t, `
name = "my.shop_2"

[apps.web]
command        = ["bun", "--greet=${WHO}", "", "$$HOME"]
port           = 8080
host           = "127.0.0.1"
instances      = "cpus"
cwd            = "src/../src"
env            = { HELLO = "${WHO}", PLAIN = "$WHO", PORT2 = 1_000, HEX = 0x1f, VERSION = 1.10, BIG = +1e3, YES = true, "spring.x" = "" }
shell          = "/bin/bash"
listen         = "relay"
count          = "relay"
balance        = "hash"
forwarded      = true
proxy_protocol = true
strict         = true
restart        = "on-failure"
success_codes  = [143, 0, 0]
backoff_min    = "1s"
backoff_max    = "1s"
backoff_reset  = "1m30s"
max_restarts   = 0
restart_window = "2h"
stop_signal    = "int"
stop_timeout   = "0s"
ready          = { http = "/ready?now", timeout = "5s" }
health         = { exec = "curl -f localhost:$PORT", failures = 1, interval = "1m", timeout = "3s" }
depends_on     = { db = "ready", "migrate" = "done" }
reload_parallel = 3
autostart      = false
umask          = "027"
limits         = { memory = "1.5GiB", nofile = 64, cpu = 2 }
watch          = { paths = ["src/**/*.ts", "*.{json,toml}"], ignore = "**/gen", gitignore = false, debounce = "1s", action = "restart" }
log            = { file = "logs/{app}.log", max_size = "64KiB", keep = 0, format = "json" }
[apps.db]
command        = "db"
[apps.migrate]
command        = "migrate"
restart        = "never"
depends_on     = ["db"]
`)
	if err := os.Mkdir(filepath.Join(dir, "src"), 0o755); err != nil {
		t.Fatal(err)
	}
	c, err := Load("cluster.toml")
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		Name: "my.shop_2",
		Path: filepath.Join(dir, "cluster.toml"),
		Dir:  dir,
		Apps: []App{{
			Name:      "web",
			Command:   Command{Argv: []string{"bun", "--greet=world", "", "$HOME"}},
			Port:      8080,
			Host:      "127.0.0.1",
			Instances: runtime.GOMAXPROCS(0),
			Cwd:       filepath.Join(dir, "src"),
			Env: map[string]string{
				"HELLO": "world", "PLAIN": "$WHO", "PORT2": "1000", "HEX": "31",
				"VERSION": "1.10", "BIG": "1e3", "YES": "true", "spring.x": "",
			},
			Listen:        ListenRelay,
			Count:         CountRelay,
			Balance:       BalanceHash,
			Forwarded:     true,
			ProxyProtocol: true,
			Strict:        true,
			Restart:       RestartOnFailure,
			SuccessCodes:  []int{0, 143},
			BackoffMin:    time.Second,
			BackoffMax:    time.Second,
			BackoffReset:  90 * time.Second,
			MaxRestarts:   0,
			RestartWindow: 2 * time.Hour,
			StopSignal:    syscall.SIGINT,
			StopTimeout:   0,
			Ready:         Probe{By: ByHTTP, HTTP: "/ready?now", Interval: 250 * time.Millisecond, Timeout: 5 * time.Second},
			Health: Probe{
				By: ByExec, Exec: Command{Line: "curl -f localhost:$PORT", Shell: "/bin/bash"},
				Interval: time.Minute, Timeout: 3 * time.Second, Failures: 1,
			},
			DependsOn:      []Dependency{{"db", UntilReady}, {"migrate", UntilDone}},
			ReloadParallel: 3,
			Autostart:      false,
			FileEnv:        map[string]string{},
			Umask:          new(0o27),
			Limits:         Limits{Memory: 3 << 29, Nofile: 64, CPU: 2},
			Watch: Watch{
				Paths: []string{"src/**/*.ts", "*.{json,toml}"}, Ignore: []string{"**/gen"},
				Debounce: time.Second, Action: WatchRestart,
			},
			Log: Log{File: filepath.Join(dir, "logs/web.log"), MaxSize: 64 << 10, Format: LogJSON},
		}},
	}
	if diff := cmp.Diff([]Dependency{{"db", UntilReady}}, c.App("migrate").DependsOn); diff != "" {
		t.Errorf("depends_on of migrate (-want +got):\n%s", diff)
	}
	c.Apps = c.Apps[:1]
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
}

func TestLoadDefaultsTable(t *testing.T) {
	c := mustLoad(t, `
[apps.web]
command = "web"
port = 8080
instances = 3
env.MODE = "web"
count = "off"
[apps.job]
[apps.argv]
command = ["argv"]
[defaults]
command = "job"
instances = 2
host = "localhost"
listen = "self"
count = "relay"
shell = "/bin/bash"
env = { MODE = "all", LEVEL = "info" }
success_codes = [0, 1]
`)
	job := builtin(c.Dir)
	job.Name = "job"
	job.Command = Command{Line: "job", Shell: "/bin/bash"}
	job.Instances = 2
	job.Env = map[string]string{"MODE": "all", "LEVEL": "info"}
	job.SuccessCodes = []int{0, 1}

	web := job
	web.Name = "web"
	web.Command.Line = "web"
	web.Port = 8080
	web.Host = "localhost"
	web.Instances = 3
	web.Env = map[string]string{"MODE": "web", "LEVEL": "info"}
	web.Listen = ListenSelf
	web.Count = CountOff

	argv := job
	argv.Name = "argv"
	argv.Command = Command{Argv: []string{"argv"}}

	if diff := cmp.Diff([]App{web, job, argv}, c.Apps); diff != "" {
		t.Errorf("apps (-want +got):\n%s", diff)
	}
	c.Apps[0].Env["MODE"], c.Apps[0].SuccessCodes[0] = "changed", 9
	if c.Apps[1].Env["MODE"] != "all" || c.Apps[1].SuccessCodes[0] != 0 {
		t.Error("apps share what they have from [defaults]")
	}
}

func TestConfigApp(t *testing.T) {
	c := mustLoad(t, "[apps.b]\ncommand = \"b\"\n[apps.a]\ncommand = \"a\"\n")
	if got := []string{c.Apps[0].Name, c.Apps[1].Name}; got[0] != "b" || got[1] != "a" {
		t.Errorf("apps are %v, not in the order of the file", got)
	}
	if got := c.App("a"); got != &c.Apps[1] {
		t.Errorf("App(a) = %v", got)
	}
	if got := c.App("c"); got != nil {
		t.Errorf("App(c) = %v", got)
	}
}

func TestLoadThroughSymlink(t *testing.T) {
	dir := write(t, "[apps.web]\ncommand = \"web\"\n")
	link := filepath.Join(t.TempDir(), "link.toml")
	if err := os.Symlink(filepath.Join(dir, "cluster.toml"), link); err != nil {
		t.Fatal(err)
	}
	c, err := Load(link)
	if err != nil {
		t.Fatal(err)
	}
	if c.Path != filepath.Join(dir, "cluster.toml") || c.Dir != dir || c.Name != "shop" || c.Apps[0].Cwd != dir {
		t.Errorf("Load through a link: %+v", c)
	}
}

func TestLoadUnreadable(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.WriteFile("big.toml", make([]byte, maxSize+1), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo("pipe", 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir("folder", 0o755); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"":            `"": the path of the config file is empty; name a file such as cluster.toml`,
		"folder":      "folder: is a folder; name the file in it, such as folder/cluster.toml",
		"none.toml":   "none.toml: there is no such file; create it, or name another one",
		"big.toml":    "big.toml: is larger than 1 MiB, too large for a config file; is it another file?",
		"pipe":        "pipe: is not a regular file; write the config into a file of its own",
		"big.toml/in": "big.toml/in: cannot be read: not a directory",
	} {
		_, err := Load(path)
		if err == nil || err.Error() != want {
			t.Errorf("Load(%q):\n got %v\nwant %s", path, err, want)
		}
	}
	if _, err := Load("none.toml"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file is not fs.ErrNotExist: %v", err)
	}
}

// A test may run as root, whom no file mode keeps out, so the refusal itself
// is made up.
func TestUnreadablePermission(t *testing.T) {
	r := &report{file: "cluster.toml"}
	err := r.unreadable(&fs.PathError{Op: "open", Path: "cluster.toml", Err: syscall.EACCES})
	if !strings.HasPrefix(err.Error(), "cluster.toml: permission denied; the user with the id ") || !errors.Is(err, fs.ErrPermission) {
		t.Errorf("got %v", err)
	}
}

func TestLoadErrorTypes(t *testing.T) {
	write(t, "[apps.web]\ncommand = 1\nport = 0\n")
	_, err := Load("cluster.toml")
	var all *Errors
	if !errors.As(err, &all) || len(all.List) != 2 {
		t.Fatalf("not two errors: %v", err)
	}
	want := Error{File: "cluster.toml", Line: 3, Column: 8, Message: "port must be an integer from 1 to 65535, not 0"}
	if diff := cmp.Diff(want, *all.List[1]); diff != "" {
		t.Errorf("second error (-want +got):\n%s", diff)
	}
}

func TestLoadNotTOML(t *testing.T) {
	const empty = "cluster.toml: the file is empty; declare at least one app, such as\n\n    [apps.web]\n    command = \"bun server.ts\"\n    port = 8080"
	for _, tt := range []struct{ name, text, want string }{
		{"empty", "", empty},
		{"blank", " \n\t\r\n", empty},
		{"byte order mark only", "\uFEFF", empty},
		{"not UTF-8", "[apps.web]\ncommand = \"caf\xe9\"", "cluster.toml:2:15: the byte 0xe9 is not UTF-8 text; save the file as UTF-8"},
		{"UTF-16", "\xff\xfe[\x00", "cluster.toml:1:1: the file is UTF-16 text; save it as UTF-8"},
		{"no quotes", "[apps.web]\nrestart = always", `cluster.toml:2:11: expected value but found "always" instead; text needs quotes: "always"`},
		{"columns are characters", "\uFEFF[apps.web]\nenv = { \"äöü\" = x }", `cluster.toml:2:17: expected value but found "x" instead`},
		{"no equals sign", "[apps.web]\ncommand \"x\"\n", "cluster.toml:2:9: expected '.' or '=', but got '\"' instead"},
		{"open string", "[apps.web]\ncommand = \"x\n", "cluster.toml:2:13: strings cannot contain newlines"},
		{"key twice", "[apps.web]\nport = 1\nport = 2\n", "cluster.toml:3:1: key 'apps.web.port' has already been defined"},
		{"app twice", "[apps.web]\ncommand = \"x\"\n[apps.web]\n", "cluster.toml:3:2: key 'apps.web' has already been defined"},
		{"only the first", "a b\nc d\n", "cluster.toml:1:3: expected '.' or '=', but got 'b' instead"},
		{"nested too deep", "a = " + strings.Repeat("[", 1000), "cluster.toml:1:69: tables or arrays are nested more than 64 deep here"},
		{"NUL", "[apps.web]\ncommand = \"x\x00\"", `cluster.toml:2:13: a config file must not contain the control character 0x00; in a string write \u0000`},
	} {
		t.Run(tt.name, func(t *testing.T) { wantErrors(t, tt.text, tt.want) })
	}
}
