package config

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Limits are bounds on what one instance may use; 0: none.
type Limits struct {
	Memory int64   // resident bytes of all of its processes; above, it is restarted
	Nofile int     // open files of each process
	CPU    float64 // CPUs that all of its processes may use together
}

func setLimits(f field, a *App) bool {
	l := a.Limits
	ok := parts{
		"memory": func(f field) (ok bool) {
			l.Memory, ok = f.size()
			return ok
		},
		"nofile": func(f field) (ok bool) {
			l.Nofile, ok = f.between(1, 1<<30, "an integer of 1 or more")
			return ok && f.allowed(l.Nofile)
		},
		"cpu": func(f field) (ok bool) {
			l.CPU, ok = f.cpus()
			return ok
		},
	}.read(f, `{ memory = "512MiB", nofile = 65536, cpu = 1.5 }`)
	if ok {
		a.Limits = l
	}
	return ok
}

// cpus reads how many CPUs something may use. The kernel's limit is at least a
// hundredth of one (cpu.max in its cgroup-v2.rst).
func (f field) cpus() (float64, bool) {
	const most = 1 << 16
	n, ok := f.value.(float64)
	if whole, isWhole := f.value.(int64); isWhole {
		n, ok = float64(whole), true
	}
	if !ok || !(n >= 0.01 && n <= most) {
		hint := ""
		if s, isText := f.value.(string); isText {
			if n, err := strconv.ParseFloat(s, 64); err == nil && n >= 0.01 && n <= most {
				hint = fmt.Sprintf("write %s without quotes", s)
			}
		}
		return 0, f.must("a number of CPUs from 0.01 on, such as 1.5", hint)
	}
	return n, true
}

// allowed tells whether processes may be given so many open files, and reports
// when not, see RLIMIT_NOFILE in getrlimit(2).
func (f field) allowed(files int) bool {
	var now unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &now); err != nil || uint64(files) <= now.Max {
		return true // who could not be asked will say so at the start
	}
	if may, err := capable(unix.CAP_SYS_RESOURCE); err == nil && !may {
		return f.fail("= %d is more than the hard limit of the user with the id %d, which is %d (ulimit -Hn); raise that, or take less", files, os.Geteuid(), now.Max)
	}
	if most := mostFiles(); uint64(files) > most {
		return f.fail("= %d is more than this machine allows anyone, which is %d (sysctl fs.nr_open)", files, most)
	}
	return true
}

// mostFiles is the bound of every RLIMIT_NOFILE, see proc_sys_fs(5).
func mostFiles() uint64 {
	var n uint64
	if b, err := os.ReadFile("/proc/sys/fs/nr_open"); err == nil {
		if _, err := fmt.Sscan(string(b), &n); err == nil {
			return n
		}
	}
	return 1 << 20 // as it is from the start
}
