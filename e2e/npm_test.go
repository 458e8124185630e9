package e2e

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// npmPrograms returns the folder with the programs of the packages that a
// package.json names. They are installed once for all runs of the tests.
func npmPrograms(t testing.TB, manifest string) string {
	t.Helper()
	npm, err := exec.LookPath("npm")
	if err != nil {
		missing(t, "npm is not installed")
	}
	text, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	cache, err := sharedCache()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, fmt.Sprintf("npm-%x", sha256.Sum256(text))[:16])
	if err := installOnce(npm, dir, text); err != nil {
		missing(t, "cannot install the packages of "+manifest+": "+err.Error())
	}
	return filepath.Join(dir, "node_modules", ".bin")
}

// sharedCache is a folder that only this user may write and that, where some
// tests run as another user than this, that one may read.
func sharedCache() (string, error) {
	if os.Getuid() == 0 { // whose home nobody else may enter
		return "/var/cache/clusterd-e2e", nil
	}
	cache, err := os.UserCacheDir()
	return filepath.Join(cache, "clusterd-e2e"), err
}

// installOnce runs npm install in dir unless that has been done. Runs of the
// tests at the same time wait for each other.
func installOnce(npm, dir string, manifest []byte) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	lock, err := os.Create(filepath.Join(dir, "lock"))
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	done := filepath.Join(dir, "installed")
	if _, err := os.Stat(done); err == nil {
		return nil
	}
	if err := os.WriteFile(filepath.Join(dir, "package.json"), manifest, 0o644); err != nil {
		return err
	}
	cmd := exec.Command(npm, "install", "--no-audit", "--no-fund")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("npm install: %w\n%s", err, out)
	}
	return os.WriteFile(done, nil, 0o644)
}
