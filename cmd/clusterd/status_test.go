package main

import (
	"strings"
	"testing"

	"clusterd/internal/proc"
)

// Rows with and without a reason or a port have their cells below the same
// titles.
func TestStatusTableIsAligned(t *testing.T) {
	port := 8080
	app := func(name, reason string, port *int) proc.AppSnapshot {
		return proc.AppSnapshot{
			Name: name, Port: port, State: proc.StateReady, Ready: 1, InstancesWanted: 1, Count: "COUNT",
			Instances: []proc.InstanceSnapshot{{ID: name + "/0", State: proc.StateReady, Reason: reason}},
		}
	}
	var b strings.Builder
	err := printStatus(&b, &proc.Snapshot{Apps: []proc.AppSnapshot{
		app("a", "REASON", nil), app("b", "", &port), app("c", "", nil), app("d", "REASON", &port),
	}}, false)
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(b.String(), "\n\n")
	lines := strings.Split(strings.TrimSuffix(table, "\n"), "\n")
	for _, cell := range []string{"COUNT", "REASON"} {
		at := strings.Index(lines[0], cell)
		for _, line := range lines[1:] {
			if i := strings.Index(line, cell); i >= 0 && i != at {
				t.Errorf("%s at column %d, its title at %d:\n%s", cell, i, at, table)
			}
		}
	}
	for _, line := range lines {
		if strings.TrimRight(line, " ") != line {
			t.Errorf("%q ends with spaces", line)
		}
	}
}
