package control

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"clusterd/internal/proc"
)

// tunnel is one through a server, with both of its ends.
type tunnel struct {
	server   *Server
	client   net.Conn
	instance *net.TCPConn // as the instance has accepted it
}

func newTunnel(t *testing.T) tunnel {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s, p := serve(t, &fakeCluster{dial: func(ctx context.Context, target string) (net.Conn, error) {
		if target != "web/2" {
			t.Errorf("the target has become %q", target)
		}
		return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	}}, nil)
	conn, err := client(t, p).Dial(t.Context(), "web/2")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	instance, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { instance.Close() })
	for _, c := range []net.Conn{conn, instance} {
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
	}
	return tunnel{s, conn, instance.(*net.TCPConn)}
}

// send writes text at one end and reads it at the other.
func send(t *testing.T, from io.Writer, to io.Reader, text string) {
	t.Helper()
	sent := make(chan error, 1)
	go func() {
		_, err := io.WriteString(from, text)
		sent <- err
	}()
	got := make([]byte, len(text))
	if _, err := io.ReadFull(to, got); err != nil || string(got) != text {
		t.Errorf("of %d bytes arrived: %.20q, %v", len(text), got, err)
	}
	if err := await(t, sent); err != nil {
		t.Error(err)
	}
}

// ended checks that a direction has come to its end in good order.
func ended(t *testing.T, r io.Reader) {
	t.Helper()
	if b, err := io.ReadAll(r); err != nil || len(b) > 0 {
		t.Errorf("at the end: %q, %v", b, err)
	}
}

func TestTunnelCarriesBothDirections(t *testing.T) {
	x := newTunnel(t)
	large := strings.Repeat("0123456789abcdef", 1<<16)
	for _, text := range []string{"\x00\xff\r\n\r\n", large} {
		send(t, x.client, x.instance, text)
		send(t, x.instance, x.client, text)
	}
}

// Whoever has ended its direction still gets what the other side has to say.
func TestTunnelEndsDirectionsApart(t *testing.T) {
	t.Run("the client first", func(t *testing.T) {
		x := newTunnel(t)
		send(t, x.client, x.instance, "ask")
		closeWrite(x.client)
		ended(t, x.instance)
		send(t, x.instance, x.client, "answer")
		x.instance.Close()
		ended(t, x.client)
	})
	t.Run("the instance first", func(t *testing.T) {
		x := newTunnel(t)
		send(t, x.instance, x.client, "greet")
		closeWrite(x.instance)
		ended(t, x.client)
		send(t, x.client, x.instance, "answer")
		x.client.Close()
		ended(t, x.instance)
	})
}

// A client that is gone is gone for the instance too, even if that has nothing to
// say.
func TestTunnelEndsWithItsClient(t *testing.T) {
	for _, halfway := range []bool{false, true} {
		x := newTunnel(t)
		send(t, x.client, x.instance, "ask")
		if halfway {
			closeWrite(x.client)
			ended(t, x.instance)
		}
		x.client.Close()
		if !halfway {
			ended(t, x.instance)
		}
		awaitReset(t, x.instance)
	}
}

// awaitReset waits until the peer of conn takes no more.
func awaitReset(t *testing.T, conn *net.TCPConn) {
	t.Helper()
	for {
		_, err := conn.Write([]byte("x"))
		switch {
		case errors.Is(err, unix.EPIPE), errors.Is(err, unix.ECONNRESET):
			return
		case err != nil:
			t.Fatalf("it is not closed: %v", err)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestTunnelEndsWithItsInstance(t *testing.T) {
	x := newTunnel(t)
	send(t, x.client, x.instance, "ask")
	if err := x.instance.SetLinger(0); err != nil { // as if it were killed
		t.Fatal(err)
	}
	x.instance.Close()
	ended(t, x.client)
}

func TestTunnelEndsWithTheServer(t *testing.T) {
	x := newTunnel(t)
	send(t, x.client, x.instance, "ask")
	x.server.Close()
	ended(t, x.client)
	ended(t, x.instance)
}

func TestTunnelThatDoesNotComeToBe(t *testing.T) {
	const sentence = `cannot reach web/2: it has no process, it is backoff: exit 1 <&> "`
	begun, ends := make(chan struct{}, 1), make(chan struct{}, 1)
	s, p := serve(t, &fakeCluster{dial: func(ctx context.Context, target string) (net.Conn, error) {
		switch target {
		case "down":
			return nil, proc.ErrDown
		case "slow":
			begun <- struct{}{}
			<-ctx.Done()
			ends <- struct{}{}
			return nil, ctx.Err()
		}
		return nil, errors.New(sentence)
	}}, nil)
	c := client(t, p)
	for target, want := range map[string]string{"web/2": sentence, "down": proc.ErrDown.Error()} {
		if _, err := c.Dial(t.Context(), target); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", target, err, want)
		}
	}

	answer := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	slow := func() {
		_, err := c.Dial(ctx, "slow")
		answer <- err
	}
	go slow()
	await(t, begun)
	cancel()
	await(t, ends)
	if err := await(t, answer); !errors.Is(err, context.Canceled) {
		t.Errorf("when ctx ends: %v", err)
	}

	ctx = t.Context()
	go slow()
	await(t, begun)
	s.Close()
	await(t, ends)
	if err := await(t, answer); !errors.Is(err, ErrNotRunning) {
		t.Errorf("when the server closes: %v", err)
	}
	if _, err := c.Dial(t.Context(), "web/2"); !errors.Is(err, ErrNotRunning) {
		t.Errorf("afterwards: %v", err)
	}
}
