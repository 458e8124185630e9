package relay

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"syscall"
	"testing"
)

func TestDial(t *testing.T) {
	for _, tt := range []struct{ network, address string }{
		{"tcp", "127.0.0.1:0"}, {"tcp", "[::1]:0"}, {"unix", t.TempDir() + "/socket"},
	} {
		t.Run(tt.network+" "+tt.address, func(t *testing.T) {
			l, err := net.Listen(tt.network, tt.address)
			if err != nil {
				t.Skip("this machine has no such address: ", err)
			}
			defer l.Close()
			c, err := dial(t.Context(), testPoller(t), &Instance{Network: tt.network, Address: l.Addr().String()})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			far, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer far.Close()
			if _, err := c.Write([]byte("hello")); err != nil {
				t.Fatal(err)
			}
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(far); err != nil || string(b) != "hello" {
				t.Errorf("the instance heard %q, %v", b, err)
			}
		})
	}
}

func TestDialRefused(t *testing.T) {
	c, err := dial(t.Context(), testPoller(t), &Instance{Network: "tcp", Address: closedAddress(t)})
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("connected: %v, error %v; want it refused", c, err)
	}
}

// A connect that does not succeed at once, since the instance's accept queue
// is full, does once there is room.
func TestDialWaitsForRoom(t *testing.T) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	port := name.(*syscall.SockaddrInet4).Port
	in := Instance{Network: "tcp", Address: "127.0.0.1:" + strconv.Itoa(port)}
	first, err := dial(t.Context(), testPoller(t), &in) // all that fits into the queue
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()

	result := make(chan error, 1)
	go func() {
		c, err := dial(t.Context(), testPoller(t), &in)
		if err == nil {
			err = c.Close()
		}
		result <- err
	}()
	const connecting = "02" // TCP_SYN_SENT
	to := fmt.Sprintf(" 0100007F:%04X %s ", port, connecting)
	eventually(t, "a connect that waits", func() bool {
		b, err := os.ReadFile("/proc/net/tcp")
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Contains(b, []byte(to))
	})
	far, _, err := syscall.Accept(fd)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(far)
	if err := <-result; err != nil {
		t.Error(err)
	}
}

// testPoller works until the test ends.
func testPoller(t *testing.T) *poller {
	t.Helper()
	var all pollers
	t.Cleanup(all.close)
	p, err := all.next()
	if err != nil {
		t.Fatal(err)
	}
	return p
}
