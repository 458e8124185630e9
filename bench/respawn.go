package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	crashes = 100
	// look is how often the children of clusterd are looked at.
	look = 100 * time.Microsecond
)

// serveVariable makes this program an instance: it serves on $PORT.
const serveVariable = "CLUSTERD_BENCH_SERVE"

func init() {
	if os.Getenv(serveVariable) == "" {
		return
	}
	fmt.Fprintln(os.Stderr, http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "ok\n")
	})))
	os.Exit(1)
}

// measureRespawn kills instances.
func measureRespawn(dir, clusterd string, w *strings.Builder) error {
	fmt.Fprintf(w, `
## Crash to respawn

kill -9 of a ready instance, %d times each. A process is there when it is listed in /proc/PID/task/TID/children of
clusterd, which is looked at every %v. "Answered again" is when a client that connects right after that has its
answer; it includes the start of the server, here one written in Go, and of its listening. Backoff is out of it:
`+"`backoff_reset = \"1ms\"`"+` makes every crash the first one. The goal is a median below 5 ms for the
new process.

| instance | until | median | p99 |
|---|---|---|---|
`, crashes, look)
	worker, _, err := respawns(dir+"/worker", clusterd, "[apps.a]\ncommand = [\"sleep\", \"1000\"]\n", 0)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "| worker (`sleep 1000`) | new process | **%s** | %s |\n", ms(median(worker)), ms(quantile(worker, 0.99)))

	self, err := os.Executable()
	if err != nil {
		return err
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	for _, listen := range []string{"relay", "adopt"} {
		toml := fmt.Sprintf("[apps.a]\ncommand = [%q]\nport = %d\nhost = \"127.0.0.1\"\nlisten = %q\nenv = { %s = \"1\" }\n",
			self, port, listen, serveVariable)
		server, answered, err := respawns(filepath.Join(dir, listen), clusterd, toml, port)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "| server, `listen = %q` | new process | **%s** | %s |\n", listen, ms(median(server)), ms(quantile(server, 0.99)))
		fmt.Fprintf(w, "| server, `listen = %q` | answered again | %s | %s |\n", listen, ms(median(answered)), ms(quantile(answered, 0.99)))
	}
	return nil
}

// respawns kills the only instance again and again. With a port, it asks there
// for an answer after each time.
func respawns(dir, clusterd, toml string, port int) (spawned, answered []time.Duration, err error) {
	c, err := startCluster(dir, clusterd, toml+"backoff_reset = \"1ms\"\nmax_restarts = 0\n")
	if err != nil {
		return nil, nil, err
	}
	defer c.stop()
	old := 0
	for range crashes {
		a, err := c.awaitReady(old)
		if err != nil {
			return nil, nil, err
		}
		old = a.Instances[0].PID
		began := time.Now()
		if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
			return nil, nil, fmt.Errorf("kill %d: %w", old, err)
		}
		if err := awaitChild(c.pid(), old, began.Add(patience)); err != nil {
			return nil, nil, err
		}
		spawned = append(spawned, time.Since(began))
		if port == 0 {
			continue
		}
		if err := ask(port); err != nil {
			return nil, nil, err
		}
		answered = append(answered, time.Since(began))
	}
	return spawned, answered, nil
}

// awaitChild waits until a process has a child other than old.
func awaitChild(pid, old int, deadline time.Time) error {
	for time.Now().Before(deadline) {
		for _, child := range childrenOf(pid) {
			if child != old {
				return nil
			}
		}
		time.Sleep(look)
	}
	return errors.New("no new process came")
}

// ask sends one request over a new connection, and reads the answer.
func ask(port int) error {
	conn, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

// freePort finds a port that nobody uses now.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
