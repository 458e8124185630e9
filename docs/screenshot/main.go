// Screenshot runs clusterd on a config in a terminal of tmux, sends its apps
// some requests, and draws what is on the screen as an SVG picture. It takes
// what is really there: nothing in the picture is made up.
//
//	go run ./docs/screenshot -clusterd bin/clusterd -o docs/dashboard.svg
package main

import (
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

func main() {
	var s shot
	flag.StringVar(&s.clusterd, "clusterd", "bin/clusterd", "the clusterd `binary`")
	flag.StringVar(&s.config, "c", "examples/cluster.toml", "the config `file`")
	flag.StringVar(&s.out, "o", "docs/dashboard.svg", "the picture's `file`")
	flag.StringVar(&s.keys, "keys", "", "tmux `keys` to send before the picture is taken, separated by spaces")
	flag.IntVar(&s.w, "w", 100, "columns")
	flag.IntVar(&s.h, "h", 28, "rows")
	flag.DurationVar(&s.load, "load", 20*time.Second, "how long to send requests")
	urls := flag.String("urls", "http://localhost:8080/,http://localhost:8081/", "where to send requests, separated by commas")
	flag.Parse()
	s.urls = strings.Split(*urls, ",")
	if err := s.take(); err != nil {
		fmt.Fprintln(os.Stderr, "screenshot:", err)
		os.Exit(1)
	}
}

// shot is one picture to take.
type shot struct {
	clusterd, config, out, keys string
	urls                        []string
	w, h                        int
	load                        time.Duration
	socket, run                 string // of tmux; XDG_RUNTIME_DIR of clusterd
}

// startTimeout is how long the cluster may take until it answers; the example
// builds its server first.
const startTimeout = 2 * time.Minute

func (s *shot) take() (err error) {
	dir, err := os.MkdirTemp("", "screenshot")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s.socket, s.run = filepath.Join(dir, "tmux"), dir
	clusterd, err := filepath.Abs(s.clusterd)
	if err != nil {
		return err
	}
	_, err = s.tmux("-f", "/dev/null", "new-session", "-d", "-s", "shot", "-x", strconv.Itoa(s.w), "-y", strconv.Itoa(s.h),
		"env", "XDG_RUNTIME_DIR="+s.run, "LANG=C.UTF-8", "TERM=tmux-256color", "NO_COLOR=", clusterd, "-c", s.config)
	if err != nil {
		return err
	}
	defer func() {
		down := exec.Command(clusterd, "down", "-c", s.config)
		down.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+s.run)
		if text, e := down.CombinedOutput(); e != nil && err == nil {
			err = fmt.Errorf("stop the cluster: %w: %s", e, text)
		}
		s.tmux("kill-server") // fails where the session has ended already
	}()
	for _, url := range s.urls {
		if err := await(url); err != nil {
			screen, _ := s.tmux("capture-pane", "-p", "-t", "shot")
			return fmt.Errorf("%w; the terminal shows:\n%s", err, screen)
		}
	}
	s.send()
	if s.keys != "" {
		if _, err := s.tmux(append([]string{"send-keys", "-t", "shot"}, strings.Fields(s.keys)...)...); err != nil {
			return err
		}
		time.Sleep(time.Second) // until it is on the screen
	}
	screen, err := s.tmux("capture-pane", "-e", "-N", "-p", "-t", "shot")
	if err != nil {
		return err
	}
	return os.WriteFile(s.out, []byte(render(screen, s.w)), 0o644)
}

// tmux runs a command of a tmux server of our own.
func (s *shot) tmux(args ...string) (string, error) {
	out, err := exec.Command("tmux", append([]string{"-S", s.socket}, args...)...).CombinedOutput()
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

// send makes a load that swells and ebbs, each request on a connection of its
// own so that all instances get some.
func (s *shot) send() {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for start := time.Now(); time.Since(start) < s.load; {
		for i, url := range s.urls {
			for range 1 + rand.IntN(12)/(i+1) {
				if resp, err := client.Get(url); err == nil {
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
			}
		}
		time.Sleep(time.Duration(rand.IntN(120)) * time.Millisecond)
	}
}
