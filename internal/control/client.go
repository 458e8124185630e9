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
	dial func(context.Context) (net.Conn, error)
}

// ErrNotRunning says that no daemon answers for the cluster.
var ErrNotRunning = errors.New("no such cluster is running")

// Dial returns a client of the cluster at place, or ErrNotRunning.
func Dial(ctx context.Context, place Place) (*Client, error) {
	dial := func(ctx context.Context) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", place.Socket)
		if err != nil {
			return nil, dialError(err)
		}
		return conn, nil
	}
	conn, err := dial(ctx)
	if err != nil {
		return nil, err
	}
	conn.Close()
	return &Client{dial: dial, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
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

// Detail returns what is known of an app or an instance.
func (c *Client) Detail(ctx context.Context, target string) (*proc.Detail, error) {
	d := new(proc.Detail)
	if err := c.call(ctx, http.MethodGet, pathDetail+"?"+url.Values{"target": {target}}.Encode(), nil, d); err != nil {
		return nil, err
	}
	return d, nil
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
	err := c.call(ctx, http.MethodPost, pathAction, a, nil)
	for a.Verb == proc.VerbWait && errors.Is(err, errWentAway) { // what only waits goes on with the next daemon
		err = c.call(ctx, http.MethodPost, pathAction, a, nil)
	}
	return err
}

// Apply makes the cluster run as its edited config file says, and returns when that
// is done or cannot be done. The error is about the cluster that cannot be asked.
func (c *Client) Apply(ctx context.Context) (proc.Applied, error) {
	var a proc.Applied
	err := c.call(ctx, http.MethodPost, pathApply, nil, &a)
	return a, err
}

// Down begins to stop the cluster and returns at once.
func (c *Client) Down(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, pathDown, nil, nil)
}

// Upgrade replaces the daemon by the program that is at its place on disk now, and
// returns what that says.
func (c *Client) Upgrade(ctx context.Context) (Upgraded, error) {
	var u Upgraded
	err := c.call(ctx, http.MethodPost, pathUpgrade, nil, nil)
	if !errors.Is(err, ErrNotRunning) {
		return u, err
	}
	// It went away in the midst of the answer, as it has to.
	err = c.call(ctx, http.MethodGet, pathUpgrade, nil, &u)
	if err == nil && u.Error != "" {
		err = errors.New(u.Error)
	}
	return u, err
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// call asks again, once, what may be asked twice: the daemon may just have been
// replaced by another version.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	err := c.callOnce(ctx, method, path, in, out)
	if method == http.MethodGet && errors.Is(err, errWentAway) {
		err = c.callOnce(ctx, method, path, in, out)
	}
	return err
}

func (c *Client) callOnce(ctx context.Context, method, path string, in, out any) error {
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
	req.Header.Set("Accept", typeCBOR)
	resp, err := c.http.Do(req)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // its text is about a URL that nobody knows
		}
		return goneError(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return failureOf(resp)
	}
	if out == nil {
		return nil
	}
	if err := read(resp, out); err != nil {
		return fmt.Errorf("read the cluster's answer: %w", err)
	}
	return nil
}

// errWentAway says that the daemon has ended while it was asked.
var errWentAway = fmt.Errorf("the cluster went away: %w", ErrNotRunning)

// goneError tells when an error means that the cluster has ended.
func goneError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE) {
		return errWentAway
	}
	return err
}

// failureOf is the error that an answer tells.
func failureOf(resp *http.Response) error {
	var f failure
	if err := json.NewDecoder(resp.Body).Decode(&f); err != nil || f.Error == "" {
		return fmt.Errorf("the cluster answered %s", resp.Status)
	}
	return errors.New(f.Error)
}
