package e2e

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
)

// What clusterd asks an instance itself is no request of anybody's, whatever counts.
func TestProbesAreNotCounted(t *testing.T) {
	t.Parallel()
	for _, count := range []string{"ebpf", "kernel", "relay"} {
		for _, host := range []string{"127.0.0.1", "::1"} {
			t.Run(count+" "+host, func(t *testing.T) {
				if count == "ebpf" && os.Getuid() != 0 {
					missing(t, "only root may count in the kernel")
				}
				if host == "::1" {
					needIPv6(t)
				}
				w := newWorkspace(t)
				port := w.port()
				address := net.JoinHostPort(host, strconv.Itoa(port))
				table := adopting(port, 1, "listen", "tcp", address)
				if count == "relay" {
					table = strings.Replace(table, `"adopt"`, `"relay"`, 1)
				}
				w.configure(table + fmt.Sprintf("count = %q\nready.http = \"/\"\nhealth.http = \"/\"\nhealth.interval = \"50ms\"\n", count))
				d := w.start()
				d.awaitReady(1)
				for range 3 {
					w.ask("web/0")
				}
				const asked = 2
				for range asked {
					if _, err := getFrom(address); err != nil {
						t.Fatal(err)
					}
				}
				var in instanceStatus
				d.awaitStatus("the clients' requests to be counted", func(s status) bool {
					in = s.instance("web/0")
					return in.RequestsTotal != nil && *in.RequestsTotal >= asked && *in.ConnectionsTotal >= asked
				})
				if *in.RequestsTotal != asked || *in.ConnectionsTotal != asked || in.Status != nil && in.Status["2xx"] != asked {
					t.Errorf("%d requests on %d connections, statuses %v, of %d that a client has made",
						*in.RequestsTotal, *in.ConnectionsTotal, in.Status, asked)
				}
				d.stop()
			})
		}
	}
}
