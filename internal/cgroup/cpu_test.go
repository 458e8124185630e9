package cgroup

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// fake is a folder with the files of a group.
func fake(t *testing.T, files map[string]string) Own {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return Own{Mount: dir, Dir: dir}
}

// CPU time can be limited where the controller is there, and nobody else is.
func TestCPU(t *testing.T) {
	stranger := exec.Command("sleep", "600")
	parent := os.Getppid()
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	defer stranger.Wait()
	defer stranger.Process.Kill()
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", parent))
	if err != nil {
		t.Fatal(err)
	}
	const both, domain = "cpu memory\n", "domain\n"
	for _, tt := range []struct {
		name  string
		files map[string]string
		err   string
	}{
		{"divided already", map[string]string{"cgroup.controllers": both, "cgroup.subtree_control": "cpu\n", "cgroup.type": domain, "cgroup.procs": ""}, ""},
		{"this process and its child", map[string]string{"cgroup.controllers": both, "cgroup.subtree_control": "", "cgroup.type": domain,
			"cgroup.procs": fmt.Sprintf("%d\n%d\n", os.Getpid(), stranger.Process.Pid)}, ""},
		{"others as well", map[string]string{"cgroup.controllers": both, "cgroup.subtree_control": "", "cgroup.type": domain,
			"cgroup.procs": fmt.Sprintf("%d\n%d\n", os.Getpid(), parent)},
			fmt.Sprintf("pid %d (%s) is in DIR beside clusterd, and the kernel divides no group that has processes", parent, strings.TrimSpace(string(name)))},
		{"others in the root", map[string]string{"cgroup.controllers": both, "cgroup.subtree_control": "", "cgroup.procs": fmt.Sprintln(parent)}, ""},
		{"divided already, with others", map[string]string{"cgroup.controllers": both, "cgroup.subtree_control": "cpu\n", "cgroup.type": domain, "cgroup.procs": fmt.Sprintln(parent)},
			fmt.Sprintf("pid %d (%s) is in DIR beside clusterd, and the kernel divides no group that has processes", parent, strings.TrimSpace(string(name)))},
		{"not to be divided", map[string]string{"cgroup.controllers": both, "cgroup.type": domain, "cgroup.procs": ""},
			"DIR/cgroup.subtree_control may not be written to: no such file or directory"},
		{"no controller", map[string]string{"cgroup.controllers": "cpuset memory\n", "cgroup.type": domain},
			"DIR has no cpu controller: it is not delegated, or version 1 of control groups has it"},
		{"no group", nil, "DIR has no cpu controller: it is not delegated, or version 1 of control groups has it"},
	} {
		o := fake(t, tt.files)
		got := ""
		if err := o.CPU(); err != nil {
			got = strings.ReplaceAll(err.Error(), o.Dir, "DIR")
		}
		if got != tt.err {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.err)
		}
	}
	if err := (Own{Dir: "/", Err: os.ErrPermission}).CPU(); err != os.ErrPermission {
		t.Errorf("where no groups can be made: %v", err)
	}
}

func TestLimit(t *testing.T) {
	o := fake(t, map[string]string{"cpu.max": ""})
	for cpus, want := range map[float64]string{1.5: "150000 100000", 64: "6400000 100000", 0.01: "1000 100000"} {
		if err := os.Truncate(filepath.Join(o.Dir, "cpu.max"), 0); err != nil {
			t.Fatal(err)
		}
		if err := limit(o.Dir, cpus); err != nil {
			t.Fatal(err)
		}
		if got, _ := os.ReadFile(filepath.Join(o.Dir, "cpu.max")); string(got) != want {
			t.Errorf("cpu.max for %g is %q, want %q", cpus, got, want)
		}
	}
}
