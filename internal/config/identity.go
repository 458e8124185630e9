package config

import (
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Identity is whom the processes of an app run as, where that is not the user
// of clusterd.
type Identity struct {
	User   string // its name, or the number when it has none
	Home   string // "": unknown
	UID    uint32
	GID    uint32
	Groups []uint32 // supplementary
}

func setUser(f field, a *App) bool {
	u, ok := f.account("the name of a user, or its number", func(name string) (string, error) {
		u, err := user.Lookup(name)
		if err != nil {
			return "", err
		}
		return u.Uid, nil
	})
	if ok {
		a.User = u
	}
	return ok
}

func setGroup(f field, a *App) bool {
	g, ok := f.account("the name of a group, or its number", func(name string) (string, error) {
		g, err := user.LookupGroup(name)
		if err != nil {
			return "", err
		}
		return g.Gid, nil
	})
	if ok {
		a.Group = g
	}
	return ok
}

// account is the number of a user or group, as decimal text.
func (f field) account(be string, lookup func(string) (string, error)) (string, bool) {
	if n, isNumber := f.value.(int64); isNumber {
		if n < 0 || n >= 1<<32-1 {
			return "", f.must(be, "")
		}
		return strconv.FormatInt(n, 10), true
	}
	name, ok := f.text(be)
	if !ok {
		return "", false
	}
	id, err := lookup(name)
	if err == nil {
		return id, true
	}
	if n, wrong := strconv.ParseUint(name, 10, 32); wrong == nil && n < 1<<32-1 {
		return strconv.FormatUint(n, 10), true
	}
	return "", f.fail("%s does not exist on this machine", cite(name))
}

// setUmask reads the bits that files made by the app do not get. TOML has no
// octal numbers without a prefix, and umask = 22 would be another one than what
// everybody means, so it takes text or 0o022.
func setUmask(f field, a *App) bool {
	const be = `an octal mask in quotes, such as "027"`
	s, isText := f.value.(string)
	if !isText {
		digits, octal := strings.CutPrefix(f.source, "0o")
		if _, isNumber := f.value.(int64); isNumber && !octal {
			return f.must(be, `write "`+f.source+`"`)
		}
		s = digits
	}
	mask, err := strconv.ParseUint(strings.ReplaceAll(s, "_", ""), 8, 32)
	if err != nil || mask > 0o777 {
		return f.must(be, "")
	}
	a.Umask = new(int(mask))
	return true
}

// identity works out whom the app runs as.
func (r *reader) identity(d *draft) {
	if d.User == "" && d.Group == "" || d.wrong["user"] || d.wrong["group"] {
		return
	}
	id := Identity{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
	if d.User != "" {
		n, _ := strconv.ParseUint(d.User, 10, 32)
		id.User, id.UID, id.GID = d.User, uint32(n), uint32(n)
		if u, err := user.LookupId(d.User); err == nil {
			id.User, id.Home = u.Username, u.HomeDir
			id.GID = number(u.Gid)
			groups, err := u.GroupIds()
			if err != nil {
				r.add(d.blame("user"), "user: the groups of %s cannot be found out: %v", u.Username, err)
				return
			}
			for _, g := range groups {
				id.Groups = append(id.Groups, number(g))
			}
		} else if d.Group == "" {
			r.add(d.blame("user"), "user %s is unknown on this machine, and so is its group; add one, such as group = %[1]s", d.User)
			return
		}
	} else {
		groups, _ := os.Getgroups()
		for _, g := range groups {
			id.Groups = append(id.Groups, uint32(g))
		}
	}
	if d.Group != "" {
		id.GID = number(d.Group)
	}
	if !slices.Contains(id.Groups, id.GID) {
		id.Groups = append(id.Groups, id.GID)
	}
	slices.Sort(id.Groups)
	if int(id.UID) == os.Geteuid() && int(id.GID) == os.Getegid() && (d.User == "" || os.Geteuid() != 0) {
		return // it is so already
	}
	if err := mayBecomeOthers(); err != nil {
		r.add(d.blame("user", "group"), "user and group cannot be changed here: %v; leave them out, or run clusterd as root", err)
		return
	}
	d.RunAs = &id
}

func number(id string) uint32 {
	n, _ := strconv.ParseUint(id, 10, 32) // of this system's own files
	return uint32(n)
}

// mayBecomeOthers says why processes cannot be given another user or group.
func mayBecomeOthers() error {
	for bit, name := range map[int]string{unix.CAP_SETUID: "CAP_SETUID", unix.CAP_SETGID: "CAP_SETGID"} {
		if may, err := capable(bit); err != nil {
			return err
		} else if !may {
			return fmt.Errorf("clusterd runs as the user with the id %d, without %s", os.Geteuid(), name)
		}
	}
	return nil
}

// capable tells whether this process has a capability in effect, see
// capabilities(7).
func capable(bit int) (bool, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return false, fmt.Errorf("read the capabilities of this process: %w", err)
	}
	return sets[bit/32].Effective&(1<<(bit%32)) != 0, nil
}
