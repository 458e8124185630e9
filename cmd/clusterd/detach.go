package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"

	"clusterd/internal/control"
	"clusterd/internal/proc"
)

// detachedFlag makes clusterd the daemon that detach starts.
const detachedFlag = "detached"

// detach runs the cluster in a process of its own, and returns when all is ready,
// or with what is not.
func detach(o options) error {
	if _, err := o.load(); err != nil {
		return err
	}
	exe, err := os.Executable()
	if err != nil {
		return failed(fmt.Errorf("find the program to run in the background: %w", err))
	}
	r, w, err := os.Pipe()
	if err != nil {
		return failed(err)
	}
	defer r.Close()
	daemon := exec.Command(exe, "--config", o.config, "--"+detachedFlag)
	daemon.Stderr = w
	daemon.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = daemon.Start()
	w.Close()
	if err != nil {
		return failed(fmt.Errorf("start clusterd in the background: %w", err))
	}
	// Until it has started, the daemon has only errors to tell; then it closes its
	// standard error.
	said, err := io.ReadAll(r)
	if err != nil {
		return failed(err)
	}
	if len(said) > 0 {
		_ = daemon.Wait()
		fmt.Fprint(os.Stderr, string(said))
		return &exitError{max(exitFailed, daemon.ProcessState.ExitCode()), errors.New("")}
	}
	return failed(awaitDetached(o, daemon.Process.Pid))
}

// awaitDetached says how a daemon has come up.
func awaitDetached(o options, pid int) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	c, err := o.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := await(ctx, c, nil, 0); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("interrupted; the cluster goes on to start in the background, as pid %d", pid)
		}
		if errors.Is(err, control.ErrNotRunning) {
			return err
		}
		return fmt.Errorf("%w\nthe cluster goes on in the background, as pid %d; end it with: clusterd down -c %s", err, pid, o.config)
	}
	s, err := c.Snapshot(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("%s runs in the background, as pid %d; see it with: clusterd dash -c %s\n", s.Name, pid, o.config)
	return nil
}

// runDetached is the daemon that detach starts. It stays also when nothing is left
// that could run, so that it can be asked why.
func runDetached(end *ending, up *upgrader) error {
	result := make(chan error, 1)
	go func() {
		err := up.cluster.Run(end.ctx, false)
		if errors.Is(err, proc.ErrHandedOver) {
			up.stay(0)
		}
		result <- err
	}()
	select {
	case err := <-result:
		return err
	case <-up.cluster.Started():
	}
	if err := silence(); err != nil {
		end.begin()
		<-result
		return err
	}
	return <-result
}

// silence lets go of what standard output and error are.
func silence() error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	for _, fd := range []int{unix.Stdout, unix.Stderr} {
		if err := unix.Dup3(int(null.Fd()), fd, 0); err != nil {
			return os.NewSyscallError("dup3", err)
		}
	}
	return nil
}
