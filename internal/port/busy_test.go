package port

import (
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestInRequest(t *testing.T) {
	const long = 10_000 // ms
	for _, tt := range []struct {
		name string
		info unix.TCPInfo
		want bool
	}{
		{"new", unix.TCPInfo{Last_data_recv: 5, Last_data_sent: 5}, true},
		{"never used", unix.TCPInfo{Last_data_recv: long, Last_data_sent: long}, false},
		{"its first request, as old as the connection", unix.TCPInfo{Data_segs_in: 1, Last_data_recv: long, Last_data_sent: long}, true},
		{"answered long ago", unix.TCPInfo{Data_segs_in: 1, Data_segs_out: 1, Last_data_recv: long + 3, Last_data_sent: long}, false},
		{"answered in the same tick", unix.TCPInfo{Data_segs_in: 1, Data_segs_out: 1, Last_data_recv: long, Last_data_sent: long}, false},
		{"its second request", unix.TCPInfo{Data_segs_in: 2, Data_segs_out: 1, Last_data_recv: long, Last_data_sent: long + 3}, true},
		{"sending", unix.TCPInfo{Data_segs_in: 1, Data_segs_out: 9, Last_data_recv: long, Last_data_sent: 20}, true},
		{"not acknowledged", unix.TCPInfo{Data_segs_in: 1, Data_segs_out: 9, Unacked: 1, Last_data_recv: long, Last_data_sent: long}, true},
		{"not sent", unix.TCPInfo{Data_segs_in: 1, Data_segs_out: 9, Notsent_bytes: 1, Last_data_recv: long, Last_data_sent: long}, true},
		{"the server speaks first", unix.TCPInfo{Data_segs_out: 1, Last_data_recv: long, Last_data_sent: long}, false},
	} {
		if got := inRequest(tt.info); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

// Of a process's connections, those in the middle of a request are busy.
func TestRequests(t *testing.T) {
	closesAll(t)
	for name, host := range map[string]string{"IPv4": "127.0.0.1", "IPv6": "::1"} {
		t.Run(name, func(t *testing.T) {
			if host == "::1" {
				needIPv6(t)
			}
			port := freePort(t)
			g := open(t, host, port)
			hold(t, g, 0)
			l := listeners(t, g, 0)[0]
			var served []net.Conn
			var clients []net.Conn
			for range 4 {
				clients = append(clients, dial(t, host, port))
				c, err := l.Accept()
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				served = append(served, c)
			}
			dial(t, host, port) // waits, and is nobody's
			queued(t, g, 1, 0)
			requests := Requests{Port: port, PIDs: func() []int { return []int{os.Getpid()} }}
			busy := func(want, wantFirst int) {
				t.Helper()
				eventually(t, "as many are busy", func() bool {
					n, first, err := requests.Look()
					if err != nil {
						t.Fatal(err)
					}
					return n == want && first == wantFirst
				})
			}
			exchange := func(from, to net.Conn) {
				t.Helper()
				if _, err := from.Write([]byte("x")); err != nil {
					t.Fatal(err)
				}
				if _, err := to.Read(make([]byte, 1)); err != nil {
					t.Fatal(err)
				}
			}
			busy(0, 0)
			exchange(clients[0], served[0])
			exchange(clients[1], served[1])
			busy(2, 2)
			exchange(served[0], clients[0])
			busy(1, 1)
			time.Sleep(20 * time.Millisecond) // several ticks of the kernel's clock
			exchange(clients[0], served[0])
			busy(2, 1) // it was found idle meanwhile
			requests.talks = nil
			busy(2, 2)
			exchange(served[1], clients[1])
			if _, _, err := requests.Look(); err != nil { // it has just sent, and may go on
				t.Fatal(err)
			}
			exchange(clients[1], served[1])
			busy(2, 1)
			stranger := Requests{Port: port, PIDs: func() []int { return []int{1 << 22} }}
			if n, _, err := stranger.Look(); n != 0 || err != nil {
				t.Errorf("a process that is not there: %d, %v", n, err)
			}
		})
	}
}
