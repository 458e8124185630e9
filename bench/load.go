package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// load is a way of sending requests.
type load struct {
	name string
	path string
	sender
	perSecond int // for senders that are told so
}

// sender is a program that sends requests, with its arguments.
type sender struct {
	tool     string
	args     func(seconds, perSecond int) []string
	answered func(out string) (float64, error) // how many requests were; an error unless all were
}

// wrk sends the next request as soon as one is answered.
func wrk(args ...string) sender {
	return sender{"wrk", func(seconds, _ int) []string {
		return append([]string{"-t1", fmt.Sprintf("-d%ds", seconds)}, args...)
	}, requestsOf}
}

// steadyRequests sends the requests of a second at equal distances, over so many connections.
func steadyRequests(connections int) sender {
	return sender{"h2load", func(seconds, perSecond int) []string {
		return []string{"--h1", fmt.Sprintf("-c%d", connections), fmt.Sprintf("-n%d", perSecond*seconds),
			fmt.Sprintf("--rps=%d", perSecond/connections)}
	}, succeeded}
}

// steadyConnections makes a connection for each request. They are spread over the
// second: h2load would make a second's all at once.
func steadyConnections() sender {
	return sender{"h2load", func(seconds, perSecond int) []string {
		n := perSecond * seconds
		return []string{"--h1", fmt.Sprintf("-c%d", n), fmt.Sprintf("-n%d", n),
			fmt.Sprintf("-r%d", perSecond/100), "--rate-period=10ms"}
	}, succeeded}
}

// run sends requests, and returns how many were answered and what CPU the
// program used for that, its start included.
func (l load) run(cpu, seconds int, url string) (requests float64, used time.Duration, err error) {
	tool, err := findTool(l.tool)
	if err != nil {
		return 0, 0, err
	}
	cmd := onCPU(cpu, tool, append(l.args(seconds, l.perSecond), url)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return 0, 0, fmt.Errorf("%s: %w\n%s", l.tool, err, out)
	}
	requests, err = l.answered(string(out))
	return requests, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), err
}

// requestsOf reads how many requests wrk says were answered, all of them well.
func requestsOf(out string) (float64, error) {
	for _, bad := range []string{"Socket errors", "Non-2xx"} {
		if strings.Contains(out, bad) {
			return 0, fmt.Errorf("not all requests were answered:\n%s", out)
		}
	}
	for line := range strings.Lines(out) {
		if n, _, ok := strings.Cut(strings.TrimSpace(line), " requests in "); ok {
			requests, err := strconv.ParseFloat(n, 64)
			if err == nil && requests > 0 {
				return requests, nil
			}
		}
	}
	return 0, fmt.Errorf("wrk counted nothing:\n%s", out)
}

// succeeded reads how many requests h2load says were answered, which have to be all:
//
//	requests: 10 total, 10 started, 10 done, 10 succeeded, 0 failed, 0 errored, 0 timeout
func succeeded(out string) (float64, error) {
	for line := range strings.Lines(out) {
		var total, started, done, succeeded, failed, errored, timeout int
		if _, err := fmt.Sscanf(line, "requests: %d total, %d started, %d done, %d succeeded, %d failed, %d errored, %d timeout",
			&total, &started, &done, &succeeded, &failed, &errored, &timeout); err != nil {
			continue
		}
		if succeeded == 0 || succeeded != total || failed+errored+timeout != 0 {
			return 0, fmt.Errorf("not all requests were answered:\n%s", out)
		}
		return float64(succeeded), nil
	}
	return 0, fmt.Errorf("h2load counted nothing:\n%s", out)
}
