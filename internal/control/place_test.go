package control

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestPlaceOf(t *testing.T) {
	p := place(t)
	if m := mode(t, folder(p)); m != os.ModeDir|0o700 {
		t.Errorf("the folder has mode %s", m)
	}
	if want := filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "clusterd"); folder(p) != want {
		t.Errorf("the folder is %s, want %s", folder(p), want)
	}
	again, err := PlaceOf("/test/cluster.toml")
	if err != nil || again != p {
		t.Errorf("the same config has another place: %+v, %v", again, err)
	}
	if other, err := PlaceOf("/test/other/cluster.toml"); err != nil || other.Socket == p.Socket || other.lock == p.lock {
		t.Errorf("another config has the same place: %+v, %v", other, err)
	}
}

// Without XDG_RUNTIME_DIR it is a folder of the user's own in the temp directory.
func TestPlaceWithoutRuntimeDir(t *testing.T) {
	tmp := shortDir(t)
	t.Setenv("XDG_RUNTIME_DIR", "")
	t.Setenv("TMPDIR", tmp)
	p, err := PlaceOf("/test/cluster.toml")
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(tmp, "clusterd-"+strconv.Itoa(os.Getuid())); folder(p) != want {
		t.Errorf("the folder is %s, want %s", folder(p), want)
	}
	if m := mode(t, folder(p)); m != os.ModeDir|0o700 {
		t.Errorf("the folder has mode %s", m)
	}
}

// After su, XDG_RUNTIME_DIR is the folder of somebody who would not like to
// find other users' files in it.
func TestRuntimeDirOfAnotherUser(t *testing.T) {
	if os.Getuid() != 0 {
		missing(t, "only root can give a folder to somebody else")
	}
	xdg, tmp := shortDir(t), shortDir(t)
	if err := os.Chown(xdg, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_RUNTIME_DIR", xdg)
	t.Setenv("TMPDIR", tmp)
	p, err := PlaceOf("/test/cluster.toml")
	if err != nil || filepath.Dir(folder(p)) != tmp {
		t.Errorf("the folder is %s (%v), want one in %s", folder(p), err, tmp)
	}
}

// A folder that somebody else may have prepared is refused.
func TestPlaceRefusesFoldersOfOthers(t *testing.T) {
	for _, x := range []struct {
		name    string
		prepare func(t *testing.T, dir string) error
		want    string
	}{
		{"group may write", func(_ *testing.T, dir string) error { return chmod(dir, 0o720) }, "but others may enter it; chmod 700 it"},
		{"others may enter", func(_ *testing.T, dir string) error { return chmod(dir, 0o701) }, "but others may enter it; chmod 700 it"},
		{"a link", func(t *testing.T, dir string) error { return os.Symlink(shortDir(t), dir) }, "but is no folder"},
		{"a file", func(_ *testing.T, dir string) error { return os.WriteFile(dir, nil, 0o600) }, "but is no folder"},
		{"another's", func(t *testing.T, dir string) error {
			if os.Getuid() != 0 {
				missing(t, "only root can give a folder away")
			}
			return errors.Join(chmod(dir, 0o700), os.Chown(dir, 65534, 65534))
		}, "but belongs to user 65534; set XDG_RUNTIME_DIR"},
	} {
		t.Run(x.name, func(t *testing.T) {
			xdg := shortDir(t)
			t.Setenv("XDG_RUNTIME_DIR", xdg)
			dir := filepath.Join(xdg, "clusterd")
			if err := x.prepare(t, dir); err != nil {
				t.Fatal(err)
			}
			_, err := PlaceOf("/test/cluster.toml")
			if want := dir + " is to be the folder of the control socket, " + x.want; err == nil || err.Error() != want {
				t.Errorf("%v, want %s", err, want)
			}
		})
	}
}

// chmod makes a folder of exactly that mode.
func chmod(dir string, mode os.FileMode) error {
	return errors.Join(os.Mkdir(dir, mode), os.Chmod(dir, mode))
}

func TestPlaceTooDeep(t *testing.T) {
	deep := filepath.Join(shortDir(t), strings.Repeat("x", 100))
	if err := os.Mkdir(deep, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_RUNTIME_DIR", deep)
	_, err := PlaceOf("/test/cluster.toml")
	if err == nil || !strings.Contains(err.Error(), "is longer than the 107 bytes that a socket can have; set XDG_RUNTIME_DIR to a shorter one") {
		t.Errorf("%v", err)
	}
	t.Setenv("XDG_RUNTIME_DIR", filepath.Join(deep, "gone"))
	if _, err := PlaceOf("/test/cluster.toml"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("in a folder that does not exist: %v", err)
	}
}

func TestLockIsExclusive(t *testing.T) {
	p := place(t)
	lock, err := p.Lock()
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Lock()
	running, ok := errors.AsType[*RunningError](err)
	if !ok || running.PID != os.Getpid() {
		t.Fatalf("a second lock: %v", err)
	}
	if want := "this cluster is already running, as pid " + strconv.Itoa(os.Getpid()); running.Error() != want {
		t.Errorf("%q, want %q", running.Error(), want)
	}
	if want, got := "this cluster is already running", (&RunningError{}).Error(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	lock.Release()
	if lock, err = p.Lock(); err != nil {
		t.Fatalf("after Release: %v", err)
	}
	lock.Release()
	if m := mode(t, p.lock); m != 0o600 {
		t.Errorf("the lock has mode %s", m)
	}
}

// What is in the lock's file does not matter: a shorter pid replaces a longer one.
func TestLockOfTheDead(t *testing.T) {
	p := place(t)
	if err := os.WriteFile(p.lock, []byte("999999999999999999999999"), 0o600); err != nil {
		t.Fatal(err)
	}
	lock, err := p.Lock()
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release()
	if b, err := os.ReadFile(p.lock); err != nil || string(b) != strconv.Itoa(os.Getpid()) {
		t.Errorf("the lock holds %q, %v", b, err)
	}
}

// A socket that a killed daemon left behind is replaced.
func TestStaleSocketIsReplaced(t *testing.T) {
	p := place(t)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: p.Socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if _, err := Dial(t.Context(), p); !errors.Is(err, ErrNotRunning) {
		t.Errorf("with a stale socket: %v, want %v", err, ErrNotRunning)
	}
	s, err := Serve(p, &fakeCluster{}, Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	client(t, p)
}
