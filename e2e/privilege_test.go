package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

const nobody = 65534

// asNobody makes all of the workspace's commands run as a user without any
// capability. Where the tests do not run as root, that is what they do anyway.
func (w *workspace) asNobody() {
	w.t.Helper()
	if os.Getuid() != 0 {
		return
	}
	w.wrap = []string{setpriv(w.t), "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all"}
	for _, dir := range []string{filepath.Dir(w.dir), w.dir, w.runtime} {
		if err := os.Chown(dir, nobody, nobody); err != nil {
			missing(w.t, "cannot give a folder to an unprivileged user: "+err.Error())
		}
	}
}

// setpriv is where the program is that gives privileges up.
func setpriv(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("setpriv")
	if err != nil {
		missing(t, "setpriv (of util-linux) is not installed")
	}
	return path
}

// reallyNobody asserts that a daemon runs as asNobody says.
func reallyNobody(t testing.TB, statusFile string) {
	t.Helper()
	b, err := os.ReadFile(statusFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd"} {
		if os.Getuid() == 0 && !containsLine(string(b), set+":\t0000000000000000") {
			t.Errorf("clusterd has capabilities:\n%s", b)
			return
		}
	}
}
