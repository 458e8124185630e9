package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"

	"golang.org/x/sys/unix"

	"clusterd/internal/proc"
)

// Client talks to a running cluster. Its methods block until the answer is
// there or ctx ends, and may be called by any goroutine.
type Client struct {
	http *http.Client
}

// ErrNotRunning says that no daemon answers for the cluster.
var ErrNotRunning = errors.New("no such cluster is running")

// Dial returns a client of the cluster at place, or ErrNotRunning.
func Dial(ctx context.Context, place Place) (*Client, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", place.Socket)
	if err != nil {
		return nil, dialError(err)
	}
	conn.Close()
	return &Client{http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := d.DialContext(ctx, "unix", place.Socket)
			if err != nil {
				return nil, dialError(err)
			}
			return conn, nil
		},
	}}}, nil
}

func dialError(err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ECONNREFUSED) {
		return ErrNotRunning
	}
	return fmt.Errorf("reach the cluster: %w", err)
}

// Snapshot returns the cluster as it is now.
func (c *Client) Snapshot(ctx context.Context) (*proc.Snapshot, error) {
	s := new(proc.Snapshot)
	if err := c.call(ctx, http.MethodGet, pathStatus, nil, s); err != nil {
		return nil, err
	}
	return s, nil
}

// Logs returns kept log lines.
func (c *Client) Logs(ctx context.Context, q proc.LogQuery) (proc.LogPage, error) {
	return c.logs(ctx, q, false)
}

// NextLogs is Logs, but waits up to half a minute for a line after q.After.
func (c *Client) NextLogs(ctx context.Context, q proc.LogQuery) (proc.LogPage, error) {
	return c.logs(ctx, q, true)
}

func (c *Client) logs(ctx context.Context, q proc.LogQuery, wait bool) (proc.LogPage, error) {
	v := url.Values{
		"target": q.Targets,
		"after":  {strconv.FormatUint(q.After, 10)},
		"limit":  {strconv.Itoa(q.Limit)},
	}
	if q.Forward {
		v.Set("forward", "1")
	}
	if wait {
		v.Set("wait", "1")
	}
	var page proc.LogPage
	err := c.call(ctx, http.MethodGet, pathLogs+"?"+v.Encode(), nil, &page)
	return page, err
}

// Do does what a asks and returns when it is done. The error is a sentence for
// the user.
func (c *Client) Do(ctx context.Context, a proc.Action) error {
	return c.call(ctx, http.MethodPost, pathAction, a, nil)
}

// Down begins to stop the cluster and returns at once.
func (c *Client) Down(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, pathDown, nil, nil)
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://clusterd"+path, body)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // its text is about a URL that nobody knows
		}
		if errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET) {
			return fmt.Errorf("the cluster went away: %w", ErrNotRunning)
		}
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		var f failure
		if err := json.NewDecoder(resp.Body).Decode(&f); err != nil || f.Error == "" {
			return fmt.Errorf("the cluster answered %s", resp.Status)
		}
		return errors.New(f.Error)
	}
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("read the cluster's answer: %w", err)
	}
	return nil
}
