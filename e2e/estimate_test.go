package e2e

import (
	"fmt"
	"net"
	"strings"
	"testing"
)

// What the kernel tells everybody is enough to know the connections of every
// instance exactly, with and without rights, over a kill and a reload; requests are
// said to be an estimate, which for one small request on each is right.
func TestCountsByWhatTheKernelTells(t *testing.T) {
	t.Parallel()
	for _, count := range []string{"auto", "kernel"} {
		t.Run(count, func(t *testing.T) {
			w := newWorkspace(t)
			if count == "auto" {
				w.asNobody() // who may not count otherwise
			}
			port := w.port()
			const n = 3
			w.configure(adopting(port, n, "listen", "tcp", fmt.Sprintf(":%d", port)) + fmt.Sprintf("count = %q\n", count))
			d := w.start()
			d.awaitReady(n)
			a := w.status().app("web")
			if a.Count != "kernel" || !strings.Contains(a.CountWhy, "estimated") {
				if count == "auto" && a.Count == "ebpf" {
					missing(t, "this user may count in the kernel")
				}
				t.Fatalf("count %q: %s", a.Count, a.CountWhy)
			}
			address := fmt.Sprintf("127.0.0.1:%d", port)
			d.awaitLooks()
			seen := d.serveAll(address, 200, n)
			d.checkConnections(seen)
			killWhole(t, *w.status().instance("web/1").PID)
			d.awaitReady(n + 1)
			d.awaitLooks()
			seen.join(d.serveAll(address, 100, n))
			d.checkConnections(seen)
			w.must("reload", "web")
			d.awaitLooks()
			seen.join(d.serveAll(address, 100, n))
			d.checkConnections(seen)
			if out := w.must("status", "web"); !strings.Contains(out, "≈") || !strings.Contains(out, "kernel") {
				t.Errorf("status shows an estimate as a fact:\n%s", out)
			}
			d.stop()
		})
	}
}

// awaitLooks waits until the last instance has been there for so long that the kernel
// has been asked for connections since: of one that ended before, it may not be told
// whose it was.
func (d *daemon) awaitLooks() {
	d.w.t.Helper()
	d.awaitStatus("all instances to have been there for a while", func(s status) bool {
		for _, in := range s.app("web").Instances {
			if in.Uptime == nil || *in.Uptime < 3 {
				return false
			}
		}
		return true
	})
}

// checkConnections asserts that each instance has had as many connections as it has
// answered, and has none open. Where that could not be told of each, as on a busy
// machine that steers around those that stand still, it has to be said, and they
// are never too many, and most of them even then.
func (d *daemon) checkConnections(seen crew) {
	d.w.t.Helper()
	var last appStatus
	defer func() {
		if d.w.t.Failed() {
			d.w.t.Logf("seen %v; %+v", seen.count, last)
			for _, in := range last.Instances {
				d.w.t.Log(in.ID, value(in.ConnectionsOpen), value(in.ConnectionsTotal), in.ConnectionsExact, value(in.RequestsTotal))
			}
		}
	}()
	d.await("every connection to be counted, or said not to be", func() bool {
		last = d.w.status().app("web")
		for _, in := range last.Instances {
			if in.ConnectionsTotal == nil || in.ConnectionsOpen == nil || *in.ConnectionsOpen != 0 ||
				in.ConnectionsExact && *in.ConnectionsTotal != uint64(seen.count[in.ID]) {
				return false
			}
		}
		return true
	})
	var all, answered uint64
	for _, in := range last.Instances {
		all += *in.ConnectionsTotal
		answered += uint64(seen.count[in.ID])
	}
	if 2*all <= answered {
		d.w.t.Errorf("%d connections are counted of %d", all, answered)
	}
	for _, in := range last.Instances {
		if n := uint64(seen.count[in.ID]); *in.ConnectionsTotal > n || in.RequestsKind != "about" || in.RequestsTotal == nil || *in.RequestsTotal != *in.ConnectionsTotal {
			d.w.t.Errorf("%s has answered %d, and has had %d connections (exact: %v) and %s %v requests",
				in.ID, n, *in.ConnectionsTotal, in.ConnectionsExact, in.RequestsKind, value(in.RequestsTotal))
		}
	}
}

// Whatever counts, it is known which connections are open and how many wait.
func TestOpenConnectionsAreKnown(t *testing.T) {
	t.Parallel()
	eachUser(t, func(t *testing.T, w *workspace) {
		ports := map[string]int{}
		var tables []string
		for name, lines := range map[string]string{
			"adopt": `listen = "adopt"`, "off": "listen = \"adopt\"\ncount = \"off\"", "kernel": `count = "kernel"`,
			"relay": `listen = "relay"`, "self": `listen = "self"`,
		} {
			ports[name] = w.port()
			mode := "http"
			if name == "self" {
				mode = "reuseport"
			}
			tables = append(tables, app(name, mode, fmt.Sprintf("port = %d\ninstances = 2\n%s", ports[name], lines)))
		}
		w.configure(tables...)
		d := w.start()
		d.awaitReady(2 * len(ports))
		for name, port := range ports {
			var conns []net.Conn
			for range 5 {
				conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				if _, err := conn.Write([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n")); err != nil {
					t.Fatal(err)
				}
				if _, err := conn.Read(make([]byte, 1)); err != nil {
					t.Fatal(err)
				}
				conns = append(conns, conn)
			}
			open := func(want uint64) func(status) bool {
				return func(s status) bool {
					var all uint64
					for _, in := range s.app(name).Instances {
						if in.ConnectionsOpen == nil || in.Queue == nil {
							return false
						}
						all += *in.ConnectionsOpen
					}
					return all == want
				}
			}
			d.awaitStatus(name+" to have 5 connections open", open(5))
			for _, conn := range conns {
				conn.Close()
			}
			d.awaitStatus(name+" to have none open", open(0))
		}
		if in := w.status().instance("off/0"); in.RequestsTotal != nil || in.BytesIn != nil {
			t.Errorf("what is not to be measured is: %+v", in)
		}
		d.stop()
	})
}
