package watch

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what has to happen.
const patience = 90 * time.Second

// start watches a folder, in which file makes files.
func start(t *testing.T, o Options) *Watcher {
	t.Helper()
	if o.Debounce == 0 {
		o.Debounce = 20 * time.Millisecond
	}
	w, err := New(o, func(text string) { t.Log("told:", text) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

func file(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// tells waits until exactly these files have been told, in as many bursts as it
// takes. What must not be told is found since it would come before the last.
func tells(t *testing.T, w *Watcher, want ...string) {
	t.Helper()
	var got []string
	for timeout := time.After(patience); ; {
		select {
		case files := <-w.Changes():
			got = append(got, files...)
			slices.Sort(got)
			got = slices.Compact(got)
		case <-timeout:
			t.Fatalf("waited in vain for %v, got %v", want, got)
		}
		if len(got) >= len(want) {
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatal(diff)
			}
			return
		}
	}
}

func TestChanges(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	file(t, in("src/a.ts"), "1")
	file(t, in("src/deep/b.ts"), "1")
	file(t, in("node_modules/x/c.ts"), "1")
	w := start(t, Options{Root: dir, Paths: []string{"src/**/*.ts", "*.json", "lib"}, Ignore: []string{"**/gen/**", "*.test.ts"}})

	file(t, in("src/a.ts"), "2")
	tells(t, w, "src/a.ts")

	for _, name := range []string{"src/a.js", "other.ts", "src/deep/.b.ts.swp", "src/b.test.ts", "src/gen/x.ts", "node_modules/x/c.ts", "src/b.ts~"} {
		file(t, in(name), "2")
	}
	file(t, in("src/deep/b.ts"), "2")
	tells(t, w, "src/deep/b.ts")

	// New folders, with what is in them already.
	file(t, in("src/new/er/c.ts"), "1")
	tells(t, w, "src/new/er/c.ts")
	file(t, in("src/new/er/c.ts"), "2")
	tells(t, w, "src/new/er/c.ts")
	file(t, in("lib/any/thing"), "1") // of which there was nothing
	tells(t, w, "lib/any/thing")

	if err := os.Remove(in("src/a.ts")); err != nil {
		t.Fatal(err)
	}
	tells(t, w, "src/a.ts")
	file(t, in("tsconfig.json"), "{}")
	tells(t, w, "tsconfig.json")
}

// A folder of fixed name that is removed and made anew is still watched.
func TestFolderIsMadeAnew(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "dist", "x.js")
	file(t, path, "1")
	w := start(t, Options{Root: dir, Paths: []string{"dist/**"}})
	if err := os.RemoveAll(filepath.Join(dir, "dist")); err != nil {
		t.Fatal(err)
	}
	tells(t, w, "dist/x.js")
	file(t, path, "2")
	tells(t, w, "dist/x.js")
}

// A folder may be a link to one, as that of what is deployed often is.
func TestLinkToFolder(t *testing.T) {
	dir := t.TempDir()
	file(t, filepath.Join(dir, "release-1", "src", "a.ts"), "1")
	file(t, filepath.Join(dir, "lib-1", "b.ts"), "1")
	current := filepath.Join(dir, "current")
	for link, to := range map[string]string{current: "release-1", filepath.Join(dir, "release-1", "lib"): "../lib-1"} {
		if err := os.Symlink(to, link); err != nil {
			t.Fatal(err)
		}
	}
	w := start(t, Options{Root: current, Paths: []string{"**/*.ts", "lib"}})
	file(t, filepath.Join(dir, "release-1", "src", "a.ts"), "2")
	tells(t, w, "src/a.ts")
	file(t, filepath.Join(dir, "lib-1", "b.ts"), "2")
	tells(t, w, "lib/b.ts")
}

func TestFilesWithOddNames(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a[b] {c}*")
	path := filepath.Join(dir, "x?.toml")
	file(t, path, "1")
	w := start(t, Options{Root: dir, Files: []string{path}})
	file(t, filepath.Join(dir, "xy.toml"), "1")
	file(t, path, "2")
	tells(t, w, "x?.toml")
}

// The ways in which editors save a file.
func TestAtomicSaves(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.go")
	file(t, path, "1")
	w := start(t, Options{Root: dir, Paths: []string{"**"}})
	rename := func(from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	remove := func(path string) {
		t.Helper()
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	for name, save := range map[string]func(){
		"in place": func() { file(t, path, "2") },
		"a new file in its place": func() {
			file(t, filepath.Join(dir, "a.go.tmp123"), "3")
			rename(filepath.Join(dir, "a.go.tmp123"), path)
		},
		"a backup, and a new file": func() {
			file(t, filepath.Join(dir, "4913"), "")
			remove(filepath.Join(dir, "4913"))
			rename(path, path+"~")
			file(t, path, "4")
			remove(path + "~")
		},
	} {
		t.Run(name, func(t *testing.T) {
			save()
			tells(t, w, "a.go")
		})
	}
}

// Many changes at once are few bursts, and nothing gets lost while nobody listens.
func TestBursts(t *testing.T) {
	dir := t.TempDir()
	w := start(t, Options{Root: dir, Paths: []string{"**"}, Debounce: 100 * time.Millisecond})
	const n = 300
	want := map[string]bool{}
	for i := range n {
		name := fmt.Sprintf("d%d/f%d", i%10, i)
		want[name] = true
		file(t, filepath.Join(dir, name), "x")
	}
	bursts := 0
	for timeout := time.After(patience); len(want) > 0; bursts++ {
		select {
		case files := <-w.Changes():
			for _, f := range files {
				delete(want, f)
			}
		case <-timeout:
			t.Fatalf("%d files were never told", len(want))
		}
	}
	if bursts > n/10 {
		t.Errorf("%d bursts", bursts)
	}
}

func TestGitignore(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := os.Mkdir(in(".git"), 0o755); err != nil {
		t.Fatal(err)
	}
	file(t, in(".gitignore"), "*.log\n/build/\n!keep.log\n")
	file(t, in("app/.gitignore"), "local.*\n")
	file(t, in("app/x"), "")
	w := start(t, Options{Root: in("app"), Paths: []string{"**", "../build/out.js", "../lib/**"}, Gitignore: true})

	for _, name := range []string{"app/a.log", "app/local.env", "app/deep/local.env", ".git/index"} {
		file(t, in(name), "")
	}
	file(t, in("app/deep/keep.log"), "")
	tells(t, w, "deep/keep.log")
	file(t, in("app/build/x"), "") // only at the top
	tells(t, w, "build/x")
	file(t, in("build/out.js"), "") // which is named
	tells(t, w, in("build/out.js"))

	file(t, in("app/.gitignore"), "nothing\n")
	tells(t, w, ".gitignore")
	file(t, in("app/local.env"), "2")
	tells(t, w, "local.env")
}

// The rules of gitignore(5), each with what it takes and what not.
func TestGitignoreRules(t *testing.T) {
	for _, tt := range []struct {
		lines     string
		path      string
		isDir     bool
		isIgnored bool
	}{
		{"# x\n\n  \nfoo", "foo", false, true},
		{"foo", "a/b/foo", false, true},
		{"foo", "foo/a", false, true},
		{"foo/", "foo", false, false},
		{"foo/", "foo", true, true},
		{"foo/", "foo/a/b", false, true},
		{"/foo", "a/foo", false, false},
		{"a/foo", "a/foo", false, true},
		{"a/foo", "b/a/foo", false, false},
		{"*.log", "a/x.log", false, true},
		{"*.log\n!x.log", "a/x.log", false, false},
		{"!x.log\n*.log", "a/x.log", false, true},
		{"out/*\n!out/a", "out/a", false, false},
		{"out/\n!out/a", "out/a", false, true}, // its folder is out
		{"a/**/z", "a/b/c/z", false, true},
		{"**/z", "z", false, true},
		{"a[0-9]", "a5", false, true},
		{"{a,b}", "a", false, false},
		{"{a,b}", "{a,b}", false, true},
		{`\#x`, "#x", false, true},
		{"x ", "x", false, true},
		{"x\r\n", "x", false, true},
		{"[", "[", false, false}, // no pattern
	} {
		dir := t.TempDir()
		file(t, filepath.Join(dir, ".gitignore"), tt.lines)
		g := gitignore{rules: map[string][]rule{}}
		g.load(dir)
		if got := g.ignores(filepath.Join(dir, tt.path), tt.isDir); got != tt.isIgnored {
			t.Errorf("%q: %s (folder: %v) is ignored: %v", tt.lines, tt.path, tt.isDir, got)
		}
	}
}

func TestGlobReaches(t *testing.T) {
	for _, tt := range []struct {
		pattern, dir string
		want         bool
	}{
		{"*.go", "/r", true}, {"*.go", "/r/a", false}, {"*/*.go", "/r/a", true}, {"*/*.go", "/r/a/b", false},
		{"src/**/*.ts", "/r", true}, {"src/**/*.ts", "/r/src/a/b", true}, {"src/**/*.ts", "/r/lib", false},
		{"../x/*", "/x", true}, {"/etc/*.conf", "/etc", true}, {"/etc/*.conf", "/etc/x", false},
	} {
		if got := globOf("/r", tt.pattern).reaches(tt.dir); got != tt.want {
			t.Errorf("%s reaches %s: %v", tt.pattern, tt.dir, got)
		}
	}
}

func TestMissingFolderIsTold(t *testing.T) {
	dir := t.TempDir()
	var told []string
	w, err := New(Options{Root: dir, Paths: []string{"scr/**"}, Debounce: time.Millisecond}, func(s string) { told = append(told, s) })
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if want := "nothing to watch yet: " + dir + "/scr does not exist"; strings.Join(told, "") != want {
		t.Errorf("%v", told)
	}
}
