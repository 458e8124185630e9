package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// serveShared is an instance that listens on the public port itself, with
// SO_REUSEPORT, and answers / as serve does. With SIGTERM it closes its socket,
// and ends when it has answered all that it has accepted. http.Server's Shutdown
// would not do: it drops requests that are being read when it begins.
func serveShared(multipath bool) int {
	how := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var failed error
		err := raw.Control(func(fd uintptr) {
			failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		})
		return errors.Join(err, failed)
	}}
	how.SetMultipathTCP(multipath)
	l, err := how.Listen(context.Background(), "tcp", ":"+os.Getenv("PORT"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	go func() {
		<-stop
		l.Close()
	}()
	counted := &countedListener{Listener: l}
	err = http.Serve(counted, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "%s/%s %d", os.Getenv("CLUSTERD_APP"), os.Getenv("CLUSTERD_INSTANCE"), os.Getpid())
	}))
	if !errors.Is(err, net.ErrClosed) {
		panic(err)
	}
	counted.open.Wait()
	return 0
}

// countedListener counts its connections that are not closed yet.
type countedListener struct {
	net.Listener
	open sync.WaitGroup
}

func (l *countedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.open.Add(1)
	return &countedConn{Conn: c, closed: sync.OnceFunc(l.open.Done)}, nil
}

type countedConn struct {
	net.Conn
	closed func()
}

func (c *countedConn) Close() error {
	defer c.closed()
	return c.Conn.Close()
}
