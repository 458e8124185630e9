package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"
)

// places lists the nodes below n, each as "path key position value position".
func places(n *node, path string) []string {
	var out []string
	visit := func(k *node, path string) {
		out = append(out, fmt.Sprintf("%s %d:%d %d:%d", path, k.at.line, k.at.column, k.valueAt.line, k.valueAt.column))
		out = append(out, places(k, path+".")...)
	}
	for _, k := range n.keys {
		visit(k, path+k.name)
	}
	for i, k := range n.items {
		visit(k, fmt.Sprintf("%s%d", path, i))
	}
	return out
}

func TestLocate(t *testing.T) {
	tests := []struct {
		name, text string
		want       []string
	}{
		{"pairs", "a = 1\n  b=  2 # c = 3\n", []string{"a 1:1 1:5", "b 2:3 2:7"}},
		{"no line end at the end", "a = 1", []string{"a 1:1 1:5"}},
		{"CRLF", "a = 1\r\n\r\nb = 2\r\n", []string{"a 1:1 1:5", "b 3:1 3:5"}},
		{"byte order mark", "\uFEFFa = 1", []string{"a 1:1 1:5"}},
		{"table", "[ a . b ]\nc = 1", []string{"a 1:3 1:3", "a.b 1:7 1:7", "a.b.c 2:1 2:5"}},
		{"table after its own part", "[a.b]\n[a]\nc = 1", []string{"a 2:2 2:2", "a.b 1:4 1:4", "a.c 3:1 3:5"}},
		{"dotted key", "a . b.c = 1\na.d = 2", []string{"a 1:1 1:1", "a.b 1:5 1:5", "a.b.c 1:7 1:11", "a.d 2:3 2:7"}},
		{"quoted keys", `"a.b" = 1` + "\n" + `'c\n' = 2` + "\n" + `"d\u0065\"" = 3`,
			[]string{"a.b 1:1 1:9", `c\n 2:1 2:9`, `de" 3:1 3:15`}},
		{"array of tables", "[[a]]\nb = 1\n[[a]]\nb = 2\n[a.c]\nd = 3", []string{
			"a 1:3 1:3", "a.0 1:3 1:3", "a.0.b 2:1 2:5", "a.1 3:3 3:3", "a.1.b 4:1 4:5", "a.1.c 5:4 5:4", "a.1.c.d 6:1 6:5"}},
		{"inline table", `a = { b = 1, "c" = { d.e = [2] } }`, []string{
			"a 1:1 1:5", "a.b 1:7 1:11", "a.c 1:14 1:20", "a.c.d 1:22 1:22", "a.c.d.e 1:24 1:28", "a.c.d.e.0 1:29 1:29"}},
		{"inline table over lines", "a = { # x\n b = 1,\n c = 2, }", []string{"a 1:1 1:5", "a.b 2:2 2:6", "a.c 3:2 3:6"}},
		{"array over lines", "a = [\n  1, # ]\n  \"]\",\n  [ 2 ],\n]\nb = 3", []string{
			"a 1:1 1:5", "a.0 2:3 2:3", "a.1 3:3 3:3", "a.2 4:3 4:3", "a.2.0 4:5 4:5", "b 6:1 6:5"}},
		{"string with escapes", `a = "\"#\\"` + "\nb = 'x\\'\nc = 1", []string{"a 1:1 1:5", "b 2:1 2:5", "c 3:1 3:5"}},
		{"strings over lines", "a = \"\"\"\n[x]\n\\\"\"\"\\\"\"\"\"\"\nb = '''\ny = \"\"\"\n'''''\nc = 1", []string{
			"a 1:1 1:5", "b 4:1 4:5", "c 7:1 7:5"}},
		{"columns are characters", `"äö" = { 日本 = 1 }`, []string{"äö 1:1 1:8"}}, // a bare key is ASCII: the mistake ends it
		{"characters before a key", `a = ["äö", { "日本" = "ü", b = 1 }]`, []string{
			"a 1:1 1:5", "a.0 1:6 1:6", "a.1 1:12 1:12", "a.1.日本 1:14 1:21", "a.1.b 1:26 1:30"}},
		{"date with a space", "a = [1979-05-27 07:32:00, 2]", []string{"a 1:1 1:5", "a.0 1:6 1:6", "a.1 1:27 1:27"}},
		{"mistake", "a = 1\nb 2\nc = 3", []string{"a 1:1 1:5"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root, tooDeep := locate(tt.text)
			if tooDeep != (position{}) {
				t.Errorf("too deep at %v", tooDeep)
			}
			if diff := cmp.Diff(tt.want, places(root, "")); diff != "" {
				t.Errorf("places (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLocateSource(t *testing.T) {
	root, _ := locate("a = 1_000  # x\nb = [ \"x\" , 0x1F]\nc = '''\ny'''")
	var got []string
	for _, n := range []*node{root.key("a"), root.key("b"), root.key("b").items[0], root.key("b").items[1], root.key("c")} {
		got = append(got, n.source)
	}
	if diff := cmp.Diff([]string{"1_000", "", `"x"`, "0x1F", "'''\ny'''"}, got); diff != "" {
		t.Errorf("sources (-want +got):\n%s", diff)
	}
}

func TestLocateTooDeep(t *testing.T) {
	for _, text := range []string{
		"a = " + strings.Repeat("[", 1<<19),
		"a = " + strings.Repeat("{b=", 1<<19),
		"a" + strings.Repeat(".a", 1<<19) + " = 1",
		"[a" + strings.Repeat(".a", 1<<19) + "]",
	} {
		if _, tooDeep := locate(text); tooDeep.line != 1 {
			t.Errorf("%.20s…: not found to be too deep", text)
		}
	}
}

// hasPlace tells whether the tree has a node with a position for a key as
// MetaData.Keys lists it: elements of arrays are left out of such a path.
func hasPlace(n *node, key toml.Key) bool {
	if len(key) == 0 {
		return n.at.line > 0 && n.at.column > 0 && n.valueAt.line > 0 && n.valueAt.column > 0
	}
	if k := n.key(key[0]); k != nil && hasPlace(k, key[1:]) {
		return true
	}
	return slices.ContainsFunc(n.items, func(item *node) bool { return hasPlace(item, key) })
}

// sameShape tells whether the decoded value has exactly the keys and elements
// of n.
func sameShape(n *node, v any) bool {
	switch v := v.(type) {
	case map[string]any:
		if len(v) != len(n.keys) {
			return false
		}
		for name, e := range v {
			if k := n.key(name); k == nil || !sameShape(k, e) {
				return false
			}
		}
	case []map[string]any:
		if len(v) != len(n.items) {
			return false
		}
		for i, e := range v {
			if !sameShape(n.items[i], e) {
				return false
			}
		}
	case []any:
		if len(v) != len(n.items) {
			return false
		}
		for i, e := range v {
			if !sameShape(n.items[i], e) {
				return false
			}
		}
	}
	return true
}

func FuzzLocate(f *testing.F) {
	for _, seed := range []string{
		"", "a = 1", "\uFEFFa.b = 1 # c\r\n[x.\"y z\".'w']\n", "[[a]]\nb=1\n[[a]]\n[a.c]\n[[a.d]]\n",
		"a = { b = 1, c = { d.e = [2, {f=3}] } }", "a = {\n b = 1, # x\n c = 2,\n}",
		"a = \"\"\"\nx \\\"\"\" \"\"\"\"\"\nb = '''\n''''\nc = [1979-05-27 07:32:00, 07:32, 1e3, -inf,\n]",
		`"\u0041\x42\e" = 'x'`, "[a]\nb.c = 1\nb.d = {}\n[a.e]", "a=[[],[[]]]\n\"\"=1\n''.x=2",
		"[apps.web]\ncommand = [\"a\", 'b']\nport=8_080\n[defaults.env]\nA = true\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		root, tooDeep := locate(text)
		if tooDeep != (position{}) || notUTF8(text) >= 0 {
			return
		}
		var values map[string]any
		meta, err := toml.Decode(text, &values)
		if err != nil {
			return
		}
		for _, key := range meta.Keys() {
			if !hasPlace(root, key) {
				t.Errorf("no position for %q", []string(key))
			}
		}
		if !sameShape(root, values) {
			t.Errorf("the tree differs from the values:\n%v\n%v", places(root, ""), values)
		}
	})
}
