// Bench measures clusterd as a whole program, on this machine and now, and
// writes a table of what came out:
//
//	go run ./bench -out bench/RESULTS.md
//
// It takes less than twenty minutes, sends traffic to loopback only, and needs wrk,
// h2load, node, taskset and nginx for the comparisons under load, and to be allowed to
// make control groups. Without these the comparisons are left out, and the exit code
// is 1.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// section is one thing that is measured. What it writes goes into the results
// even if it fails half-way.
type section struct {
	name string
	run  func(dir, clusterd string, w *strings.Builder) error
}

var sections = []section{
	{"start", measureStart},
	{"respawn", measureRespawn},
	{"idle", measureIdle},
	{"direct", measureDirect},
	{"relay", measureRelay},
	{"many", measureMany},
}

func main() {
	out := flag.String("out", "", "write the results to this `file` as well")
	only := flag.String("only", "", "measure only this `section`: start, respawn, idle, direct, relay or many")
	flag.Parse()
	results, err := run(*only, "go run ./bench "+strings.Join(os.Args[1:], " "))
	fmt.Print(results)
	if *out != "" && results != "" {
		if writeErr := os.WriteFile(*out, []byte(results), 0o644); writeErr != nil {
			err = errors.Join(err, writeErr)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(only, command string) (string, error) {
	dir, err := os.MkdirTemp("", "clusterd-bench-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	clusterd := filepath.Join(dir, "clusterd")
	if b, err := exec.Command("go", "build", "-o", clusterd, "./cmd/clusterd").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build clusterd, in the root of the repository: %w\n%s", err, b)
	}

	var w strings.Builder
	fmt.Fprintf(&w, "Made by `%s` on %s.\n\n", strings.TrimSpace(command), machine())
	w.WriteString("# Benchmarks\n\nWhole-program figures of one run. They depend on the machine and what else it does; the ratios less so.\n")
	var failures []error
	known := false
	for _, s := range sections {
		if only != "" && only != s.name {
			continue
		}
		known = true
		fmt.Fprintln(os.Stderr, "measuring:", s.name)
		sub := filepath.Join(dir, s.name)
		if err := os.Mkdir(sub, 0o755); err != nil {
			return "", err
		}
		if err := s.run(sub, clusterd, &w); err != nil {
			fmt.Fprintf(&w, "\nNot measured to the end: %v.\n", err)
			failures = append(failures, fmt.Errorf("%s: %w", s.name, err))
		}
	}
	if !known {
		return "", fmt.Errorf("there is no section %q", only)
	}
	return w.String(), errors.Join(failures...)
}

// machine describes where and when this runs.
func machine() string {
	var u unix.Utsname
	_ = unix.Uname(&u)
	cpu := "unknown processor"
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				cpu = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%s, %d CPUs (%s), Linux %s, %s", time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), cpu,
		unix.ByteSliceToString(u.Release[:]), runtime.Version())
}
