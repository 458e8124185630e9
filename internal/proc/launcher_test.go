package proc

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// launchChild starts args with childVariable set to job. Its output goes to out.
func launchChild(t *testing.T, l *launcher, job string, out *os.File, args ...string) process {
	t.Helper()
	run := runName()
	env := append(os.Environ(), childVariable+"="+job, runVariable+run)
	p, err := l.start(spec{args: args, env: env, dir: t.TempDir(), stdout: out, stderr: out, run: run})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// discard is where output goes that nobody reads.
func discard(t *testing.T) *os.File {
	t.Helper()
	f, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestExitStatusIsExact(t *testing.T) {
	l := realLauncher(t)
	for _, x := range []struct {
		script string
		want   exitStatus
		text   string
	}{
		{"exit 0", exitStatus{}, "exited with code 0"},
		{"exit 1", exitStatus{code: 1}, "exited with code 1"},
		{"exit 255", exitStatus{code: 255}, "exited with code 255"},
		{"kill -TERM $$", exitStatus{-1, syscall.SIGTERM}, "was killed by SIGTERM"},
		{"kill -KILL $$", exitStatus{-1, syscall.SIGKILL}, "was killed by SIGKILL"},
		{"ulimit -c 0; kill -SEGV $$", exitStatus{-1, syscall.SIGSEGV}, "was killed by SIGSEGV"},
		{"kill -40 $$", exitStatus{-1, syscall.Signal(40)}, "was killed by signal 40"},
	} {
		t.Run(x.script, func(t *testing.T) {
			p := launchChild(t, l, "", discard(t), "/bin/sh", "-c", x.script)
			for range 2 { // it can be asked again
				if got := p.Exited(); got != x.want || got.String() != x.text {
					t.Errorf("it %v, want %v", got, x.text)
				}
			}
			p.End(context.Background())
			if err := p.Signal(syscall.SIGTERM); err != os.ErrProcessDone {
				t.Errorf("a signal after the end: %v", err)
			}
			p.Kill()
		})
	}
}

func TestLaunchErrorsNameTheCause(t *testing.T) {
	l := realLauncher(t)
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("script", "#!/no/such/interpreter\n", 0o755)
	write("data", "no program", 0o755)
	write("text", "", 0o644)
	for _, x := range []struct{ command, dir, want string }{
		{"no-such-program", dir, `command "no-such-program": not found in PATH (/bin)`},
		{"./missing", dir, `command "DIR/missing": no such file`},
		{"./script", dir, `command "DIR/script": its interpreter or loader does not exist (see the first line of a script)`},
		{"./data", dir, `command "DIR/data": neither a program for this machine nor a script with a #! line`},
		{"./text", dir, `command "DIR/text": not executable, or in a folder that may not be entered (chmod +x?)`},
		{"/", dir, `command "/": is a directory`},
		{"/bin/sh", dir + "/gone", "working directory: stat DIR/gone: no such file or directory"},
		{"/bin/sh", dir + "/text", "working directory: DIR/text is not a directory"},
	} {
		t.Run(x.command, func(t *testing.T) {
			null := discard(t)
			_, err := l.start(spec{args: []string{x.command}, env: []string{"PATH=/bin"}, dir: x.dir, stdout: null, stderr: null, run: runName()})
			if err == nil {
				t.Fatal("it was started")
			}
			if got := strings.ReplaceAll(err.Error(), dir, "DIR"); got != x.want {
				t.Errorf("%s, want %s", got, x.want)
			}
		})
	}
}

// The kernel ends instances with a clusterd that has no chance to do it.
func TestInstancesDieWithTheirSupervisor(t *testing.T) {
	l := realLauncher(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p := launchChild(t, l, "pdeathsig", w, self())
	p.Exited()
	p.End(context.Background())
	w.Close()
	line, _ := bufio.NewReader(r).ReadString('\n')
	if want := "dies with its parent of killed\n"; line != want {
		t.Errorf("it %q, want %q", line, want)
	}

	supervisor := exec.Command(self())
	supervisor.Env = append(os.Environ(), childVariable+"=supervise")
	out, err := supervisor.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := supervisor.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	line, _ = lines.ReadString('\n')
	var pid int
	if _, err := fmt.Sscanf(line, "waiting %d", &pid); err != nil {
		t.Errorf("the instance says %q", line)
	}
	if err := supervisor.Process.Kill(); err != nil {
		t.Error(err)
	}
	// The pipe ends when nobody is left to write to it.
	if rest, err := lines.ReadString('\n'); err == nil {
		t.Errorf("then it says %q", rest)
	}
	_ = supervisor.Wait()
	eventually(t, "the instance to be gone", func() any { return pid }, func() bool {
		st, err := readStat(pid)
		return err != nil || st.zombie
	})
}

// An instance has an empty standard input, its output, and no other open file
// of clusterd.
func TestInstancesInheritNothing(t *testing.T) {
	l := realLauncher(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p := launchChild(t, l, "", w, "/bin/sh", "-c", "cat; ls /proc/self/fd | wc -l")
	w.Close()
	want := 4 // 0 to 2, and the folder that ls reads
	for _, file := range openFiles() {
		// What whoever runs the tests passed on is not clusterd's.
		fd, _ := strconv.Atoi(strings.Fields(file)[0])
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && fd > 2 && flags&unix.FD_CLOEXEC == 0 {
			want++
		}
	}
	line, _ := bufio.NewReader(r).ReadString('\n')
	if got := strings.TrimSpace(line); got != strconv.Itoa(want) {
		t.Errorf("it has %s open files, want %d", got, want)
	}
	p.Exited()
	p.End(context.Background())
}

// Without a descriptor to look at anything with, clusterd still kills what it
// can, and takes nobody for gone.
func TestEndWithoutDescriptors(t *testing.T) {
	l := realLauncher(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p := launchChild(t, l, "family", w, self())
	w.Close()
	lines := bufio.NewScanner(r)
	for range 4 { // each member's, but that of the daemon's parent
		if !lines.Scan() {
			t.Fatal("the family is incomplete")
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()

	allow := withoutFiles(t)
	defer allow()
	if _, err := l.strays(); err == nil {
		t.Error("strays knows that there are none")
	}
	p.Kill()
	exited := make(chan struct{})
	go func() {
		p.Exited()
		close(exited)
	}()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.End(gone)
	}()
	select {
	case <-exited:
	case <-ended:
		t.Error("End has let go of a living leader")
	case <-time.After(patience):
		t.Error("Kill does nothing")
	}
	allow()
	<-ended
	if left := marked(); len(left) > 0 {
		t.Errorf("processes %v are left", left)
	}
}

// Who was seen to belong to an instance ends with it, though nothing tells any
// more whose it is.
func TestSeenOnceIsAMemberForGood(t *testing.T) {
	for name, look := range map[string]func(p process){
		"members": func(p process) { p.Members() },
		"usage":   func(p process) { p.Usage() },
	} {
		t.Run(name, func(t *testing.T) {
			l := realLauncher(t)
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			p := launchChild(t, l, "launder", w, self())
			w.Close()
			line, _ := bufio.NewReader(r).ReadString('\n')
			var daemon int
			if _, err := fmt.Sscanf(line, "deaf %d", &daemon); err != nil {
				t.Fatalf("it says %q", line)
			}
			look(p)
			_ = syscall.Kill(p.PID(), syscall.SIGKILL)
			p.Exited()
			now, cancel := context.WithCancel(t.Context())
			cancel()
			p.End(now)
			if st, err := readStat(daemon); err == nil && !st.zombie {
				t.Error("it outlives its instance")
				_ = syscall.Kill(daemon, syscall.SIGKILL)
			}
		})
	}
}

// A program that takes for ever to be loaded keeps nobody from being ended, nor
// from hearing that there is no such program.
func TestHungLaunchIsNobodyElsesProblem(t *testing.T) {
	l := realLauncher(t)
	p := launchChild(t, l, "leave", discard(t), self())
	p.Exited()
	now, cancel := context.WithCancel(t.Context())
	cancel()

	syscall.ForkLock.Lock() // which StartProcess needs
	var unlock sync.Once
	defer unlock.Do(syscall.ForkLock.Unlock)
	s := spec{args: []string{"/bin/sh", "-c", "exit 5"}, dir: "/", stdout: discard(t), stderr: discard(t), run: runName()}
	hung := make(chan process, 1)
	go func() {
		q, err := l.start(s)
		if err != nil {
			t.Error(err)
		}
		hung <- q
	}()
	eventually(t, "the launch", func() any { return "not under way" }, func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.launching
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		wrong := s
		wrong.args = []string{"no-such-program"}
		if _, err := l.start(wrong); err == nil {
			t.Error("a program is started that does not exist")
		}
		p.Kill()
		p.End(now)
	}()
	select {
	case <-done:
		if left := marked(); len(left) > 0 {
			t.Errorf("processes %v are left", left)
		}
	case <-time.After(patience):
		t.Error("it waits for the launch")
	}
	unlock.Do(syscall.ForkLock.Unlock)
	q := <-hung
	if status := q.Exited(); status.code != 5 {
		t.Errorf("what was launched in the end %s, want code 5", status)
	}
	q.End(now)
	<-done
}

// withoutFiles keeps this process from opening any file until the function that
// it returns is called.
func withoutFiles(t *testing.T) (allow func()) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	set := func(now uint64) {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: now, Max: limit.Max}); err != nil {
			t.Fatal(err)
		}
	}
	set(0)
	return func() { set(limit.Cur) }
}
