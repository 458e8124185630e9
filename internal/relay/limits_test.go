package relay

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func TestConnsWithin(t *testing.T) {
	for files, want := range map[uint64]int{
		0: 16, 20: 16, 128: 16, 160: 16, 162: 17, 1024: 448, 4096: 1984,
		20_127: 9_999, 20_128: 10_000, 1 << 20: 10_000, ^uint64(0): 10_000, // RLIM_INFINITY
	} {
		if got := connsWithin(files); got != want {
			t.Errorf("%d descriptors are enough for %d connections, want %d", files, got, want)
		}
	}
	if got := (Limits{}).withDefaults().Conns; got < minConns || got > maxConns {
		t.Errorf("the default is %d", got)
	}
}

// Who was accepted with the last descriptor is told at once that there is none
// to serve it, and does not keep it from others.
func TestNoDescriptorLeft(t *testing.T) {
	for _, scarcity := range []error{syscall.EMFILE, syscall.ENFILE} {
		said := make(chan string, 1)
		r := newRig(t, 1, Options{Limits: Limits{Hold: time.Hour}, Log: func(s string) { said <- s }})
		var scarce atomic.Bool
		scarce.Store(true)
		r.relay.dial = func(ctx context.Context, at *poller, in *Instance) (instanceConn, error) {
			if scarce.Load() {
				return nil, &net.OpError{Op: "dial", Err: os.NewSyscallError("socket", scarcity)}
			}
			return dial(ctx, at, in)
		}
		r.relay.Admit(0, serve(t, nil).instance())
		conn := r.dial(0)
		resp, _ := exchange(t, conn, bufio.NewReader(conn), getRequest, "GET")
		if resp.StatusCode != http.StatusServiceUnavailable || !resp.Close {
			t.Errorf("%s, close %v", resp.Status, resp.Close)
		}
		if s := <-said; !strings.HasPrefix(s, "cannot connect to an instance: ") || !strings.Contains(s, scarcity.Error()) {
			t.Errorf("said %q", s)
		}
		scarce.Store(false)
		conn = r.dial(0)
		if resp, _ := exchange(t, conn, bufio.NewReader(conn), getRequest, "GET"); resp.StatusCode != http.StatusOK {
			t.Errorf("with descriptors: %s", resp.Status)
		}
	}
}
