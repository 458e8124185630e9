package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// work is what a supervisor is given to run.
type work struct {
	argv []string
	n    int
	env  map[string]string
	// keeps asks for a log in files, in which 50 MB are kept ten times, as supervisord
	// has it by default; otherwise each does what it does by default.
	keeps bool
}

// rival is a supervisor at work.
type rival struct {
	began time.Time
	pid   func() int // its own; 0: not yet
	stop  func()     // tells it to end everything, and returns
	comm  string     // what its instances are called, see proc_pid_comm(5)
}

// rivals are those that are compared. A supervisor that is not installed makes begin
// return exec.ErrNotFound.
var rivals = []struct {
	name  string
	begin func(dir, clusterd string, w work) (*rival, error)
}{
	{"clusterd", beginClusterd},
	{"pm2", beginPM2},
	{"supervisord", beginSupervisord},
}

func (w work) rival(pid func() int, stop func()) *rival {
	comm := filepath.Base(w.argv[0])
	return &rival{time.Now(), pid, stop, comm[:min(len(comm), 15)]}
}

func beginClusterd(dir, clusterd string, w work) (*rival, error) {
	argv, _ := json.Marshal(w.argv) // strings: the same in TOML
	toml := fmt.Sprintf("[apps.a]\ncommand = %s\ninstances = %d\n", argv, w.n)
	for k, v := range w.env {
		toml += fmt.Sprintf("env.%s = %q\n", k, v)
	}
	if w.keeps {
		toml += "log = { file = \"a.log\", max_size = \"50MB\", keep = 10 }\n"
	}
	if err := os.MkdirAll(filepath.Join(dir, "run"), 0o700); err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "cluster.toml")
	if err := os.WriteFile(config, []byte(toml), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command(clusterd, "-c", config, "--detached") // as --detach starts it
	cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+filepath.Join(dir, "run"))
	return w.run(cmd)
}

// run starts a supervisor that is a child of this process, and ends with SIGTERM.
func (w work) run(cmd *exec.Cmd) (*rival, error) {
	r := w.rival(func() int { return cmd.Process.Pid }, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() { _ = cmd.Wait() }()
	return r, nil
}

// beginPM2 has a daemon of its own begun by pm2, and waits for nothing else.
func beginPM2(dir, _ string, w work) (*rival, error) {
	pm2, err := exec.LookPath("pm2")
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	apps, err := json.Marshal(map[string]any{"apps": []any{map[string]any{
		"name": "a", "script": w.argv[0], "args": w.argv[1:], "interpreter": "none", "exec_mode": "fork", "instances": w.n, "env": w.env,
	}}})
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "ecosystem.config.json")
	if err := os.WriteFile(config, apps, 0o600); err != nil {
		return nil, err
	}
	do := func(args ...string) {
		cmd := exec.Command(pm2, args...)
		cmd.Env = append(os.Environ(), "PM2_HOME="+dir)
		if cmd.Start() == nil {
			go func() { _ = cmd.Wait() }()
		}
	}
	r := w.rival(func() int {
		text, _ := os.ReadFile(filepath.Join(dir, "pm2.pid"))
		pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
		return pid
	}, func() { do("kill") })
	do("start", config)
	return r, nil
}

func beginSupervisord(dir, _ string, w work) (*rival, error) {
	supervisord, err := exec.LookPath("supervisord")
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	var env []string
	for k, v := range w.env {
		env = append(env, fmt.Sprintf("%s=%q", k, v))
	}
	config := filepath.Join(dir, "supervisord.conf")
	text := fmt.Sprintf(`[supervisord]
nodaemon = true
logfile = %[1]s/supervisord.log
pidfile = %[1]s/supervisord.pid
childlogdir = %[1]s
minfds = 16384

[program:a]
command = %s
numprocs = %d
process_name = %%(program_name)s_%%(process_num)d
environment = %s
`, dir, strings.Join(w.argv, " "), w.n, strings.Join(env, ","))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return w.run(exec.Command(supervisord, "-c", config))
}

// look lists the instances that run, and the supervisor's own processes.
func (r *rival) look() (instances, own []int) {
	pid := r.pid()
	if pid == 0 {
		return nil, nil
	}
	own = []int{pid}
	for _, child := range childrenOf(pid) {
		if r.isInstance(child) {
			instances = append(instances, child)
		} else {
			own = append(own, child) // such as clusterd's guardian
		}
	}
	return instances, own
}

func (r *rival) isInstance(pid int) bool {
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return err == nil && strings.TrimSpace(string(comm)) == r.comm
}

// alive tells whether a process is there, and no zombie.
func alive(pid int) bool {
	f, err := statFields(pid)
	return err == nil && f[0] != "Z"
}

// up waits until n instances run, or for so long.
func (r *rival) up(n int, most time.Duration) (took time.Duration, instances []int, err error) {
	for {
		instances, _ = r.look()
		if took = time.Since(r.began); len(instances) >= n {
			return took, instances, nil
		}
		if took > most {
			return took, instances, fmt.Errorf("only %d of %d instances run after %v", len(instances), n, most)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// down ends everything and says how long that took. What is there after most is killed.
func (r *rival) down(most time.Duration) (took time.Duration, err error) {
	instances, own := r.look()
	began := time.Now()
	r.stop()
	for left := slices.Concat(own, instances); ; time.Sleep(5 * time.Millisecond) {
		left = slices.DeleteFunc(left, func(pid int) bool { return !alive(pid) })
		if took = time.Since(began); len(left) == 0 {
			return took, nil
		}
		if took > most {
			for _, pid := range slices.Concat(left, childrenOf(r.pid())) {
				if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
					return took, err
				}
			}
			return took, fmt.Errorf("%d processes are there %v after the stop", len(left), most)
		}
	}
}
