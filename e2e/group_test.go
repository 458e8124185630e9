package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// killWhole kills an instance, given its first process, with all processes of
// its group in one stroke: nothing in it sees another part of it die.
func killWhole(t testing.TB, leader int) {
	t.Helper()
	if err := syscall.Kill(-leader, syscall.SIGKILL); err != nil {
		t.Fatalf("kill the instance of pid %d: %v", leader, err)
	}
}

// stopWhole stops an instance like killWhole kills it, and waits until all of
// its processes stand.
func stopWhole(t testing.TB, leader int) {
	t.Helper()
	if err := syscall.Kill(-leader, syscall.SIGSTOP); err != nil {
		t.Fatalf("stop the instance of pid %d: %v", leader, err)
	}
	for end := time.Now().Add(deadline); ; time.Sleep(time.Millisecond) {
		states := groupStates(t, leader)
		if len(states) > 0 && strings.Trim(states, "TZ") == "" {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the processes of a stopped instance are in the states %q", states)
		}
	}
}

// groupStates has the letter of the state of each process of a group, see
// proc_pid_stat(5).
func groupStates(t testing.TB, leader int) string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	var states strings.Builder
	for _, file := range files {
		stat, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		// The command, in parentheses, may have anything in it.
		var state string
		var parent, group int
		if _, err := fmt.Sscan(string(stat[strings.LastIndexByte(string(stat), ')')+1:]), &state, &parent, &group); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if group == leader {
			states.WriteString(state)
		}
	}
	return states.String()
}
