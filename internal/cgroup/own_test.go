package cgroup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLocate(t *testing.T) {
	const (
		pure   = "25 30 0:23 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
		hybrid = "29 28 0:24 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n38 28 0:33 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
		inside = "25 30 0:23 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n"
		spaced = "25 30 0:23 / /my\\040groups rw - cgroup2 none rw\n"
		v1     = "29 28 0:24 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
	)
	for _, x := range []struct {
		name, mounts, groups string
		mount, dir, err      string
	}{
		{"version 2 alone", pure, "0::/user.slice/a b\n", "/sys/fs/cgroup", "/sys/fs/cgroup/user.slice/a b", ""},
		{"the root", pure, "0::/\n", "/sys/fs/cgroup", "/sys/fs/cgroup", ""},
		{"beside version 1", hybrid, "1:cpu:/x\n0::/y\n", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/unified/y", ""},
		{"of a container, below its own", inside, "0::/docker/abc/d\n", "/sys/fs/cgroup", "/sys/fs/cgroup/d", ""},
		{"outside of what is mounted", inside, "0::/docker/xyz\n", "/sys/fs/cgroup", "", "the own group, /docker/xyz, is outside of what is mounted at /sys/fs/cgroup"},
		{"the last mount counts", inside + pure, "0::/docker/abc\n", "/sys/fs/cgroup", "/sys/fs/cgroup/docker/abc", ""},
		{"a mount point with a space", spaced, "0::/x\n", "/my groups", "/my groups/x", ""},
		{"moved to make room", pure, "0::/x.scope/clusterd-self\n", "/sys/fs/cgroup", "/sys/fs/cgroup/x.scope", ""},
		{"not mounted", v1, "0::/x\n", "", "", "no hierarchy of version 2 is mounted"},
		{"version 1 alone", v1, "1:cpu:/x\n", "", "", "this process is in no control group of version 2"},
		{"nothing", "", "", "", "", "this process is in no control group of version 2"},
	} {
		c := locate(x.mounts, x.groups)
		got := ""
		if c.Err != nil {
			got = c.Err.Error()
		}
		if c.Mount != x.mount || c.Dir != x.dir || got != x.err {
			t.Errorf("%s: %+v", x.name, c)
		}
	}
}

func TestDelegated(t *testing.T) {
	dir := t.TempDir()
	if err := delegated(dir); err == nil || !strings.Contains(err.Error(), "cgroup.procs") {
		t.Errorf("a folder that is no group: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := delegated(dir); err != nil {
		t.Error(err)
	}
	if err := delegated(filepath.Join(dir, "none")); err == nil {
		t.Error("a folder that is not there is said to be delegated")
	}
}

// The own group is one in which this process is.
func TestFind(t *testing.T) {
	c := Find()
	if c.Dir == "" {
		t.Skipf("SKIPPED, NOT TESTED: this machine has no control groups of version 2: %v", c.Err)
	}
	b, err := os.ReadFile(filepath.Join(c.Dir, "cgroup.procs"))
	if err != nil {
		t.Fatal(err)
	}
	for pid := range strings.Lines(string(b)) {
		if exe, err := os.Readlink("/proc/" + strings.TrimSpace(pid) + "/exe"); err == nil && exe == self(t) {
			return
		}
	}
	t.Errorf("this process is not in %+v", c)
}

func self(t *testing.T) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return exe
}
