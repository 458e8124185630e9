package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Takes says what to do for CPU to be limited.
const Takes = "systemd-run --user --scope -p Delegate=yes clusterd …, " +
	"or a container of its own with version 2 of control groups and a writable /sys/fs/cgroup"

// CPU says why the CPU time of groups that are made here cannot be limited; nil: it
// can. It changes nothing.
func (o Own) CPU() error {
	if o.Err != nil {
		return o.Err
	}
	if !has(o.Dir, "cgroup.controllers", "cpu") {
		return fmt.Errorf("%s has no cpu controller: it is not delegated, or version 1 of control groups has it", o.Dir)
	}
	if !has(o.Dir, "cgroup.subtree_control", "cpu") {
		path := filepath.Join(o.Dir, "cgroup.subtree_control")
		if err := unix.Faccessat(unix.AT_FDCWD, path, unix.W_OK, unix.AT_EACCESS); err != nil {
			return fmt.Errorf("%s may not be written to: %w", path, err)
		}
	}
	if o.root() {
		return nil
	}
	_, strangers, err := o.processes()
	if err == nil && len(strangers) > 0 {
		err = o.crowded(strangers)
	}
	return err
}

// root tells whether this is the root of the hierarchy, which is the one group that may
// have processes and be divided all the same.
func (o Own) root() bool {
	_, err := os.Stat(filepath.Join(o.Dir, "cgroup.type"))
	return errors.Is(err, os.ErrNotExist)
}

func (o Own) crowded(strangers []int) error {
	name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", strangers[0]))
	return fmt.Errorf("pid %d (%s) is in %s beside clusterd, and the kernel divides no group that has processes",
		strangers[0], strings.TrimSpace(string(name)), o.Dir)
}

// has tells whether one of the words in a file of a group is this.
func has(dir, file, word string) bool {
	text, err := os.ReadFile(filepath.Join(dir, file))
	return err == nil && slices.Contains(strings.Fields(string(text)), word)
}

// divide has the kernel limit CPU time by group below this one. Where this is not the
// root, clusterd and what it has started move into a group of their own first: the
// kernel would divide a group with processes by a threaded controller such as cpu, but
// then let no process into any group below it ("domain invalid" in cgroups(7)).
func (o Own) divide() error {
	dividing.Lock()
	defer dividing.Unlock()
	if err := o.CPU(); err != nil {
		return err
	}
	if !o.root() {
		if err := o.makeRoom(); err != nil {
			return err
		}
	}
	if has(o.Dir, "cgroup.subtree_control", "cpu") {
		return nil
	}
	return write(o.Dir, "cgroup.subtree_control", "+cpu")
}

// dividing is held while a group is divided: several runs may begin at once.
var dividing sync.Mutex

// makeRoom moves clusterd's processes. Where the group is divided although it has some,
// as another clusterd has left it, no group below it has any, so that it may be undone.
func (o Own) makeRoom() error {
	self := filepath.Join(o.Dir, selfName)
	const rounds = 100 // each is for those that were forked in the one before
	for range rounds {
		own, strangers, err := o.processes()
		switch {
		case err != nil:
			return err
		case len(strangers) > 0:
			return o.crowded(strangers)
		case len(own) == 0:
			return nil
		}
		if has(o.Dir, "cgroup.subtree_control", "cpu") {
			if err := write(o.Dir, "cgroup.subtree_control", "-cpu"); err != nil {
				return err
			}
		}
		if err := os.Mkdir(self, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
		for _, pid := range own {
			if err := write(self, "cgroup.procs", strconv.Itoa(pid)); err != nil && !errors.Is(err, unix.ESRCH) {
				return err
			}
		}
	}
	return fmt.Errorf("move out of %s: there are more processes all the time", o.Dir)
}

// processes lists those of the group itself: this one and its descendants, and others.
func (o Own) processes() (own, strangers []int, err error) {
	text, err := os.ReadFile(filepath.Join(o.Dir, "cgroup.procs"))
	if err != nil {
		return nil, nil, err
	}
	for field := range strings.FieldsSeq(string(text)) {
		pid, _ := strconv.Atoi(field) // 0: of another PID namespace
		switch below, err := isBelow(pid, os.Getpid()); {
		case err != nil: // it has ended
		case below:
			own = append(own, pid)
		default:
			strangers = append(strangers, pid)
		}
	}
	return own, strangers, nil
}

// isBelow tells whether a process is another one, or descends from it.
func isBelow(pid, ancestor int) (bool, error) {
	for pid > 0 {
		if pid == ancestor {
			return true, nil
		}
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return false, err
		}
		// The command's name stands in parentheses and may hold anything.
		rest := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if len(rest) < 2 {
			return false, fmt.Errorf("/proc/%d/stat: %d fields", pid, len(rest))
		}
		if pid, err = strconv.Atoi(rest[1]); err != nil {
			return false, err
		}
	}
	return false, nil
}

// cpuPeriod is in which time, in microseconds, a share of CPU time may be used up. It
// is the kernel's own.
const cpuPeriod = 100_000

// limit bounds what a group gets, in CPUs.
func limit(dir string, cpus float64) error {
	const least = 1000 // as the kernel has it
	return write(dir, "cpu.max", fmt.Sprintf("%d %d", max(least, int(cpus*cpuPeriod)), cpuPeriod))
}

func write(dir, file, text string) error {
	f, err := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
