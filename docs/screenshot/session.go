package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// session is a cluster behind its dashboard, in a terminal of tmux.
type session struct {
	clusterd, config string
	urls             []string
	w, h             int

	dir      string // for tmux's socket, and clusterd's
	cast     string // file of the recording
	recorded chan error
}

// startTimeout is how long the cluster may take until it answers; the example
// builds its server first.
const startTimeout = 2 * time.Minute

// start runs the cluster, and returns when it answers. cast is the file that
// record writes.
func (s *session) start(cast string) (err error) {
	if s.dir, err = os.MkdirTemp("", "screenshot"); err != nil {
		return err
	}
	s.cast = cast
	if s.clusterd, err = filepath.Abs(s.clusterd); err != nil {
		return err
	}
	_, err = s.tmux("-f", "/dev/null", "new-session", "-d", "-s", "shot", "-x", strconv.Itoa(s.w), "-y", strconv.Itoa(s.h),
		"env", "XDG_RUNTIME_DIR="+s.dir, "LANG=C.UTF-8", "TERM=tmux-256color", "NO_COLOR=", s.clusterd, "-c", s.config)
	if err != nil {
		return err
	}
	for _, url := range s.urls {
		if err := await(url); err != nil {
			screen, _ := s.tmux("capture-pane", "-p", "-t", "shot")
			return fmt.Errorf("%w; the terminal shows:\n%s", err, screen)
		}
	}
	return nil
}

// record begins to record what the dashboard writes to the terminal, until the
// end of the session.
func (s *session) record() error {
	fifo := filepath.Join(s.dir, "output")
	if out, err := exec.Command("mkfifo", fifo).CombinedOutput(); err != nil {
		return fmt.Errorf("mkfifo: %w: %s", err, out)
	}
	s.recorded = make(chan error, 1)
	go func() { s.recorded <- recordFile(fifo, s.cast, s.w, s.h) }()
	if _, err := s.tmux("pipe-pane", "-t", "shot", "exec cat >"+fifo); err != nil {
		return err
	}
	// What is on the screen already was not recorded: have it drawn anew.
	if _, err := s.tmux("resize-window", "-t", "shot", "-x", strconv.Itoa(s.w), "-y", strconv.Itoa(s.h-1)); err != nil {
		return err
	}
	_, err := s.tmux("resize-window", "-t", "shot", "-x", strconv.Itoa(s.w), "-y", strconv.Itoa(s.h))
	return err
}

// stop ends the cluster and what belongs to it.
func (s *session) stop() error {
	defer os.RemoveAll(s.dir)
	if s.recorded != nil {
		// Closes the pipe, so that the dashboard's end is no part of it.
		if _, err := s.tmux("pipe-pane", "-t", "shot"); err != nil {
			return err
		}
		if err := <-s.recorded; err != nil {
			return err
		}
	}
	down := exec.Command(s.clusterd, "down", "-c", s.config)
	down.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+s.dir)
	if text, err := down.CombinedOutput(); err != nil {
		return fmt.Errorf("stop the cluster: %w: %s", err, text)
	}
	_, _ = s.tmux("kill-server") // fails where the session has ended already
	return nil
}

// tmux runs a command of a tmux server of our own.
func (s *session) tmux(args ...string) (string, error) {
	out, err := exec.Command("tmux", append([]string{"-S", filepath.Join(s.dir, "tmux")}, args...)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("tmux %s: %w: %s", args[0], err, out)
	}
	return string(out), nil
}

// await waits until a URL is answered.
func await(url string) error {
	for deadline := time.Now().Add(startTimeout); ; time.Sleep(100 * time.Millisecond) {
		resp, err := http.Get(url)
		if err == nil {
			resp.Body.Close()
			return nil
		}
		if time.Now().After(deadline) {
			return err
		}
	}
}

// send makes a load that swells and ebbs until it is told to stop, each request
// on a connection of its own so that all instances get some.
func (s *session) send() (stop func()) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	over := make(chan struct{})
	var sending sync.WaitGroup
	sending.Go(func() {
		for {
			select {
			case <-over:
				return
			case <-time.After(time.Duration(rand.IntN(120)) * time.Millisecond):
			}
			for i, url := range s.urls {
				for range 1 + rand.IntN(12)/(i+1) {
					if resp, err := client.Get(url); err == nil {
						_, _ = io.Copy(io.Discard, resp.Body)
						resp.Body.Close()
					}
				}
			}
		}
	})
	return func() {
		close(over)
		sending.Wait()
	}
}
