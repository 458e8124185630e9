package sockdiag

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// InodesOf are those of the sockets that a process has a descriptor of. It takes a
// microsecond or two for each descriptor. The error says that the process is gone,
// or may not be looked into.
func InodesOf(pid int) ([]uint32, error) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var out []uint32
	for _, name := range names {
		link, err := os.Readlink(dir + "/" + name)
		if err != nil {
			continue // closed meanwhile
		}
		text, found := strings.CutPrefix(link, "socket:[")
		if inode, err := strconv.ParseUint(strings.TrimSuffix(text, "]"), 10, 32); found && err == nil {
			out = append(out, uint32(inode))
		}
	}
	return out, nil
}
