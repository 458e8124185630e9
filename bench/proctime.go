package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cpuTime is what the threads of a process have used, in user and in kernel mode, to
// the nanosecond: the first field of /proc/PID/task/TID/schedstat, see sched-stats in
// the kernel's documentation. Threads that have ended and its children are not in.
func cpuTime(pid int) (sum time.Duration, err error) {
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(lists) == 0 {
		return 0, fmt.Errorf("process %d is gone: %w", pid, cmp.Or(err, os.ErrNotExist))
	}
	for _, list := range lists {
		b, err := os.ReadFile(list)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // the thread has just ended
		}
		if err != nil {
			return 0, err
		}
		var ns int64
		if _, err := fmt.Sscan(string(b), &ns); err != nil {
			return 0, fmt.Errorf("%s is odd: %q", list, b)
		}
		sum += time.Duration(ns)
	}
	return sum, nil
}

// cpuTimes is the sum over several processes.
func cpuTimes(pids []int) (sum time.Duration, err error) {
	for _, pid := range pids {
		t, err := cpuTime(pid)
		if err != nil {
			return 0, err
		}
		sum += t
	}
	return sum, nil
}

// statFields are those behind the command's name, which may hold anything.
func statFields(pid int) ([]string, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(f) < 22 {
		return nil, fmt.Errorf("the stat of process %d is short: %q", pid, b)
	}
	return f, nil
}

// resident is the memory of a process, in MiB: field 24 of its stat.
func resident(pid int) (float64, error) {
	f, err := statFields(pid)
	if err != nil {
		return 0, err
	}
	pages, err := strconv.ParseInt(f[21], 10, 64)
	return float64(pages) * float64(os.Getpagesize()) / (1 << 20), err
}

// childrenOf are the processes that the threads of a process have started and
// that have not been waited for.
func childrenOf(pid int) (pids []int) {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		b, _ := os.ReadFile(list) // the thread may be gone
		for _, f := range strings.Fields(string(b)) {
			if child, err := strconv.Atoi(f); err == nil {
				pids = append(pids, child)
			}
		}
	}
	return pids
}

// quantile of values that need not be sorted, q from 0 to 1.
func quantile[T int64 | float64 | time.Duration](values []T, q float64) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

func median[T int64 | float64 | time.Duration](values []T) T { return quantile(values, 0.5) }

// ms is a duration in milliseconds, as a table shows it.
func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond)) }
