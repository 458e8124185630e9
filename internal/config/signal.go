package config

import (
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// lastSignal is SIGRTMAX, signal(7).
const lastSignal = 64

// setStopSignal reads the name of a signal, with or without SIG and in any
// case, or its number.
func setStopSignal(f field, a *App) bool {
	const be = `a signal such as "SIGTERM" or "INT", or a number from 1 to 64`
	if name, isText := f.value.(string); isText {
		number := unix.SignalNum(signalName(name))
		if number == 0 {
			return f.must(be, strings.TrimPrefix(didYouMean(signalName(name), signalNames()), "; "))
		}
		a.StopSignal = number
		return true
	}
	n, ok := f.between(1, lastSignal, be)
	if ok {
		a.StopSignal = syscall.Signal(n)
	}
	return ok
}

func signalName(name string) string {
	return "SIG" + strings.TrimPrefix(strings.ToUpper(name), "SIG")
}

func signalNames() []string {
	var names []string
	for n := syscall.Signal(1); n <= lastSignal; n++ {
		if name := unix.SignalName(n); name != "" {
			names = append(names, name)
		}
	}
	return names
}
