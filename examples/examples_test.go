// Package examples holds clusters to start from.
package examples

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"clusterd/internal/config"
)

func TestEveryClusterLoads(t *testing.T) {
	found := 0
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if entry != nil && entry.Name() == "node_modules" {
			return fs.SkipDir
		}
		if err != nil || entry.Name() != "cluster.toml" {
			return err
		}
		found++
		t.Run(path, func(t *testing.T) {
			if _, err := config.Load(path); err != nil {
				t.Error(err)
			}
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := 3; found < want {
		t.Errorf("found %d clusters, want %d or more", found, want)
	}
}

// A server that crashes is back at once: only a changed one is built again.
func TestServerIsBuiltOnlyWhenItHasChanged(t *testing.T) {
	dir := t.TempDir()
	folder := filepath.Join(dir, "examples", "server")
	if err := os.CopyFS(folder, os.DirFS("server")); err != nil {
		t.Fatal(err)
	}
	write := func(name, script string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write("path/go", `echo 'echo new' >"$3" # go build -o FILE`)
	t.Setenv("PATH", filepath.Join(dir, "path")+":"+os.Getenv("PATH"))
	built := time.Now()
	for _, c := range []struct {
		source time.Time
		want   string
	}{{built.Add(-time.Hour), "old\n"}, {built.Add(time.Hour), "new\n"}} {
		write("bin/example-server", "echo old")
		if err := os.Chtimes(filepath.Join(folder, "main.go"), c.source, c.source); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("sh", filepath.Join(folder, "run.sh")).CombinedOutput()
		if err != nil || string(out) != c.want {
			t.Errorf("source changed %v from the build: %q, %v, want %q", c.source.Sub(built), out, err, c.want)
		}
	}
}
