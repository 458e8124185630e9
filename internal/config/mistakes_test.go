package config

import (
	"testing"
)

// Each case is a file and all of its errors; where the case is about an app's
// keys alone, the file is the table [apps.web] with a command and those keys
// from line 3 on.
func TestMistakesInApp(t *testing.T) {
	t.Setenv("EMPTY", "")
	const at = "cluster.toml:3:"
	for _, tt := range []struct{ key, want string }{
		{`  instnaces = 4`, `3: unknown key "instnaces" in [apps.web]; did you mean "instances"?`},
		{`prot = 1`, `1: unknown key "prot" in [apps.web]; did you mean "port"?`},
		{`Stop-Signal = 1`, `1: unknown key "Stop-Signal" in [apps.web]; did you mean "stop_signal"?`},
		{`workers = 4`, `1: unknown key "workers" in [apps.web]; did you mean "instances"?`},
		{`colour = "red"`, `1: unknown key "colour" in [apps.web]`},
		{`"a b" = 1`, `1: unknown key "a b" in [apps.web]`},
		{`name = "x"`, `1: unknown key "name" in [apps.web]; the app's name is the one in the table's header, the cluster's stands before the first table`},
		{`defaults = {}`, `1: unknown key "defaults" in [apps.web]; it belongs to the top of the file, before the first table`},
		{`metrics = ":1"`, `1: unknown key "metrics" in [apps.web]; it belongs to the top of the file, before the first table`},
		{`health.http = "/"`, `8: health by "http" needs a port, and [apps.web] has none; add one, such as port = 8080, or ask by "exec"`},

		{`port = 0`, `8: port must be an integer from 1 to 65535, not 0`},
		{`port = 65_536`, `8: port must be an integer from 1 to 65535, not 65_536`},
		{`port = "8080"`, `8: port must be an integer from 1 to 65535, not "8080"; write 8080 without quotes`},
		{`port = 80.0`, `8: port must be an integer from 1 to 65535, not 80.0`},
		{`port = [80]`, `8: port must be an integer from 1 to 65535, not an array`},
		{`port.http = 80`, `1: port must be an integer from 1 to 65535, not a table`},
		{`instances = -1`, `13: instances must be an integer from 0 to 1000 or "cpus", not -1`},
		{`instances = 1001`, `13: instances must be an integer from 0 to 1000 or "cpus", not 1001`},
		{`instances = "4"`, `13: instances must be an integer from 0 to 1000 or "cpus", not "4"; write 4 without quotes`},
		{`instances = "cpu"`, `13: instances must be an integer from 0 to 1000 or "cpus", not "cpu"; did you mean "cpus"?`},
		{`max_restarts = -1`, `16: max_restarts must be an integer of 0 or more, not -1`},
		{`autostart = "yes"`, `13: autostart must be true or false, not "yes"`},
		{`autostart = 1979-05-27 07:32:00`, `13: autostart must be true or false, not 1979-05-27 07:32:00`},

		{`host = "example.com"`, `8: host must be an IP address, "localhost", or "" for every address of the machine, not "example.com"`},
		{`host = "[::1]"`, `8: host must be an IP address, "localhost", or "" for every address of the machine, not "[::1]"; write it without brackets`},
		{`host = "::1:80]"`, `8: host must be an IP address, "localhost", or "" for every address of the machine, not "::1:80]"`},
		{`host = "127.0.0.1:80"`, `8: host must be an IP address, "localhost", or "" for every address of the machine, not "127.0.0.1:80"; write host = "127.0.0.1", and the port as port`},
		{`host = 80`, `8: host must be an IP address, "localhost", or "" for every address of the machine, not 80`},
		{`host = "::1"`, `8: host = "::1" needs a port, and [apps.web] has none; add one, such as port = 8080`},

		{`listen = "relya"`, `10: listen must be "auto", "adopt", "fd", "self" or "relay", not "relya"; did you mean "relay"?`},
		{`listen = "x"`, `10: listen must be "auto", "adopt", "fd", "self" or "relay", not "x"`},
		{`listen = "adopt"`, `10: listen = "adopt" needs a port, and [apps.web] has none; add one, such as port = 8080`},
		{`listen = "self"`, `10: listen = "self" needs a port, and [apps.web] has none; add one, such as port = 8080`},
		{`listen = "relay"`, `10: listen = "relay" needs a port, and [apps.web] has none; add one, such as port = 8080`},
		{`count = "kernels"`, `9: count must be "auto", "ebpf", "relay", "kernel" or "off", not "kernels"; did you mean "kernel"?`},
		{`count = "ebpf"`, `9: count = "ebpf" needs a port, and [apps.web] has none; add one, such as port = 8080`},
		{`count = "relay"`, `9: count = "relay" needs a port, and [apps.web] has none; add one, such as port = 8080`},
		{`count = false`, `9: count must be "auto", "ebpf", "relay", "kernel" or "off", not false`},
		{`balance = "Hash"`, `11: balance must be "auto" or "hash", not "Hash"; did you mean "hash"?`},
		{`forwarded = "yes"`, `13: forwarded must be true or false, not "yes"`},
		{`proxy_protocol = true`, `18: proxy_protocol = true needs a port, and [apps.web] has none; add one, such as port = 8080`},
		{`strict = true`, `10: strict = true needs a port, and [apps.web] has none; add one, such as port = 8080`},
		{"strict = true\nlisten = \"adopt\"\nport = 80", `10: strict = true cannot be had with listen = "adopt": only the relay can refuse requests; use listen = "relay", or "auto"`},
		{"forwarded = true\nlisten = \"fd\"\nport = 80", `13: forwarded = true cannot be had with listen = "fd": only the relay adds to requests; use listen = "relay", or "auto"`},
		{"proxy_protocol = true\ncount = \"ebpf\"\nport = 80", `18: proxy_protocol = true cannot be had with count = "ebpf": only the relay makes connections to instances, and it counts by itself; use count = "relay", or "auto"`},
		{"proxy_protocol = true\ncount = \"kernel\"\nport = 80", `18: proxy_protocol = true cannot be had with count = "kernel": only the relay makes connections to instances, and it counts by itself; use count = "relay", or "auto"`},
		{`restart = "on_failure"`, `11: restart must be "always", "on-failure" or "never", not "on_failure"; did you mean "on-failure"?`},

		{`success_codes = 0`, `17: success_codes must be an array of exit codes, such as [0, 143], not 0; write [0]`},
		{`success_codes = [0, 256]`, `21: an element of success_codes must be an integer from 0 to 255, not 256`},
		{`success_codes = [[0]]`, `18: an element of success_codes must be an integer from 0 to 255, not an array`},

		{`stop_timeout = 10`, `16: stop_timeout must be a duration with a unit, such as "100ms", "10s" or "5m", not 10; write "10s" for seconds`},
		{`stop_timeout = "10"`, `16: stop_timeout must be a duration with a unit, such as "100ms", "10s" or "5m", not "10"; write "10s" for seconds`},
		{`stop_timeout = "1d"`, `16: stop_timeout must be a duration with a unit, such as "100ms", "10s" or "5m", not "1d"`},
		{`stop_timeout = ""`, `16: stop_timeout must be a duration with a unit, such as "100ms", "10s" or "5m", not ""`},
		{`stop_timeout = "-1s"`, `16: stop_timeout must be "0s" or more, not "-1s"`},
		{`backoff_min = "0s"`, `15: backoff_min must be more than "0s", not "0s"`},
		{`restart_window = "0s"`, `18: restart_window must be more than "0s", not "0s"`},
		{`backoff_min = "1m"`, `15: backoff_min, "1m", must not be more than backoff_max, "30s" by default`},
		{`backoff_max = "50ms"`, `15: backoff_min, "100ms" by default, must not be more than backoff_max, "50ms"`},

		// A refused value is not compared with anything.
		{"backoff_max = 5\nbackoff_min = \"1h\"", `15: backoff_max must be a duration with a unit, such as "100ms", "10s" or "5m", not 5; write "5s" for seconds`},

		{`stop_signal = "SIGTREM"`, `15: stop_signal must be a signal such as "SIGTERM" or "INT", or a number from 1 to 64, not "SIGTREM"; did you mean "SIGTERM"?`},
		{`stop_signal = "SIG"`, `15: stop_signal must be a signal such as "SIGTERM" or "INT", or a number from 1 to 64, not "SIG"`},
		{`stop_signal = 65`, `15: stop_signal must be a signal such as "SIGTERM" or "INT", or a number from 1 to 64, not 65`},

		{`env_file = ""`, `12: env_file is empty; name a file such as ".env"`},
		{`env_file = ["none.env"]`, `13: env_file "DIR/none.env" does not exist; relative paths start at the folder of this file`},
		{`env_file = "."`, `12: env_file "DIR" cannot be used: is a folder`},
		{`user = "nobody-there"`, `8: user "nobody-there" does not exist on this machine`},
		{`group = -1`, `9: group must be the name of a group, or its number, not -1`},
		{`user = 123456789`, `8: user 123456789 is unknown on this machine, and so is its group; add one, such as group = 123456789`},
		{`umask = 22`, `9: umask must be an octal mask in quotes, such as "027", not 22; write "22"`},
		{`umask = "08"`, `9: umask must be an octal mask in quotes, such as "027", not "08"`},
		{`umask = "1777"`, `9: umask must be an octal mask in quotes, such as "027", not "1777"`},
		{`limits = "512MiB"`, `10: limits must be a table, such as { memory = "512MiB", nofile = 65536, cpu = 1.5 }, not "512MiB"`},
		{`limits.memroy = "1GB"`, `8: unknown key "memroy" in limits; did you mean "memory"?`},
		{`limits.memory = "1 bit"`, `17: limits.memory must be a size with a unit, such as "512MiB" or "1.5GB", not "1 bit"`},
		{`limits.memory = 512`, `17: limits.memory must be a size with a unit, such as "512MiB" or "1.5GB", not 512; write "512MiB" for mebibytes, or "512B" for bytes`},
		{`limits.memory = "-1GB"`, `17: limits.memory must be a size with a unit, such as "512MiB" or "1.5GB", not "-1GB"`},
		{`limits.nofile = "many"`, `17: limits.nofile must be an integer of 1 or more, not "many"`},
		{`limits.cpu = "1.5"`, `14: limits.cpu must be a number of CPUs from 0.01 on, such as 1.5, not "1.5"; write 1.5 without quotes`},
		{`limits.cpu = "many"`, `14: limits.cpu must be a number of CPUs from 0.01 on, such as 1.5, not "many"`},
		{`limits.cpu = 0`, `14: limits.cpu must be a number of CPUs from 0.01 on, such as 1.5, not 0`},
		{`limits.cpu = nan`, `14: limits.cpu must be a number of CPUs from 0.01 on, such as 1.5, not nan`},
		{`log = {}`, `7: log names no file; add one, such as file = "logs/web.log"`},
		{`log = "web.log"`, `7: log must be a table, such as { file = "logs/web.log", max_size = "10MiB", keep = 5 }, not "web.log"`},
		{`log.file = "."`, `12: log.file "DIR" is a folder; name a file in it`},
		{`log.file = "/dev/null"`, `12: log.file "/dev/null" is no regular file, and could not be rotated`},
		{`log = { file = "a", max_size = "1B" }`, `32: log.max_size must be "1KiB" or more, not "1B"`},
		{`log = { file = "a", format = "xml" }`, `30: log.format must be "text" or "json", not "xml"`},
		{`watch = {}`, `9: watch names no paths; add some, such as paths = ["src/**/*.ts"]`},
		{`watch.paths = ["src/[a"]`, `16: watch.paths "src/[a" is no glob; * stands for any part of a name, ** for any folders, {a,b} for one of them`},
		{`watch = { paths = ".", action = "relaod" }`, `33: watch.action must be "reload" or "restart", not "relaod"; did you mean "reload"?`},
		{`watch = { paths = ".", debounce = 300 }`, `35: watch.debounce must be a duration with a unit, such as "100ms", "10s" or "5m", not 300; write "300s" for seconds`},
		{`schedule = "0 4 * *"`, `12: schedule must be a cron expression of minute, hour, day, month and weekday, such as "30 4 * * *", or one like "@hourly" or "@every 10m", not "0 4 * *"; expected exactly 5 fields, found 4: [0 4 * *]`},
		{`schedule = "0 0 30 2 *"`, `12: schedule "0 0 30 2 *" never comes`},
		{"schedule = \"@daily\"\nport = 80", `12: schedule is for workers, and [apps.web] has a port: a server runs all the time`},

		{`cwd = "none"`, `7: cwd "DIR/none" does not exist; relative paths start at the folder of this file`},
		{`cwd = "cluster.toml"`, `7: cwd "DIR/cluster.toml" is not a folder`},
		{`cwd = "cluster.toml/x"`, `7: cwd "DIR/cluster.toml/x" cannot be used: not a directory`},
		{`cwd = "~/x"`, `7: cwd names no folder: "~" stands for itself here; write "${HOME}/x"`},
		{`cwd = ""`, `7: cwd is empty; write "." for the folder of this file, or leave it out`},
		{`cwd = "${EMPTY}"`, `7: cwd is empty; write "." for the folder of this file, or leave it out`},
		{`cwd = "${NO_SUCH}"`, `7: cwd cannot be expanded: ${NO_SUCH} is not set in clusterd's environment; set it, or give a default as in ${NO_SUCH:-default}`},
		{`cwd = 1`, `7: cwd must be the path of a folder, not 1; write "1"`},
		{`shell = " "`, `9: shell is empty; it must be the path of a shell, such as "/bin/bash"`},

		{`env = "A=1"`, `7: env must be a table of strings, such as { NODE_ENV = "production" }, not "A=1"`},
		{`env = ["A=1"]`, `7: env must be a table of strings, such as { NODE_ENV = "production" }, not an array`},
		{`env = { A = [1] }`, `13: env.A must be a string, a number, true or false, not an array`},
		{`env.A = 2020-01-01`, `9: env.A must be a string, a number, true or false, not 2020-01-01; write "2020-01-01"`},
		{`env.A.B = 1`, `5: env.A must be a string, a number, true or false, not a table`},
		{`env.A = "x${NO_SUCH}"`, `9: env.A cannot be expanded: ${NO_SUCH} is not set in clusterd's environment; set it, or give a default as in ${NO_SUCH:-default}`},
		{`env.A = "\u0000"`, `9: env.A must not contain a NUL character`},
		{`env."" = 1`, `5: "" cannot be the name of a variable: it is empty`},
		{`env."A=B" = 1`, `5: "A=B" cannot be the name of a variable: it contains "="`},
		{`env."A B" = 1`, `5: "A B" cannot be the name of a variable: it contains a space`},
		{`env."A\u0000" = 1`, `5: "A\x00" cannot be the name of a variable: it contains a control character`},
	} {
		t.Run(tt.key, func(t *testing.T) {
			wantErrors(t, "[apps.web]\ncommand = \"x\"\n"+tt.key+"\n", at+tt.want)
		})
	}
}

func TestMistakesInCommand(t *testing.T) {
	const forms = `a string such as "bun server.ts", or an array such as ["bun", "server.ts"]`
	for _, tt := range []struct{ command, want string }{
		{`8080`, `2:11: command must be ` + forms + `, not 8080`},
		{`{ run = "x" }`, `2:11: command must be ` + forms + `, not a table`},
		{`""`, `2:11: command is empty; it must be ` + forms},
		{`" \t"`, `2:11: command is empty; it must be ` + forms},
		{`"x\u0000"`, `2:11: command must not contain a NUL character`},
		{`[]`, `2:11: command is empty; it must be ` + forms},
		{`[" ", "x"]`, `2:12: the first element of command is empty; it must be the program to run`},
		{"[\n  \"x\",\n  8080,\n]", `4:3: an element of command must be a string, not 8080; write "8080"`},
		{`["x", "y\u0000"]`, `2:17: an element of command must not contain a NUL character`},
		{`["x", "${NO_SUCH}"]`, `2:17: an element of command cannot be expanded: ${NO_SUCH} is not set in clusterd's environment; set it, or give a default as in ${NO_SUCH:-default}`},
	} {
		t.Run(tt.command, func(t *testing.T) {
			wantErrors(t, "[apps.web]\ncommand = "+tt.command+"\n", "cluster.toml:"+tt.want)
		})
	}
}

func TestMistakesInFile(t *testing.T) {
	const web = "\n\n    [apps.web]\n    command = \"bun server.ts\"\n    port = 8080"
	const app = "\n[apps.web]\ncommand = \"x\"\n"
	for _, tt := range []struct{ name, text, want string }{
		{"no apps", "# nothing\n", "cluster.toml: no apps are declared; an app is a table such as" + web},
		{"apps without an app", "name = \"x\"\n[apps]\n", "cluster.toml:2:2: no apps are declared; an app is a table such as" + web},
		{"no apps, and more", "nam = 1", "cluster.toml:1:1: unknown key \"nam\" at the top of the file; did you mean \"name\"?\n" +
			"cluster.toml: no apps are declared; an app is a table such as" + web},
		{"app in the singular", "[app.web]\ncommand = \"x\"\n", `cluster.toml:1:2: unknown key "app" at the top of the file; did you mean "apps"?`},
		{"apps is no table", "apps = 3", "cluster.toml:1:8: apps must be a table of tables, not 3; write one for each app, such as" + web},
		{"apps is a list", "[[apps]]\nname = \"web\"\n", "cluster.toml:1:3: apps must be a table of tables, not an array; write one for each app, such as" + web},
		{"key in apps", "[apps]\nport = 80\n", `cluster.toml:2:1: unknown key "port" in [apps]; it belongs into the table of one app, [apps.NAME]`},
		{"app is a string", "[apps]\nweb = \"bun\"\n", `cluster.toml:2:7: apps.web must be a table, [apps.web], not "bun"`},
		{"app is a list", "[[apps.web]]\n", `cluster.toml:1:8: apps.web must be one table, not an array; write [apps.web] once, and give other apps other names`},
		{"defaults is no table", "defaults = 1" + app, "cluster.toml:1:12: defaults must be a table, [defaults], not 1"},
		{"app key at the top", "port = 80" + app, `cluster.toml:1:1: unknown key "port" at the top of the file; it belongs into [apps.NAME], or into [defaults] for all apps`},
		{"app key of a later version at the top", "health = {}" + app, `cluster.toml:1:1: unknown key "health" at the top of the file; it belongs into [apps.NAME], or into [defaults] for all apps`},
		{"name is empty", "name = \"\"" + app, "cluster.toml:1:8: name must not be empty"},
		{"name is a path", "name = \"a/b\"" + app, `cluster.toml:1:8: name may hold only letters, digits, ".", "_" and "-", and begin with a letter or digit; write "a-b"`},
		{"name is a number", "name = 7" + app, `cluster.toml:1:8: name must be a string such as "shop", not 7`},
		{"app name", "[apps.\"../x\"]\ncommand = \"x\"", `cluster.toml:1:7: the app name "../x" may hold only letters, digits, ".", "_" and "-", and begin with a letter or digit; write "x"`},
		{"no command", "[apps.web]\nport = 80", `cluster.toml:1:7: [apps.web] has no command; add what to run, such as command = "bun server.ts"`},
		{"no command in a dotted key", "apps.web.port = 80", `cluster.toml:1:6: [apps.web] has no command; add what to run, such as command = "bun server.ts"`},
		{"self and relay", app + "port = 80\nlisten = \"self\"\ncount = \"relay\"", `cluster.toml:6:9: count = "relay" cannot be had with listen = "self": ` +
			`the instances own the port, and no connection passes through the relay; use listen = "relay", or count = "auto"`},
	} {
		t.Run(tt.name, func(t *testing.T) { wantErrors(t, tt.text, tt.want) })
	}
}

// What is wrong in [defaults] is said once, there, however many apps there are.
func TestMistakesInDefaults(t *testing.T) {
	wantErrors(t, `
[defaults]
prot = 1
stop_timeout = 10
listen = "self"
count = "relay"
backoff_min = "1m"
env = { A = "${NO_SUCH}" }
[apps.a]
command = "a"
port = 1
[apps.b]
command = "b"
port = 2
listen = "auto"
backoff_max = "1s"
[apps.c]
command = "c"
port = 3
`[1:],
		`cluster.toml:2:1: unknown key "prot" in [defaults]; did you mean "port"?`,
		`cluster.toml:3:16: stop_timeout must be a duration with a unit, such as "100ms", "10s" or "5m", not 10; write "10s" for seconds`,
		`cluster.toml:5:9: count = "relay" cannot be had with listen = "self": the instances own the port, and no connection passes through the relay; use listen = "relay", or count = "auto"`,
		`cluster.toml:6:15: backoff_min, "1m", must not be more than backoff_max, "30s" by default`,
		`cluster.toml:7:13: env.A cannot be expanded: ${NO_SUCH} is not set in clusterd's environment; set it, or give a default as in ${NO_SUCH:-default}`,
		`cluster.toml:15:15: backoff_min, "1m", must not be more than backoff_max, "1s"`,
	)
}

func TestMistakesInPorts(t *testing.T) {
	wantErrors(t, `
[apps.a]
command = "a"
port = 80
host = "127.0.0.1"
[apps.b]
command = "b"
host = "127.0.0.2"
port = 80
[apps.c]
command = "c"
port = 80
[apps.d]
command = "d"
port = 81
[defaults]
port = 82
[apps.e]
command = "e"
[apps.f]
command = "f"
[apps.g]
command = "g"
port = 80
host = "wrong"
`[1:],
		`cluster.toml:11:8: port 80 is already that of [apps.a] on line 3; give [apps.c] a port or a host of its own`,
		`cluster.toml:19:7: port 82 is already that of [apps.e] on line 17; give [apps.f] a port or a host of its own`,
		`cluster.toml:24:8: host must be an IP address, "localhost", or "" for every address of the machine, not "wrong"`,
	)
}

// One file with much wrong in it: everything is said, in the file's order.
func TestMistakesTogether(t *testing.T) {
	wantErrors(t, `
# a shop
nmae = "shop"

[apps.web]
  command   = "bun server.ts"
  port      = 8080
  instnaces = 4
  env       = { A = "ä", B = [] }

[apps.api]
  command = ["bun", 3, ""]
  port    = 8080
  listen  = "relya"
  strict  = 1

  [apps.api.env]
  "X Y" = true

[app.job]
`[1:],
		`cluster.toml:2:1: unknown key "nmae" at the top of the file; did you mean "name"?`,
		`cluster.toml:7:3: unknown key "instnaces" in [apps.web]; did you mean "instances"?`,
		`cluster.toml:8:30: env.B must be a string, a number, true or false, not an array`,
		`cluster.toml:11:21: an element of command must be a string, not 3; write "3"`,
		`cluster.toml:12:13: port 8080 is already that of [apps.web] on line 6; give [apps.api] a port or a host of its own`,
		`cluster.toml:13:13: listen must be "auto", "adopt", "fd", "self" or "relay", not "relya"; did you mean "relay"?`,
		`cluster.toml:14:13: strict must be true or false, not 1`,
		`cluster.toml:17:3: "X Y" cannot be the name of a variable: it contains a space`,
		`cluster.toml:19:2: unknown key "app" at the top of the file; did you mean "apps"?`,
	)
}
