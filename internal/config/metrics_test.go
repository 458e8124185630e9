package config

import (
	"strings"
	"testing"
)

func TestMetrics(t *testing.T) {
	const apps = "\n[apps.web]\ncommand = \"web\"\nport = 8080\nhost = \"127.0.0.1\"\n[apps.any]\ncommand = \"any\"\nport = 9000\n"
	const be = `metrics must be an address and a port, such as "127.0.0.1:9464", not `
	for _, tt := range []struct{ value, want string }{
		{`"127.0.0.1:9464"`, ""},
		{`"[::1]:9464"`, ""},
		{`"localhost:9464"`, ""},
		{`":9464"`, ""},
		{`"127.0.0.2:8080"`, ""},
		{`9464`, be + `9464; write "127.0.0.1:9464"`},
		{`0`, be + `0`},
		{`true`, be + `true`},
		{`""`, be + `""`},
		{`"9464"`, be + `"9464"; write "127.0.0.1:9464"`},
		{`"127.0.0.1"`, be + `"127.0.0.1"; write "127.0.0.1:9464"`},
		{`"::1"`, be + `"::1"; write "[::1]:9464"`},
		{`"127.0.0.1:0"`, `metrics must have a port from 1 to 65535, not "0"`},
		{`"127.0.0.1:http"`, `metrics must have a port from 1 to 65535, not "http"`},
		{`"example.com:9464"`, `metrics must begin with an IP address, "localhost", or nothing for every address of the machine, not "example.com"`},
		{`":8080"`, `the port of metrics, 8080, is that of [apps.web] on line 5; give metrics one of its own`},
		{`"127.0.0.1:8080"`, `the port of metrics, 8080, is that of [apps.web] on line 5; give metrics one of its own`},
		{`"127.0.0.1:9000"`, `the port of metrics, 9000, is that of [apps.any] on line 9; give metrics one of its own`},
	} {
		write(t, "metrics = "+tt.value+"\n"+apps)
		c, err := Load("cluster.toml")
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("metrics = %s: %v", tt.value, err)
		case tt.want == "" && c.Metrics != strings.Trim(tt.value, `"`):
			t.Errorf("metrics = %s is read as %q", tt.value, c.Metrics)
		case tt.want != "" && (err == nil || !strings.HasSuffix(err.Error(), "cluster.toml:1:11: "+tt.want)):
			t.Errorf("metrics = %s:\ngot  %v\nwant %s", tt.value, err, tt.want)
		}
	}
}
