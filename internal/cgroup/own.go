// Package cgroup makes control groups of version 2 below the one in which clusterd
// runs, where that is delegated to it, see cgroups(7): one for each run of an app that
// is limited by one. Everything here is a file of the kernel's; nothing blocks.
package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// selfName is the group into which clusterd moves where the kernel does not let a
// group that is divided have processes itself. All clusterds of one group share it.
const selfName = "clusterd-self"

// Own is the place at which this process can make groups: the group in which it is,
// or that from which it has moved to make room.
type Own struct {
	Mount string // where the hierarchy is mounted: /sys/fs/cgroup, or .../unified beside version 1
	Dir   string // the folder of the own group below it
	Err   error  // why no groups can be made there; nil: they can, it is delegated
}

// Find looks where this process is.
func Find() Own {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return Own{Err: err}
	}
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return Own{Err: err}
	}
	o := locate(string(mounts), string(groups))
	if o.Err == nil {
		o.Err = delegated(o.Dir)
	}
	return o
}

// locate finds the own group from the texts of /proc/self/mountinfo and
// /proc/self/cgroup.
func locate(mounts, groups string) Own {
	own, ok := "", false
	for line := range strings.Lines(groups) {
		if path, found := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); found {
			own, ok = path, true
		}
	}
	if !ok {
		return Own{Err: errors.New("this process is in no control group of version 2")}
	}
	if filepath.Base(own) == selfName {
		own = filepath.Dir(own)
	}
	o := Own{Err: errors.New("no hierarchy of version 2 is mounted")}
	for line := range strings.Lines(mounts) {
		// 29 23 0:26 /root /mount/point options [tags...] - type source options
		place, kind, _ := strings.Cut(line, " - ")
		fields := strings.Fields(place)
		if !strings.HasPrefix(kind, "cgroup2 ") || len(fields) < 5 {
			continue
		}
		root, mount := fields[3], unescape.Replace(fields[4])
		below, err := filepath.Rel(root, own)
		if err != nil || below == ".." || strings.HasPrefix(below, "../") {
			o = Own{Mount: mount, Err: fmt.Errorf("the own group, %s, is outside of what is mounted at %s", own, mount)}
			continue
		}
		o = Own{Mount: mount, Dir: filepath.Join(mount, below)}
	}
	return o
}

// unescape reads what the kernel writes for characters that would end a field.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// delegated tells why a process may not make groups of its own in a folder, see
// "Delegation" in cgroups(7).
func delegated(dir string) error {
	for _, file := range []string{".", "cgroup.procs"} {
		path := filepath.Join(dir, file)
		if err := unix.Faccessat(unix.AT_FDCWD, path, unix.W_OK, unix.AT_EACCESS); err != nil {
			return fmt.Errorf("%s may not be written to: %w", path, err)
		}
	}
	return nil
}
