package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// An instance that detaches the steering program, as one may, has no say in it for
// long: stopped slots get nothing, once it is in force again.
func TestSteeringIsReasserted(t *testing.T) {
	t.Parallel()
	eachUser(t, func(t *testing.T, w *workspace) {
		port := w.port()
		address := fmt.Sprintf("127.0.0.1:%d", port)
		w.configure(adopting(port, 3, "meddle", "tcp4", address))
		d := w.start()
		d.awaitReady(3)
		d.serveAll(address, 150, 3)
		// Its socket is there until its successor comes, and nobody accepts.
		stuck := *w.status().instance("web/1").PID
		stopWhole(t, stuck)
		d.awaitStatus("web/1 to be passed over", func(s status) bool {
			d.load(address, 20)
			return s.instance("web/1").State == "unready"
		})
		for round := range 3 {
			if err := syscall.Kill(*w.status().instance("web/0").PID, syscall.SIGUSR1); err != nil {
				t.Fatal(err)
			}
			d.await("the program to be detached", func() bool { return strings.Count(d.stdout.String(), "detached: <nil>") == round+1 })
			// A third of these would wait for ever.
			d.await("the program to be in force again", func() bool { return d.stuckAmong(address, 12) == 0 })
			if n := d.stuckAmong(address, 50); n > 0 {
				t.Errorf("%d of 50 connections went to a slot that does not accept", n)
			}
		}
		if err := syscall.Kill(-stuck, syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		d.checkAdopted("web")
		d.stop()
	})
}

// stuckAmong is how many of n connections are not answered at once.
func (d *daemon) stuckAmong(address string, n int) (stuck int) {
	for range n {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			d.w.t.Fatal(err)
		}
		_, _ = fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		_ = conn.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := conn.Read(make([]byte, 1)); errors.Is(err, context.DeadlineExceeded) || err != nil {
			stuck++
		}
		conn.Close()
	}
	return stuck
}

// An instance that shuts its listener down is unready, and ready when it listens
// again; meanwhile others serve.
func TestListenerIsShutDown(t *testing.T) {
	t.Parallel()
	eachUser(t, func(t *testing.T, w *workspace) {
		port := w.port()
		address := fmt.Sprintf("127.0.0.1:%d", port)
		w.configure(adopting(port, 2, "meddle", "tcp4", address))
		d := w.start()
		d.awaitReady(2)
		d.serveAll(address, 100, 2)
		pid := *w.status().instance("web/0").PID
		for round := range 2 {
			if err := syscall.Kill(pid, syscall.SIGUSR2); err != nil {
				t.Fatal(err)
			}
			d.await("the listener to be shut down", func() bool { return strings.Count(d.stdout.String(), "| shut") == round+1 })
			if round == 0 { // the next time, it is sooner open again than anybody knows
				d.awaitStatus("web/0 to be unready", func(s status) bool {
					in := s.instance("web/0")
					return in.State == "unready" && strings.Contains(in.Reason, "closed its listening socket")
				})
				if seen := d.load(address, 50); seen.count["web/1"] != 50 {
					t.Errorf("with the listener of web/0 shut down, %v served", seen.count)
				}
			}
			if err := syscall.Kill(pid, syscall.SIGUSR2); err != nil {
				t.Fatal(err)
			}
			d.await("the listener to be open again", func() bool { return strings.Count(d.stdout.String(), "| open") == 3+round })
			d.checkAdopted("web")
			d.serveAll(address, 100, 2)
		}
		d.stop()
	})
}

// A server that goes to the background is one that has ended; it leaves nothing.
func TestServerBecomesDaemon(t *testing.T) {
	t.Parallel()
	eachUser(t, func(t *testing.T, w *workspace) {
		port := w.port()
		w.configure(adopting(port, 1, "daemon", "tcp4", fmt.Sprintf("127.0.0.1:%d", port)) + soon)
		d := w.start()
		d.awaitEvent(`web/0 .*stay in the foreground`)
		d.stop()
	})
}

// Somebody else cannot have the port of a running app, except if it asks to share
// it, as the same user; then that is said, and all who asked get their share.
func TestStrangerWhileRunning(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	port := w.port()
	address := fmt.Sprintf("127.0.0.1:%d", port)
	w.configure(adopting(port, 2, "listen", "tcp4", address))
	d := w.start()
	d.awaitReady(2)
	if l, err := net.Listen("tcp4", address); !errors.Is(err, syscall.EADDRINUSE) {
		t.Fatalf("somebody else gets %v, %v", l, err)
	}
	share := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var failed error
		return errors.Join(raw.Control(func(fd uintptr) {
			failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		}), failed)
	}}
	l, err := share.Listen(t.Context(), "tcp4", address)
	if err != nil {
		t.Fatal(err)
	}
	d.awaitEvent(`web .*kernel's hash.*somebody else has begun to listen there too`)
	l.Close()
	w.must("restart", "web/0")
	d.serveAll(address, 100, 2)
	d.checkAdopted("web")
	d.stop()
}

// Before it starts, an app's port must be nobody else's, not even for sharing.
func TestAdoptPortTaken(t *testing.T) {
	t.Parallel()
	for _, reuse := range []int{0, 1} {
		t.Run(fmt.Sprint("SO_REUSEPORT ", reuse), func(t *testing.T) {
			eachUser(t, func(t *testing.T, w *workspace) {
				port := w.port()
				how := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
					return raw.Control(func(fd uintptr) {
						_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, reuse)
					})
				}}
				l, err := how.Listen(t.Context(), "tcp4", fmt.Sprintf("127.0.0.1:%d", port))
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				w.configure(toucher, adopting(port, 2, "listen", "tcp4", fmt.Sprintf("127.0.0.1:%d", port)))
				w.checkRefused(w.run("--no-tui"), 1, fmt.Sprintf(`^clusterd: start web: port %d is already in use`, port))
			})
		})
	}
}
