package proc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"syscall"

	"clusterd/internal/config"
	"clusterd/internal/port"
)

// probe asks a run once how it is, and blocks until it knows or ctx ends. The
// error says what is wrong. It is errUnasked when it cannot be asked here.
type probe func(ctx context.Context) error

// errUnasked wraps why a run cannot be asked, which is no fault of its own.
type errUnasked struct{ error }

func (e errUnasked) Unwrap() error { return e.error }

// probe says how to ask a run that listens.
func (c *Cluster) probe(p config.Probe, r *run) probe {
	dial := r.inst.app.way.dialer(r.place)
	switch p.By {
	case config.ByHTTP:
		return httpProbe(dial, p.HTTP, r.inst.app.config.Port)
	case config.ByTCP:
		return func(ctx context.Context) error {
			conn, err := dial(ctx)
			if err != nil {
				return fmt.Errorf("connect: %w", reduced(ctx, err))
			}
			return conn.Close()
		}
	case config.ByExec:
		return c.execProbe(p.Exec, r)
	default: // config.ByWatchdog
		return func(context.Context) error {
			select {
			case <-r.fed:
				return nil
			default:
				return fmt.Errorf("no WATCHDOG=1 within %s", p.Interval)
			}
		}
	}
}

// enough is how much of an answer's body is read.
const enough = 64 << 10

func httpProbe(dial func(context.Context) (net.Conn, error), path string, at int) probe {
	return func(ctx context.Context) error {
		t := http.Transport{
			DialContext:            func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
			DisableKeepAlives:      true,
			MaxResponseHeaderBytes: enough,
		}
		// Servers that care for the name take this one everywhere.
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort("localhost", strconv.Itoa(at))+path, nil)
		if err != nil {
			return fmt.Errorf("GET %s: %w", path, err)
		}
		req.Header.Set("User-Agent", "clusterd")
		resp, err := t.RoundTrip(req)
		if err != nil {
			return fmt.Errorf("GET %s: %w", path, reduced(ctx, err))
		}
		defer resp.Body.Close()
		_, _ = io.CopyN(io.Discard, resp.Body, enough) // so that the server need not see a reset
		if resp.StatusCode < 200 || resp.StatusCode >= 400 {
			return fmt.Errorf("GET %s: status %s", path, resp.Status)
		}
		return nil
	}
}

// reduced is an error of a connection without what the user knows: who connects
// where. What is no fault of the instance is errUnasked.
func reduced(ctx context.Context, err error) error {
	if errors.Is(err, port.ErrInexact) {
		return errUnasked{err}
	}
	if ctx.Err() != nil {
		return errors.New("no answer in time")
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("it closed the connection without an answer")
	}
	return err
}

// execProbe runs a command beside a run, as the same user, with the same environment
// and limit of open files, and in the same folder.
func (c *Cluster) execProbe(cmd config.Command, r *run) probe {
	return func(ctx context.Context) error {
		s := spec{args: cmd.Args(), dir: r.config.Cwd, run: runName(), setup: setupOf(r.config)}
		s.env = environment(r, s.run)
		status, output, err := c.os.run(ctx, s)
		switch {
		case err != nil && ctx.Err() != nil:
			return fmt.Errorf("%s: not finished in time%s", brief(cmd), quote(output))
		case err != nil:
			return fmt.Errorf("%s: %w", brief(cmd), err)
		case status != exitStatus{}:
			return fmt.Errorf("%s: %s%s", brief(cmd), short(status), quote(output))
		}
		return nil
	}
}

// brief names a command in a sentence.
func brief(cmd config.Command) string {
	const most = 60
	text := []rune(cmd.String())
	if len(text) > most {
		text = append(text[:most-1], '…')
	}
	return string(text)
}
