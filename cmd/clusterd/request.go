package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"clusterd/internal/control"
	"clusterd/internal/proc"
)

// question is what clusterd request asks.
type question struct {
	target, path string
	method       string
	headers      []string // "Name: value"
	data         string
	include      bool          // show status and headers, too
	timeout      time.Duration // until the answer begins; 0: none
}

func requestCommand(o *options) *cobra.Command {
	var q question
	cmd := &cobra.Command{
		Use:   "request INSTANCE [PATH]",
		Short: "Make one HTTP request to exactly one instance",
		Long: `Makes one HTTP request to one exact instance behind the shared port, whatever
the others do, and prints the body of the answer. The instance need not be
ready, as long as it listens. What is asked so is not counted by the relay.

Exits with 1 when there is no answer, or its status is 400 or above.`,
		Example: `  clusterd request web/2 /health
  clusterd request web/2 /jobs -d '{"n": 1}' -H 'Content-Type: application/json'`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			q.target, q.path = args[0], "/"
			if len(args) > 1 {
				q.path = args[1]
			}
			if q.method == "" {
				q.method = http.MethodGet
				if cmd.Flags().Changed("data") {
					q.method = http.MethodPost
				}
			}
			req, err := q.request()
			if err != nil {
				return err
			}
			return o.talk(func(ctx context.Context, c *control.Client) error {
				return q.ask(ctx, cmd.OutOrStdout(), c, req)
			})
		},
	}
	f := cmd.Flags()
	f.StringVarP(&q.method, "method", "X", "", "the method; GET by default, POST with -d")
	f.StringArrayVarP(&q.headers, "header", "H", nil, "a `'Name: value'` to send; may be repeated")
	f.StringVarP(&q.data, "data", "d", "", "what to send as the `body`")
	f.BoolVarP(&q.include, "include", "i", false, "print the status and the headers, too")
	f.DurationVar(&q.timeout, "timeout", 30*time.Second, "how long to wait for the answer to begin; 0: for ever")
	return cmd
}

// request is the question in HTTP. An error is a mistake of the user's.
func (q question) request() (*http.Request, error) {
	if !strings.HasPrefix(q.path, "/") {
		return nil, fmt.Errorf("%q is no path: it begins with /", q.path)
	}
	var body io.Reader
	if q.data != "" {
		body = strings.NewReader(q.data)
	}
	req, err := http.NewRequest(q.method, "http://localhost"+q.path, body)
	if err != nil {
		return nil, err
	}
	req.Host = "" // ask chooses one
	req.Header.Set("User-Agent", "clusterd/"+version)
	for _, h := range q.headers {
		name, value, ok := strings.Cut(h, ":")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return nil, fmt.Errorf("%q is no header, such as 'Accept: text/plain'", h)
		}
		value = strings.TrimSpace(value)
		switch {
		case strings.EqualFold(name, "Host"):
			req.Host = value
		case strings.EqualFold(name, "User-Agent"):
			req.Header.Set(name, value)
		default:
			req.Header.Add(name, value)
		}
	}
	return req, nil
}

// ask makes the request and prints the answer.
func (q question) ask(ctx context.Context, w io.Writer, c *control.Client, req *http.Request) error {
	if req.Host == "" { // what a client of the public port would say
		s, err := c.Snapshot(ctx)
		if err != nil {
			return err
		}
		for _, a := range s.Apps {
			if app, _, _ := strings.Cut(q.target, "/"); a.Name == app && a.Port != nil {
				req.Host = fmt.Sprintf("localhost:%d", *a.Port)
			}
		}
	}
	conn, err := c.Dial(ctx, q.target)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	resp, err := q.exchange(conn, req)
	if err != nil {
		return q.failure(ctx, c, "without an answer", err)
	}
	defer resp.Body.Close()
	if q.include {
		fmt.Fprintf(w, "%s %s\n", resp.Proto, resp.Status)
		if err := resp.Header.Write(w); err != nil {
			return err
		}
		fmt.Fprintln(w)
	}
	if _, err := io.Copy(w, resp.Body); err != nil {
		return q.failure(ctx, c, "in the middle of its answer", err)
	}
	if resp.StatusCode >= 400 {
		return fmt.Errorf("%s answered %s", q.target, resp.Status)
	}
	return nil
}

// exchange sends the request and reads the head of the answer. An http.Transport
// would make guesses about a connection that ends early.
func (q question) exchange(conn net.Conn, req *http.Request) (*http.Response, error) {
	if q.timeout > 0 {
		if err := conn.SetReadDeadline(time.Now().Add(q.timeout)); err != nil {
			return nil, err
		}
	}
	req.Close = true
	go func() {
		// An error here is one for the reader, too, unless there is an answer
		// already.
		_ = req.Write(conn)
	}()
	r := bufio.NewReader(conn)
	for {
		if _, err := r.Peek(1); err != nil {
			return nil, err
		}
		resp, err := http.ReadResponse(r, req)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			return resp, conn.SetReadDeadline(time.Time{})
		}
	}
}

// failure says in a sentence why there is no answer, or not all of it.
func (q question) failure(ctx context.Context, c *control.Client, when string, err error) error {
	switch {
	case ctx.Err() != nil:
		return errors.New("interrupted")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, unix.ECONNRESET):
		return fmt.Errorf("the connection to %s ended %s%s", q.target, when, q.state(ctx, c))
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%s has not answered within %s%s", q.target, q.timeout, q.state(ctx, c))
	}
	return fmt.Errorf("read the answer of %s: %w", q.target, err)
}

// state is what may explain that an instance does not answer: "; it is unready:
// …", or "" when it is ready, or nobody can tell.
func (q question) state(ctx context.Context, c *control.Client) string {
	s, err := c.Snapshot(ctx)
	if err != nil {
		return ""
	}
	_, in, err := find(s, q.target)
	if err != nil || in == nil || in.State == proc.StateReady {
		return ""
	}
	return "; it is " + because(string(in.State), in.Reason)
}
