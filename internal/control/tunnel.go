package control

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/sys/unix"
)

// A tunnel is a connection to the control socket that goes on to an instance:
// what a client sends after its request gets there, and the other way round.
// Either side may end its direction and go on with the other. A tunnel lasts until
// its client closes the connection, both directions have ended, or the server is
// closed.

// tunnelProtocol is what a connection is upgraded to.
const tunnelProtocol = "tcp"

// Dial connects through the cluster to exactly the instance that target names,
// such as web/2. The connection is the caller's, and has CloseWrite. The error is
// a sentence for the user.
func (c *Client) Dial(ctx context.Context, target string) (net.Conn, error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	t, err := upgrade(conn.(*net.UnixConn), target)
	switch {
	case !stop(): // ctx has ended, and the connection has that deadline or will
		conn.Close()
		return nil, ctx.Err()
	case err != nil:
		conn.Close()
		return nil, goneError(err)
	}
	return t, nil
}

// upgrade makes a connection to the control socket a tunnel.
func upgrade(conn *net.UnixConn, target string) (*tunnelConn, error) {
	req, err := http.NewRequest(http.MethodPost, "http://clusterd"+pathTunnel+"?"+url.Values{"target": {target}}.Encode(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", tunnelProtocol)
	if err := req.Write(conn); err != nil {
		return nil, err
	}
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		defer resp.Body.Close()
		return nil, failureOf(resp)
	}
	return &tunnelConn{conn, r}, nil
}

// tunnelConn is the client's end of a tunnel.
type tunnelConn struct {
	*net.UnixConn
	read *bufio.Reader // may hold what came with the answer
}

func (t *tunnelConn) Read(b []byte) (int, error) { return t.read.Read(b) }

// serveTunnel connects to an instance and carries bytes until the tunnel ends.
func serveTunnel(w http.ResponseWriter, r *http.Request, c Cluster, closing <-chan struct{}) {
	if r.Header.Get("Upgrade") != tunnelProtocol {
		refuse(w, http.StatusUpgradeRequired, fmt.Errorf("a tunnel takes the header Upgrade: %s", tunnelProtocol))
		return
	}
	instance, err := c.Dial(r.Context(), r.URL.Query().Get("target"))
	if err != nil {
		refuse(w, http.StatusConflict, err)
		return
	}
	defer instance.Close()
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		refuse(w, http.StatusInternalServerError, err)
		return
	}
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", tunnelProtocol)
	if err == nil {
		_, err = io.CopyN(instance, buffered, int64(buffered.Reader.Buffered()))
	}
	if err == nil {
		carry(conn.(*net.UnixConn), instance, closing)
	}
}

// carry copies in both directions until that is over or closing is closed.
// An error in one direction ends only that: the other may still have an answer.
func carry(client *net.UnixConn, instance net.Conn, closing <-chan struct{}) {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = io.Copy(instance, client)
		closeWrite(instance)
		awaitGone(client)
	}()
	go func() {
		_, _ = io.Copy(client, instance)
		closeWrite(client)
	}()
	select {
	case <-gone:
	case <-closing:
	}
}

// closeWrite ends one direction of a connection; one that knows no directions is
// closed.
func closeWrite(conn net.Conn) {
	if c, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite() // the peer is gone already
		return
	}
	conn.Close()
}

// awaitGone blocks until both directions of conn have ended, or conn is closed. A
// unix socket whose peer has been closed, and has not only ended its own
// direction, is one of these: poll(2) says POLLHUP.
func awaitGone(conn *net.UnixConn) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return
	}
	// The runtime's poller wakes the function up at every change of the socket.
	_ = raw.Read(func(fd uintptr) bool {
		polled := []unix.PollFd{{Fd: int32(fd)}}
		_, err := unix.Poll(polled, 0)
		return err != nil && err != unix.EINTR || polled[0].Revents&(unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0
	})
}
