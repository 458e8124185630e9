package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// oneMoment is within what signals count as one: a Ctrl-C reaches clusterd from
// the terminal and perhaps again from a parent that passes it on, such as npm or
// make.
const oneMoment = 200 * time.Millisecond

// onSignals stops the cluster at the first SIGINT, SIGTERM or SIGHUP and kills
// it at the second SIGINT or SIGTERM, or at the first when it is being stopped
// for another reason. A closed terminal sends its SIGHUP as often as it likes.
// The returned function ends that.
func onSignals(ctx context.Context, stop, kill func()) func() {
	// With a handler, a write to a closed pipe is an error and no death;
	// ignoring it instead would be inherited by the instances.
	pipe := make(chan os.Signal, 1)
	signal.Notify(pipe, syscall.SIGPIPE)

	signals := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as nohup does
		signals = append(signals, syscall.SIGHUP)
	}
	got := make(chan os.Signal, 2)
	signal.Notify(got, signals...)
	done := make(chan struct{})
	go func() {
		var last time.Time
		for {
			select {
			case sig := <-got:
				again := time.Since(last) < oneMoment
				last = time.Now()
				if ctx.Err() != nil && sig != syscall.SIGHUP && !again {
					kill()
				}
				stop()
			case <-done:
				return
			}
		}
	}()
	return func() {
		signal.Stop(got)
		close(done)
	}
}
