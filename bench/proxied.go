package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	pacedRate    = 1000 // requests a second
	pacedClients = 20
	pacedSeconds = 3
)

// writeLatency measures what proxies add to the time that an answer takes, at a
// rate that is far from what they can do.
func writeLatency(w *strings.Builder, targets []*target) error {
	fmt.Fprintf(w, `
Latency at %d requests a second, over %d connections of which each has its own pace, for %d s; what is added to that of the
upstream itself.

| | p50 | p99 | added p50 | added p99 |
|---|---|---|---|---|
`, pacedRate, pacedClients, pacedSeconds)
	var first [2]time.Duration
	for i, t := range targets {
		took, err := paced(t.port)
		if err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		now := [2]time.Duration{median(took), quantile(took, 0.99)}
		if i == 0 {
			first = now
		}
		us := func(d time.Duration) string { return fmt.Sprintf("%d µs", d.Microseconds()) }
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s |\n", t.name, us(now[0]), us(now[1]), us(now[0]-first[0]), us(now[1]-first[1]))
	}
	return nil
}

// paced is how long each answer took, from when its request was due.
func paced(port int) (took []time.Duration, err error) {
	var mu sync.Mutex
	var clients sync.WaitGroup
	for i := range pacedClients {
		clients.Go(func() {
			mine, failed := pacedClient(port, time.Duration(i)*time.Second/pacedRate)
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
			if failed != nil {
				err = failed
			}
		})
	}
	clients.Wait()
	return took, err
}

func pacedClient(port int, offset time.Duration) (took []time.Duration, err error) {
	c, err := newClient(port)
	if err != nil {
		return nil, err
	}
	defer c.conn.Close()
	const interval = pacedClients * time.Second / pacedRate
	due := time.Now().Add(offset)
	for end := due.Add(pacedSeconds * time.Second); due.Before(end); due = due.Add(interval) {
		time.Sleep(time.Until(due))
		sent := time.Now() // the timer's own delay is nobody's
		if err := c.ask(); err != nil {
			return nil, err
		}
		took = append(took, time.Since(sent))
	}
	return took, nil
}

// client is a connection with keep-alive.
type client struct {
	conn net.Conn
	br   *bufio.Reader
}

func newClient(port int) (*client, error) {
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	return &client{conn, bufio.NewReaderSize(conn, 4<<10)}, nil
}

func (c *client) ask() error {
	if _, err := io.WriteString(c.conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		return err
	}
	resp, err := http.ReadResponse(c.br, nil)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// idleTable measures what connections cost that have asked once and wait.
func idleTable(proxies []*target) (string, error) {
	var w strings.Builder
	fmt.Fprintf(&w, "\nMemory of %d idle connections, of which each has asked once: what the proxy's resident memory has grown by, before any load.\n\n| | for each |\n|---|---|\n", idleClients)
	for _, t := range proxies {
		grown, err := t.idle()
		if err != nil {
			return "", fmt.Errorf("%s: %w", t.name, err)
		}
		fmt.Fprintf(&w, "| %s | %.1f KiB |\n", t.name, grown)
	}
	return w.String(), nil
}

func (t *target) idle() (kib float64, err error) {
	before, err := residentOf(t.pids)
	if err != nil {
		return 0, err
	}
	for range idleClients {
		c, err := newClient(t.port)
		if err != nil {
			return 0, err
		}
		defer c.conn.Close()
		if err := c.ask(); err != nil {
			return 0, err
		}
	}
	after, err := residentOf(t.pids)
	return float64(after-before) / idleClients, err
}

// residentOf is VmRSS of /proc/PID/status, see proc_pid_status(5), in KiB.
func residentOf(pids []int) (sum int, err error) {
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return 0, err
		}
		_, rest, _ := strings.Cut(string(b), "VmRSS:")
		n, err := strconv.Atoi(strings.Fields(rest)[0])
		if err != nil {
			return 0, fmt.Errorf("the status of process %d is odd: %w", pid, err)
		}
		sum += n
	}
	return sum, nil
}
