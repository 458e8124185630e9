package config

import (
	"strings"
	"syscall"
	"testing"
)

func TestExpand(t *testing.T) {
	lookup := func(name string) (string, bool) {
		v, ok := map[string]string{"A": "1", "B_2": "two", "EMPTY": "", "DOLLAR": "${A}$$"}[name]
		return v, ok
	}
	for _, tt := range []struct{ text, want, err string }{
		{text: "", want: ""},
		{text: "plain", want: "plain"},
		{text: "${A}", want: "1"},
		{text: "x${A}y${B_2}z", want: "x1ytwoz"},
		{text: "$A $ $", want: "$A $ $"},
		{text: "$$", want: "$"},
		{text: "$$$", want: "$$"},
		{text: "$${A}", want: "${A}"},
		{text: "$$${A}", want: "$1"},
		{text: "${EMPTY}", want: ""},
		{text: "${EMPTY:-d}", want: "d"},
		{text: "${NONE:-d}", want: "d"},
		{text: "${NONE:-}", want: ""},
		{text: "${A:-d}", want: "1"},
		{text: "${NONE:-a:-b}", want: "a:-b"},
		{text: "${NONE:-${A}}!", want: "1!"},
		{text: "${NONE:-${OTHER:-${B_2}}}", want: "two"},
		{text: `${NONE:-{"a":1}}`, want: `{"a":1}`},
		{text: "${NONE:-$${x}", want: "${x"},
		{text: "${DOLLAR}", want: "${A}$$"},
		{text: "ä${A}ä", want: "ä1ä"},
		{text: "${NONE}", err: "${NONE} is not set in clusterd's environment; set it, or give a default as in ${NONE:-default}"},
		{text: "${NONE:-${OTHER}}", err: "${OTHER} is not set in clusterd's environment; set it, or give a default as in ${OTHER:-default}"},
		{text: "x ${A", err: `"${A" has no closing "}"; write $${ for a literal ${`},
		{text: "${}", err: "${} is no reference to a variable; write ${VAR} or ${VAR:-default}, and $${ for a literal ${"},
		{text: "${1A}", err: "${1A} is no reference to a variable; write ${VAR} or ${VAR:-default}, and $${ for a literal ${"},
		{text: "${A:?no}", err: "${A:?no} is no reference to a variable; write ${VAR} or ${VAR:-default}, and $${ for a literal ${"},
		{text: "${A-b}", err: "${A-b} is no reference to a variable; write ${VAR} or ${VAR:-default}, and $${ for a literal ${"},
	} {
		got, err := expand(tt.text, lookup)
		switch {
		case tt.err == "" && (err != nil || got != tt.want):
			t.Errorf("expand(%q) = %q, %v, want %q", tt.text, got, err, tt.want)
		case tt.err != "" && (err == nil || err.Error() != tt.err):
			t.Errorf("expand(%q): %v, want %s", tt.text, err, tt.err)
		}
	}
}

func TestEditDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"abc", "ab", 1},
		{"abc", "xabc", 1}, {"abc", "axc", 1}, {"kitten", "sitting", 3}, {"ca", "abc", 3},
	} {
		for _, pair := range [][2]string{{tt.a, tt.b}, {tt.b, tt.a}} {
			if got := editDistance(pair[0], pair[1], 9); got != tt.want {
				t.Errorf("editDistance(%q, %q) = %d, want %d", pair[0], pair[1], got, tt.want)
			}
		}
	}
	if got := editDistance("a", strings.Repeat("b", 1<<20), 3); got != 4 {
		t.Errorf("beyond the limit: %d, want 4", got)
	}
}

func TestClosest(t *testing.T) {
	keys := []string{"command", "port", "host", "instances", "env", "stop_timeout"}
	for word, want := range map[string]string{
		"instnaces": "instances", "instance": "instances", "prot": "port", "Port": "port", "stop-timeout": "stop_timeout",
		"stoptimout": "stop_timeout", "comand": "command", "hots": "host", "evn": "env",
		"": "", "test": "", "colour": "", "x": "", "timeout": "",
	} {
		if got := closest(word, keys); got != want {
			t.Errorf("closest(%q) = %q, want %q", word, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	long := strings.Repeat("x", maxName)
	for _, name := range []string{"web", "Web-2_x.y", "0", "web-", "a..b", long} {
		if m := nameMistake(name); m != "" {
			t.Errorf("%q: %s", name, m)
		}
	}
	for _, name := range []string{"", ".", "..", "-web", "_web", ".web", "a/b", "a b", "a\x00", "wéb", long + "x"} {
		if nameMistake(name) == "" {
			t.Errorf("%q is a name", name)
		}
	}
	for folder, want := range map[string]string{
		"shop": "shop", ".config": "config", "my shop (2)": "my-shop-2", "/": "cluster", "日本": "cluster",
		"a/../b": "a-..-b", long + "yz": long, "caf\xe9": "caf",
	} {
		got := defaultName(folder)
		if got != want || nameMistake(got) != "" {
			t.Errorf("defaultName(%q) = %q, want %q", folder, got, want)
		}
	}
}

func TestOverlap(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"", "", true}, {"", "127.0.0.1", true}, {"", "::1", true}, {"::", "10.0.0.1", true}, {"0.0.0.0", "::", true},
		{"0.0.0.0", "10.0.0.1", true}, {"0.0.0.0", "localhost", true}, {"0.0.0.0", "::ffff:10.0.0.1", true},
		{"localhost", "::1", true}, {"localhost", "127.0.0.1", true}, {"::1", "0:0::1", true},
		{"127.0.0.1", "::ffff:127.0.0.1", true},
		{"0.0.0.0", "::1", false}, {"127.0.0.1", "127.0.0.2", false}, {"localhost", "127.0.0.2", false},
		{"fe80::1%eth0", "fe80::1%eth1", false},
	} {
		if overlap(tt.a, tt.b) != tt.want || overlap(tt.b, tt.a) != tt.want {
			t.Errorf("overlap(%q, %q) is not %v both ways", tt.a, tt.b, tt.want)
		}
	}
}

func TestStopSignals(t *testing.T) {
	for source, want := range map[string]syscall.Signal{
		`"SIGTERM"`: syscall.SIGTERM, `"TERM"`: syscall.SIGTERM, `"sigint"`: syscall.SIGINT, `"Usr1"`: syscall.SIGUSR1,
		`"KILL"`: syscall.SIGKILL, `2`: syscall.SIGINT, `64`: 64,
	} {
		c := mustLoad(t, "[apps.web]\ncommand = \"x\"\nstop_signal = "+source)
		if got := c.Apps[0].StopSignal; got != want {
			t.Errorf("stop_signal = %s is %v, want %v", source, got, want)
		}
	}
}

// Every key has one meaning, and no name that another manager gives to one key
// is itself a key. Only env_file may stand in both places, and means the same.
func TestKeysAreDistinct(t *testing.T) {
	seen := map[string]bool{}
	for _, key := range appKeys {
		for _, name := range append([]string{key.name}, key.also...) {
			if seen[name] || isTopKey(name) && name != "env_file" {
				t.Errorf("%q has two meanings", name)
			}
			seen[name] = true
			if plain(name) != name {
				t.Errorf("%q can never be found", name)
			}
		}
	}
}

func TestCite(t *testing.T) {
	if got := cite(strings.Repeat("ä", 100)); got != `"`+strings.Repeat("ä", longest-1)+`…"` {
		t.Errorf("a long text is cited as %s", got)
	}
	if got := header("apps", "a b", "x"); got != `[apps."a b".x]` {
		t.Errorf("header is %s", got)
	}
}
