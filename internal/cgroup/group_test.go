package cgroup

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// here is where this machine lets groups be made.
func here(t *testing.T) Own {
	t.Helper()
	o := Find()
	if o.Err != nil {
		t.Skipf("SKIPPED, NOT TESTED: no control groups can be made here: %v", o.Err)
	}
	return o
}

// inGroup starts a shell in a group; what it says first has been said.
func inGroup(t *testing.T, dir *os.File, script string) (*exec.Cmd, string) {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return cmd, strings.TrimSpace(said)
}

// await waits for what the kernel does in its own time.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// Nobody gets away from a group: neither by another session, nor by losing parents
// and environment, nor into a group below.
func TestKillGroup(t *testing.T) {
	o := here(t)
	g := o.Group(fmt.Sprint("test-", os.Getpid()))
	f, err := g.make()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	below := filepath.Join(g.dir, "below")
	if err := os.Mkdir(below, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd, said := inGroup(t, f, `setsid env -i sh -c 'sleep 600 & echo $! > "$0"/cgroup.procs; echo $!' `+below+` & exec sleep 600`)
	if text, err := os.ReadFile("/proc/" + said + "/cgroup"); err != nil || !bytes.Contains(text, []byte("/below\n")) {
		t.Errorf("%v: the process is in\n%s", err, text)
	}
	if !g.Populated() || g.Remove() == nil {
		t.Error("a group with processes counts as empty")
	}
	if found := o.GroupsOf(fmt.Sprint("test-", os.Getpid())); len(found) != 1 || found[0] != g {
		t.Errorf("found %v", found)
	}
	if err := g.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("the first process ended by %v", err)
	}
	await(t, "the group to be empty", func() bool { return !g.Populated() })
	if err := g.Remove(); err != nil {
		t.Fatal(err)
	}
	// What is not there is empty.
	for _, g := range []Group{g, {}} {
		if g.Populated() || g.Kill() != nil || g.Remove() != nil || !g.gone() && g.dir != "" {
			t.Errorf("%+v is not gone", g)
		}
	}
}

// Where the kernel can limit CPU time, it does, and what does not fit it counts.
func TestLimited(t *testing.T) {
	o := here(t)
	if err := o.CPU(); err != nil {
		t.Skipf("SKIPPED, NOT TESTED: CPU time cannot be limited here: %v", err)
	}
	f, err := o.Limited("test", 0.1)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	g := o.Group("test")
	cmd, _ := inGroup(t, f, "echo busy; while :; do :; done")
	defer func() {
		_ = g.Kill()
		_ = cmd.Wait()
		await(t, "the group to be empty", func() bool { return !g.Populated() })
		if err := g.Remove(); err != nil {
			t.Error(err)
		}
	}()
	await(t, "the group to be throttled", func() bool {
		text, err := os.ReadFile(filepath.Join(g.dir, "cpu.stat"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(string(text), "nr_throttled ") && !hasLine(g.dir, "cpu.stat", "nr_throttled 0")
	})
}
