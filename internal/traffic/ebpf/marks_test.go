package ebpf

import (
	"context"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// What clusterd asks by its marks leaves no trace in the counts; whoever is nearly
// like it counts.
func TestMarkedAreNotCounted(t *testing.T) {
	if !haveIPv6() {
		missing(t, "this machine has no IPv6")
	}
	for _, tt := range []struct {
		name, listen, from string
		hops               int
		counts             bool
	}{
		{"IPv4", "127.0.0.1:0", "127.77.0.0", 0, false},
		{"IPv4, the last mark", "127.0.0.1:0", "127.77.255.255", 0, false},
		{"IPv4, another address", "127.0.0.1:0", "127.78.0.1", 0, true},
		{"IPv4 to both families", "[::]:0", "127.77.12.3", 0, false},
		{"IPv6", "[::1]:0", "::1", 200, false},
		{"IPv6, the last mark", "[::1]:0", "::1", 254, false},
		{"IPv6, a common hop limit", "[::1]:0", "::1", 64, true},
		{"IPv6, the highest hop limit", "[::1]:0", "::1", 255, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCounter(t, 1)
			watched := c.WatchReplies() == nil // needs more privilege
			s := serve(t, listen(t, c, 0, "tcp", tt.listen))
			_, port, err := net.SplitHostPort(s.addr)
			if err != nil {
				t.Fatal(err)
			}
			from := net.ParseIP(tt.from)
			to := "127.0.0.1"
			if from.To4() == nil {
				to = "::1"
			}
			dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: from}, Control: func(_, _ string, raw syscall.RawConn) (err error) {
				if tt.hops == 0 {
					return nil
				}
				if ctlErr := raw.Control(func(fd uintptr) {
					err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, tt.hops)
				}); ctlErr != nil {
					return ctlErr
				}
				return err
			}}
			dialer.SetMultipathTCP(false)
			transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, "tcp", net.JoinHostPort(to, port))
			}}
			defer transport.CloseIdleConnections()
			for range 3 {
				resp, err := (&http.Client{Transport: transport}).Get("http://a/")
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, resp.Body); err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
			}
			got := read(t, c, 0)
			var replies Replies
			var latencies Latencies
			if watched {
				if replies, err = c.ReadReplies(0); err != nil {
					t.Fatal(err)
				}
				if latencies, err = c.ReadLatencies(0); err != nil {
					t.Fatal(err)
				}
			}
			switch {
			case !tt.counts && (got != Counts{} || replies != Replies{} || latencies != Latencies{}):
				t.Errorf("counted %+v, %+v, %v", got, replies, latencies)
			case tt.counts && (got.ConnsTotal != 1 || got.Requests != 3 || watched && replies.Classes[1] != 3):
				t.Errorf("counted %+v, %+v, want one connection and 3 requests", got, replies)
			}
		})
	}
}
