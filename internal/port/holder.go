package port

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"clusterd/internal/sockdiag"
)

// Holder is somebody who listens on a port.
type Holder struct {
	PID     int    // 0: a process of another user that cannot be looked into
	Command string // its command line, shortened; "" when unknown
	UID     uint32
}

func (h Holder) String() string {
	switch {
	case h.PID == 0:
		return "held by a process of user " + userName(h.UID) + " (run as root to see which)"
	case h.Command == "":
		return fmt.Sprintf("held by pid %d", h.PID)
	}
	return fmt.Sprintf("held by pid %d (%s)", h.PID, h.Command)
}

func userName(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return id
}

// Holders lists who listens on port, as far as this process may see. It reads
// the descriptors of every process of the machine: call it for error messages,
// not in a loop.
func Holders(port int) []Holder {
	listening, err := Listeners(port)
	if err != nil {
		return nil
	}
	wanted := map[string]Listening{}
	for _, l := range listening {
		wanted[socketLink(l.Inode)] = l
	}
	var out []Holder
	seen := map[string]bool{}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		for _, link := range sockets(pid) {
			l, ok := wanted[link]
			if !ok || seen[link] {
				continue
			}
			seen[link] = true
			out = append(out, Holder{PID: pid, Command: commandLine(pid), UID: l.UID})
			break
		}
	}
	for link, l := range wanted {
		if !seen[link] && len(out) == 0 {
			out = append(out, Holder{UID: l.UID})
		}
	}
	return out
}

// HeldBy returns those of the sockets that one of the processes has open.
func HeldBy(listening []Listening, pids []int) []Listening {
	if len(listening) == 0 {
		return nil
	}
	open := map[string]bool{}
	for _, pid := range pids {
		for _, link := range sockets(pid) {
			open[link] = true
		}
	}
	var out []Listening
	for _, l := range listening {
		if open[socketLink(l.Inode)] {
			out = append(out, l)
		}
	}
	return out
}

func socketLink(inode uint32) string { return fmt.Sprintf("socket:[%d]", inode) }

// sockets are the links of a process's socket descriptors; none when the
// process is gone or may not be looked into.
func sockets(pid int) (links []string) {
	inodes, _ := sockdiag.InodesOf(pid)
	for _, inode := range inodes {
		links = append(links, socketLink(inode))
	}
	return links
}

func commandLine(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return ""
	}
	line := []rune(strings.ToValidUTF8(strings.TrimSpace(strings.ReplaceAll(string(b), "\x00", " ")), "?"))
	for i, r := range line {
		if r < ' ' {
			line[i] = ' '
		}
	}
	if len(line) > 60 {
		line = append(line[:57], []rune("...")...)
	}
	return string(line)
}
