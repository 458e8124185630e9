package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// patience is how long anything may take that is waited for.
const patience = 60 * time.Second

// cluster is a clusterd in the foreground, with a config of its own.
type cluster struct {
	binary, dir string
	cmd         *exec.Cmd
	ended       chan error
	began       time.Time
}

// startCluster writes toml and runs clusterd with it. It returns at once.
func startCluster(dir, binary, toml string) (*cluster, error) {
	return startClusterOn(anyCPU, dir, binary, toml)
}

// startClusterOn is startCluster on one CPU; the instances are there as well,
// unless they leave it.
func startClusterOn(cpu int, dir, binary, toml string) (*cluster, error) {
	return startClusterIn(nil, cpu, dir, binary, toml)
}

// startClusterIn is startClusterOn in a group of its own, unless that is nil.
func startClusterIn(g *group, cpu int, dir, binary, toml string) (*cluster, error) {
	c, err := newCluster(dir, binary, toml)
	if err != nil {
		return nil, err
	}
	events, err := os.Create(c.events())
	if err != nil {
		return nil, err
	}
	defer events.Close()
	c.cmd = c.command("--no-tui")
	env := c.cmd.Env
	c.cmd = onCPU(cpu, c.cmd.Path, c.cmd.Args[1:]...)
	c.cmd.Env = env
	c.cmd.Stderr = events
	if g != nil {
		g.take(c.cmd)
	}
	return c, c.start(func() {})
}

// startBehindDashboard is startCluster with the dashboard, on a terminal of its own.
func startBehindDashboard(dir, binary, toml string) (*cluster, error) {
	c, err := newCluster(dir, binary, toml)
	if err != nil {
		return nil, err
	}
	c.cmd = c.command()
	done, err := onTerminal(c.cmd)
	if err != nil {
		return nil, err
	}
	return c, c.start(done)
}

// newCluster writes toml, and starts nothing.
func newCluster(dir, binary, toml string) (*cluster, error) {
	c := &cluster{binary: binary, dir: dir, ended: make(chan error, 1)}
	if err := os.MkdirAll(filepath.Join(dir, "run"), 0o700); err != nil {
		return nil, err
	}
	return c, os.WriteFile(c.config(), []byte(toml), 0o644)
}

// start runs the command; then is called when it has ended.
func (c *cluster) start(then func()) error {
	c.began = time.Now()
	if err := c.cmd.Start(); err != nil {
		then()
		return err
	}
	go func() {
		err := c.cmd.Wait()
		then()
		c.ended <- err
	}()
	return nil
}

func (c *cluster) config() string { return filepath.Join(c.dir, "cluster.toml") }
func (c *cluster) events() string { return filepath.Join(c.dir, "events") }
func (c *cluster) pid() int       { return c.cmd.Process.Pid }

// command is clusterd with arguments, for this cluster.
func (c *cluster) command(args ...string) *exec.Cmd {
	cmd := exec.Command(c.binary, append([]string{"-c", c.config()}, args...)...)
	cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+filepath.Join(c.dir, "run"))
	return cmd
}

// stop ends the cluster, by force if need be.
func (c *cluster) stop() {
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.ended:
	case <-time.After(patience):
		_ = c.cmd.Process.Kill()
		<-c.ended
	}
}

// app is what status --json says of the only app, as far as it matters here.
type app struct {
	Ready     int    `json:"ready"`
	Wanted    int    `json:"instances_wanted"`
	Count     string `json:"count"`
	Instances []struct {
		State string `json:"state"`
		PID   int    `json:"pid"`
	} `json:"instances"`
}

// awaitReady asks for the status until all instances are ready, and none is
// the process not.
func (c *cluster) awaitReady(not int) (app, error) {
	deadline := time.Now().Add(patience)
	for pause := 2 * time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		var status struct {
			Apps []app `json:"apps"`
		}
		var stderr bytes.Buffer
		cmd := c.command("status", "--json")
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err == nil {
			err = json.Unmarshal(out, &status)
		}
		if err == nil && len(status.Apps) == 1 {
			if a := status.Apps[0]; a.Wanted > 0 && a.Ready == a.Wanted && a.Instances[0].PID != not {
				return a, nil
			}
		}
		select {
		case err := <-c.ended:
			c.ended <- err
			said, _ := os.ReadFile(c.events())
			return app{}, fmt.Errorf("clusterd ended: %w\n%s", err, said)
		case <-time.After(pause):
		}
		if time.Now().After(deadline) {
			return app{}, errors.Join(fmt.Errorf("not ready within %v: %s", patience, stderr.Bytes()), err)
		}
	}
}
