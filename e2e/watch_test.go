package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// awaitWatched waits until clusterd is told what changes in a folder.
func (d *daemon) awaitWatched(dir string) {
	d.w.t.Helper()
	info, err := os.Stat(dir)
	if err != nil {
		d.w.t.Fatal(err)
	}
	mark := fmt.Sprintf(" ino:%x ", info.Sys().(*syscall.Stat_t).Ino) // see proc_pid_fdinfo(5)
	d.await("clusterd to watch "+dir, func() bool {
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", d.pid()))
		for _, f := range files {
			if text, _ := os.ReadFile(f); strings.HasPrefix(string(text), "pos:") && strings.Contains(string(text), "\ninotify wd:") && strings.Contains(string(text), mark) {
				return true
			}
		}
		return false
	})
}

// A burst of changes reloads an app once, and so does a file that is replaced by a
// new one, as editors do; what is ignored does not.
func TestWatch(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	src := filepath.Join(w.dir, "src")
	if err := os.Mkdir(src, 0o755); err != nil {
		t.Fatal(err)
	}
	w.write(".gitignore", "*.log\n")
	port := w.port()
	w.configure(web(port, 2, `watch = { paths = ["src/**"], debounce = "1s" }`), app("job", "sleep"))
	d := w.start()
	d.awaitReady(3)
	job := w.pids("job")
	d.awaitWatched(src)

	w.write("src/noise.log", "")
	for i := range 20 {
		w.write(fmt.Sprintf("src/%d.ts", i), "")
	}
	d.awaitEvent(`^\S+ web src/0\.ts and 19 more changed; reloading$`)
	d.awaitEvent(`^\S+ web reloaded 2 of 2 in `)

	temp := w.write("3.ts.tmp", "better")
	if err := os.Rename(temp, filepath.Join(src, "3.ts")); err != nil {
		t.Fatal(err)
	}
	d.awaitEvent(`^\S+ web src/3\.ts changed; reloading$`)
	d.awaitStatus("the third generation", func(s status) bool {
		now, _ := s.app("web").generations()
		return fmt.Sprint(now) == "[web/0 ready 3 web/1 ready 3]"
	})
	if now := w.pids("job"); fmt.Sprint(now) != fmt.Sprint(job) {
		t.Errorf("the job has pid %v, and had %v", now, job)
	}
	d.stop()
	if n := strings.Count(d.stderr.String(), "changed; reloading"); n != 2 {
		t.Errorf("reloaded %d times, want 2", n)
	}
}
