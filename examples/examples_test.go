// Package examples holds clusters to start from.
package examples

import (
	"io/fs"
	"path/filepath"
	"testing"

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
