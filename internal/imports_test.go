// Package internal_test holds what concerns all packages of clusterd at once.
package internal_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "clusterd"

// rules says which packages of clusterd each package may import, by their paths
// below the module. Imports point inward: what serves and counts knows nothing
// of what supervises, and that knows nothing of what shows it.
var rules = map[string][]string{
	"cmd/clusterd":            {"internal/handover", "internal/tui", "internal/control", "internal/metrics", "internal/proc", "internal/port", "internal/config", "internal/figure", "internal/doctor", "internal/setup", "internal/starter"},
	"internal/cgroup":         nil,
	"internal/doctor":         {"internal/cgroup", "internal/proc", "internal/port", "internal/config"},
	"internal/tui":            {"internal/proc", "internal/figure", "internal/tui/quiet"},
	"internal/tui/quiet":      nil,
	"internal/control":        {"internal/handover", "internal/proc"},
	"internal/metrics":        {"internal/proc"},
	"internal/proc":           {"internal/cgroup", "internal/handover", "internal/port", "internal/relay", "internal/traffic", "internal/traffic/ebpf", "internal/traffic/kernel", "internal/config", "internal/setup", "internal/watch"},
	"internal/relay":          {"internal/handover", "internal/traffic"},
	"internal/port":           {"internal/handover", "internal/port/seccomp", "internal/port/shim", "internal/sockdiag"},
	"internal/sockdiag":       nil,
	"internal/port/seccomp":   nil,
	"internal/port/shim":      nil,
	"internal/figure":         nil,
	"internal/handover":       nil,
	"internal/traffic":        nil,
	"internal/traffic/ebpf":   {"internal/handover", "internal/traffic"},
	"internal/traffic/kernel": {"internal/handover", "internal/traffic", "internal/sockdiag"},
	"internal/config":         nil,
	"internal/starter":        nil,
	"internal/setup":          nil,
	"internal/watch":          nil,
}

// mayBeMissing are packages in rules that need not be there.
var mayBeMissing = []string{"internal/tui/quiet"}

// outside tells that a package is no part of the program: it may import what it
// measures or checks, and nothing of the program may import it.
func outside(pkg string) bool {
	return !strings.HasPrefix(pkg, "cmd/") && !strings.HasPrefix(pkg, "internal/")
}

func TestImportsPointInward(t *testing.T) {
	found := listPackages(t)
	for _, problem := range check(found) {
		t.Error(problem)
	}
}

// check compares what was found with the rules: a package's path below the
// module, and the paths of ours that it imports.
func check(found map[string][]string) (problems []string) {
	for _, pkg := range slices.Sorted(maps.Keys(found)) {
		if outside(pkg) {
			continue
		}
		allowed, listed := rules[pkg]
		if !listed {
			problems = append(problems, fmt.Sprintf("%s is not in the table of rules: say there what it may import", pkg))
			continue
		}
		for _, imported := range found[pkg] {
			if !slices.Contains(allowed, imported) {
				problems = append(problems, fmt.Sprintf("%s imports %s; it may import %v", pkg, imported, allowed))
			}
		}
	}
	for _, pkg := range slices.Sorted(maps.Keys(rules)) {
		if _, there := found[pkg]; !there && !slices.Contains(mayBeMissing, pkg) {
			problems = append(problems, fmt.Sprintf("%s is in the table of rules, but there is no such package", pkg))
		}
	}
	return problems
}

// listPackages asks the go command for all packages of the module. Files of
// every build tag that this platform has are in, tests are not: they may reach
// across.
func listPackages(t *testing.T) map[string][]string {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Imports,Module", "./...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			t.Fatalf("go list: %v\n%s", err, failed.Stderr)
		}
		t.Fatal("go list:", err)
	}
	found := map[string][]string{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var pkg struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&pkg); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal("read what go list says:", err)
		}
		path, ok := strings.CutPrefix(pkg.ImportPath, module+"/")
		if !ok || path == "internal" { // that folder has only this test
			continue
		}
		found[path] = nil
		for _, imported := range pkg.Imports {
			if ours, ok := strings.CutPrefix(imported, module+"/"); ok {
				found[path] = append(found[path], ours)
			}
		}
	}
	if len(found) < 5 {
		t.Fatalf("go list found only %d packages: %v", len(found), found)
	}
	return found
}

// What the rules forbid is found: a table that allows everything would pass
// the test above as well.
func TestForbiddenImportsAreFound(t *testing.T) {
	whole := func(pkg string, imports ...string) map[string][]string {
		found := map[string][]string{}
		for p := range rules {
			found[p] = nil
		}
		found[pkg] = imports
		return found
	}
	if got := check(whole("cmd/clusterd", "internal/tui", "internal/proc")); len(got) != 0 {
		t.Errorf("allowed imports: %v", got)
	}
	for _, tt := range []struct{ pkg, imports string }{
		{"internal/relay", "internal/proc"},
		{"internal/port", "internal/proc"},
		{"internal/traffic", "internal/proc"},
		{"internal/config", "internal/proc"},
		{"internal/config", "internal/traffic"},
		{"internal/port", "internal/config"},
		{"internal/tui", "internal/control"},
		{"internal/tui/quiet", "internal/proc"},
		{"internal/proc", "internal/control"},
		{"internal/proc", "internal/tui"},
		{"internal/proc", "bench"},
		{"internal/new", "internal/config"},
	} {
		if got := check(whole(tt.pkg, tt.imports)); len(got) != 1 || !strings.Contains(got[0], tt.pkg) {
			t.Errorf("%s imports %s: %v", tt.pkg, tt.imports, got)
		}
	}
	missing := whole("internal/tui/quiet")
	delete(missing, "internal/tui/quiet")
	if got := check(missing); len(got) != 0 {
		t.Errorf("without the package that may be missing: %v", got)
	}
	delete(missing, "internal/port")
	if got := check(missing); len(got) != 1 {
		t.Errorf("without a package: %v", got)
	}
}
