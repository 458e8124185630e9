package proc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"clusterd/internal/port"
)

// How often a starting instance is looked at. Most servers listen within a few
// milliseconds; one that has been starting for long may be noticed a little
// later, in proportion, and costs the less.
const (
	listenPollMin  = 2 * time.Millisecond
	listenPollMax  = time.Second
	listenPollPart = 20 // of the time that it has been starting

	// What keeps it is looked for seldom: that takes a look at every socket.
	hintAfter = 2 * time.Second
	hintEvery = 5 * time.Second
)

// awaitListening blocks until the process listens on the port want, by looking
// at what list says of that port, and returns the socket; the only error is that
// of ctx. After a while it says through hint what seems to be in the way, each
// time that this is something new.
func awaitListening(ctx context.Context, want int, p process, hint func(string), list func(port int) ([]port.Listening, error)) (port.Listening, error) {
	began, said := time.Now(), ""
	for nextHint := hintAfter; ; {
		found, err := list(want)
		if ours := own(found, p); len(ours) > 0 {
			return ours[0], nil
		}
		passed := time.Since(began)
		if passed >= nextHint {
			nextHint = passed + hintEvery
			text := obstacle(want, p, found, err)
			if text != said {
				said = text
				hint(text)
			}
		}
		select {
		case <-ctx.Done():
			return port.Listening{}, ctx.Err()
		case <-time.After(min(max(passed/listenPollPart, listenPollMin), listenPollMax)):
		}
	}
}

// awaitAdopted is awaitListening for a process whose adoption tells when it
// listens: it only says what seems to be in the way, until ctx ends.
func awaitAdopted(ctx context.Context, want int, p process, hint func(string)) error {
	said := ""
	for wait := hintAfter; ; wait = hintEvery {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		if text := obstacle(want, p, nil, nil); text != said {
			said = text
			hint(text)
		}
	}
}

// own are those of the sockets that are the process's: one of its members has
// them open. Of a member whose descriptors clusterd may not see, as another
// user's, those are taken for its own that its user opened.
func own(found []port.Listening, p process) []port.Listening {
	if len(found) == 0 {
		return nil
	}
	members := p.Members()
	if held := port.HeldBy(found, members); len(held) > 0 {
		return held
	}
	var out []port.Listening
	for _, pid := range members {
		if !hidesFiles(pid) {
			continue
		}
		user, err := userOf(pid)
		for _, l := range found {
			if err == nil && l.UID == user {
				out = append(out, l)
			}
		}
	}
	return out
}

// hidesFiles tells whether the descriptors of a process may not be looked at:
// those of another user's, or of one with privileges of its own.
func hidesFiles(pid int) bool {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	files, err := os.ReadDir(dir)
	if len(files) > 0 { // their names may be seen, and still not what they are
		_, err = os.Readlink(filepath.Join(dir, files[0].Name()))
	}
	return errors.Is(err, fs.ErrPermission)
}

// userOf is the user as whom a process opens files and sockets (its filesystem
// UID, see proc_pid_status(5)).
func userOf(pid int) (uid uint32, err error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, line, _ := strings.Cut(string(status), "\nUid:")
	var skip uint32
	_, err = fmt.Sscan(line, &skip, &skip, &skip, &uid)
	return uid, err
}

// obstacle says what a process does instead that should listen on the port
// want, where others are found, or why that cannot be told.
func obstacle(want int, p process, others []port.Listening, err error) string {
	if err != nil {
		return fmt.Sprintf("cannot see whether it listens on $PORT (%d): %v", want, err)
	}
	if len(others) > 0 {
		var who []string
		for _, h := range port.Holders(want) {
			who = append(who, h.String())
		}
		return fmt.Sprintf("$PORT (%d) is served by somebody else (%s)", want, strings.Join(who, ", "))
	}
	all, err := port.Listeners(0)
	if err != nil {
		return fmt.Sprintf("not listening on $PORT (%d) yet", want)
	}
	var at []string
	for _, l := range port.HeldBy(all, p.Members()) {
		at = append(at, l.Addr.String())
	}
	if len(at) == 0 {
		return fmt.Sprintf("not listening on $PORT (%d) yet", want)
	}
	return fmt.Sprintf("not listening on $PORT (%d) but on %s", want, strings.Join(at, ", "))
}
