package port

import (
	"fmt"
	"net"
	"strconv"
	"testing"
)

// An unmodified server shares its port with siblings, and what waits for it when
// it has been killed is served by its successor.
func TestDirect(t *testing.T) {
	for name, grip := range grips {
		t.Run(name, func(t *testing.T) { testDirect(t, grip) })
	}
}

func testDirect(t *testing.T, grip Grip) {
	for _, x := range []struct{ job, host string }{
		{"dual", "127.0.0.1"},
		{"dual", "::1"},
		{"mptcp", "127.0.0.1"},
		{"v4", "127.0.0.1"},
		{"v6only", "::1"},
		{"loopback", "127.0.0.1"},
		{"loopback6", "::1"},
		{"epoll", "127.0.0.1"},
	} {
		if grip == Replace && x.job == "epoll" {
			continue // see TestReplaceRefuses
		}
		t.Run(x.job+" "+x.host, func(t *testing.T) {
			if x.host == "::1" || x.job == "dual" {
				needIPv6(t)
			}
			port := freePort(t)
			f := NewFront(FrontOptions{Port: port, Log: func(s string) { t.Log(s) }})
			t.Cleanup(f.Close)
			servers := map[int]*adopted{}
			start := func(o Owner) {
				a := direct(t, grip, f, o, port, x.job)
				await(t, a.listening)
				f.Admit(o)
				servers[o.Slot] = a
			}
			for slot := range 3 {
				start(Owner{slot, 1})
			}
			seen := map[string]bool{}
			for range 100 {
				seen[read(t, dial(t, x.host, port))] = true
			}
			if len(seen) != 3 {
				t.Errorf("%v answered, want all three", seen)
			}

			victim := servers[1]
			victim.kill()
			f.Ended(Owner{1, 1})
			var waiting []net.Conn
			for range 20 {
				conn, err := f.Dial(t.Context(), Owner{Slot: 1})
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				waiting = append(waiting, conn)
			}
			for range 50 {
				dial(t, x.host, port).Close() // none of these waits there
			}
			start(Owner{1, 2})
			for _, conn := range waiting {
				if pid := read(t, conn); pid != strconv.Itoa(servers[1].cmd.Process.Pid) {
					t.Errorf("pid %s answered what waited, want the successor", pid)
				}
			}
		})
	}
}

func direct(t *testing.T, g Grip, f *Front, o Owner, port int, job string) *adopted {
	t.Helper()
	return adopt(t, port, g, &Direct{Front: f, Owner: o, Port: port}, fmt.Sprint(job, " ", port))
}

func TestDirectTwice(t *testing.T) {
	for name, grip := range grips {
		t.Run(name, func(t *testing.T) {
			port := freePort(t)
			f := NewFront(FrontOptions{Port: port})
			t.Cleanup(f.Close)
			if got := direct(t, grip, f, Owner{0, 1}, port, "twice").line(); got != "true" {
				t.Errorf("the second bind failed with EADDRINUSE: %s", got)
			}
		})
	}
}
