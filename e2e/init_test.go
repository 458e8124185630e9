package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// As the first process of a container clusterd is the parent of all who have lost
// theirs, whatever they exit with, and whoever they were.
func TestFirstProcess(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		missing(t, "only root can make a PID namespace")
	}
	unshare := []string{"unshare", "--pid", "--fork", "--mount-proc"}
	if out, err := exec.Command(unshare[0], append(unshare[1:], "true")...).CombinedOutput(); err != nil {
		missing(t, "no PID namespace can be made here: "+string(out))
	}
	w := newWorkspace(t)
	w.configure("[apps.parent]\ncommand = \"(setsid sh -c 'exit 9' &); sh -c 'exit 7' & exec sleep 300\"")
	// The first of the strangers is a child of clusterd from its beginning.
	w.wrap = append(unshare, "sh", "-c", `sh -c "exit 5" & exec "$@"`, "sh")
	d := w.start()
	w.wrap = nil
	d.awaitReady(1)
	var children []string
	d.await("clusterd to have no zombies", func() bool {
		children = nil
		for _, p := range w.marked() {
			if strings.HasPrefix(p.command, clusterdBinary+" ") {
				children = childrenOf(t, p.pid)
			}
		}
		return len(children) == 2
	})
	w.must("down")
	if code := d.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// childrenOf are the children of a process, zombies included.
func childrenOf(t *testing.T, pid int) (out []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task/*/children"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, _ := os.ReadFile(f) // of a thread that has ended: nothing
		out = append(out, strings.Fields(string(text))...)
	}
	return out
}
