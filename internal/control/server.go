package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"clusterd/internal/handover"
	"clusterd/internal/proc"
)

// Cluster is what the server needs of a cluster.
type Cluster interface {
	Snapshot(context.Context) (*proc.Snapshot, error)
	Logs(context.Context, proc.LogQuery) (proc.LogPage, error)
	LogsChanged(after uint64) <-chan struct{}
	Detail(ctx context.Context, target string) (*proc.Detail, error)
	Do(context.Context, proc.Action) error
	Report(context.Context) proc.Applied
	Dial(ctx context.Context, target string) (net.Conn, error)
}

// Server answers the clients of one cluster.
type Server struct {
	http     *http.Server
	dismiss  func() // answers those who wait for log lines, and ends tunnels
	listener net.Listener
	socket   *net.UnixListener // below listener
	served   chan struct{}
}

// The paths of the API. Each answers with the JSON of a type of package proc (or
// the same as CBOR, see wire.go), or with a failure.
const (
	pathStatus  = "/v1/status"  // GET: Snapshot
	pathDetail  = "/v1/detail"  // GET ?target=web/2: Detail
	pathLogs    = "/v1/logs"    // GET ?target=…&after=N&limit=N&forward=1&wait=1: LogPage
	pathAction  = "/v1/action"  // POST Action
	pathApply   = "/v1/apply"   // POST: Applied
	pathDown    = "/v1/down"    // POST: the cluster begins to stop
	pathUpgrade = "/v1/upgrade" // POST: another program replaces the daemon, and this gets no answer then; GET: Upgraded
	pathTunnel  = "/v1/tunnel"  // POST ?target=web/2, Upgrade: tcp: the connection goes on to that instance
)

// failure is the JSON of an answer that is no success.
type failure struct {
	Error string `json:"error"` // a sentence for the user
}

// Hooks are what clients can ask of the daemon itself.
type Hooks struct {
	Down func() // begins to stop the cluster
	// Upgrade replaces the daemon by another program, and returns only if that could
	// not be done.
	Upgrade func(context.Context) error
	Came    Upgraded // how this daemon has come to be
}

// Upgraded tells how a daemon has replaced another one.
type Upgraded struct {
	From    string `json:"from"` // the version of before; "": it was started in the usual way
	Version string `json:"version"`
	PID     int    `json:"pid"`
	Error   string `json:"error"` // why it is not another version; "": it is what it was to be
}

// Serve listens at place, whose lock the caller holds, and answers in the
// background until Close.
func Serve(place Place, c Cluster, h Hooks) (*Server, error) {
	l, err := listen(place)
	if err != nil {
		return nil, err
	}
	return begin(l, c, h), nil
}

// Take is Serve for a daemon that has replaced another one, which has left the
// descriptor of its listening socket in b.
func Take(fd int, b *handover.Bag, c Cluster, h Hooks) (*Server, error) {
	fd, err := b.Take(fd)
	if err != nil {
		return nil, fmt.Errorf("take the control socket over: %w", err)
	}
	f := os.NewFile(uintptr(fd), "control")
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("take the control socket over: %w", err)
	}
	unixListener, ok := l.(*net.UnixListener)
	if !ok {
		l.Close()
		return nil, errors.New("take the control socket over: it is none of the file system")
	}
	unixListener.SetUnlinkOnClose(true)
	return begin(unixListener, c, h), nil
}

// HandOver accepts no more clients, and keeps the socket in b: those that come wait
// for the next daemon.
func (s *Server) HandOver(b *handover.Bag) (fd int, err error) {
	if err := s.socket.SetDeadline(time.Unix(1, 0)); err != nil {
		return -1, err
	}
	return b.KeepFile(s.socket)
}

func listen(place Place) (*net.UnixListener, error) {
	// Holding the lock means that whoever made the socket is gone.
	if err := os.Remove(place.Socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove a stale control socket: %w", err)
	}
	// The folder keeps others out while the mode is not yet right.
	l, err := net.Listen("unix", place.Socket)
	if err != nil {
		return nil, fmt.Errorf("listen on the control socket: %w", err)
	}
	if err := os.Chmod(place.Socket, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("protect the control socket: %w", err)
	}
	return l.(*net.UnixListener), nil
}

func begin(l *net.UnixListener, c Cluster, h Hooks) *Server {
	closing := make(chan struct{})
	s := &Server{
		http: &http.Server{
			Handler:           routes(c, h, closing),
			ReadHeaderTimeout: 10 * time.Second,
			// What goes wrong with a client's connection the client will tell,
			// and stderr may be a dashboard's screen.
			ErrorLog: log.New(io.Discard, "", 0),
		},
		dismiss:  sync.OnceFunc(func() { close(closing) }),
		listener: &ownListener{l},
		socket:   l,
		served:   make(chan struct{}),
	}
	go func() {
		defer close(s.served)
		_ = s.http.Serve(s.listener) // ends with Close only
	}()
	return s
}

// routes is the API.
func routes(c Cluster, h Hooks, closing <-chan struct{}) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+pathStatus, func(w http.ResponseWriter, r *http.Request) {
		s, err := c.Snapshot(r.Context())
		reply(w, r, s, err)
	})
	mux.HandleFunc("GET "+pathDetail, func(w http.ResponseWriter, r *http.Request) {
		d, err := c.Detail(r.Context(), r.URL.Query().Get("target"))
		reply(w, r, d, err)
	})
	mux.HandleFunc("GET "+pathLogs, func(w http.ResponseWriter, r *http.Request) {
		q, wait, err := logQuery(r)
		if err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		if wait {
			page, err := awaitLogs(r.Context(), c, q, closing)
			reply(w, r, page, err)
			return
		}
		page, err := c.Logs(r.Context(), q)
		reply(w, r, page, err)
	})
	mux.HandleFunc("POST "+pathAction, func(w http.ResponseWriter, r *http.Request) {
		var a proc.Action
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&a); err != nil {
			refuse(w, http.StatusBadRequest, fmt.Errorf("read the action: %w", err))
			return
		}
		answer(w, struct{}{}, c.Do(r.Context(), a))
	})
	mux.HandleFunc("POST "+pathApply, func(w http.ResponseWriter, r *http.Request) {
		answer(w, c.Report(r.Context()), nil)
	})
	mux.HandleFunc("POST "+pathDown, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, struct{}{}, nil)
		h.Down()
	})
	mux.HandleFunc("GET "+pathUpgrade, func(w http.ResponseWriter, r *http.Request) { reply(w, r, h.Came, nil) })
	mux.HandleFunc("POST "+pathUpgrade, func(w http.ResponseWriter, r *http.Request) {
		answer(w, struct{}{}, h.Upgrade(r.Context()))
	})
	mux.HandleFunc("POST "+pathTunnel, func(w http.ResponseWriter, r *http.Request) {
		serveTunnel(w, r, c, closing)
	})
	for _, path := range []string{pathStatus, pathDetail, pathLogs, pathAction, pathApply, pathDown, pathUpgrade, pathTunnel} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			refuse(w, http.StatusMethodNotAllowed, fmt.Errorf("%s is not for %s", r.Method, path))
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, http.StatusNotFound, fmt.Errorf("nothing is at %s", r.URL.Path))
	})
	return mux
}

const (
	// longPoll is how long a client that waits for log lines waits at most.
	longPoll = 30 * time.Second
	// settle is how long lines of others gather before they are looked through.
	settle = 20 * time.Millisecond
)

// awaitLogs returns the first lines after q.After that q selects, or an empty
// page when there are none for a while, or when ctx ends or closing is closed.
func awaitLogs(ctx context.Context, c Cluster, q proc.LogQuery, closing <-chan struct{}) (proc.LogPage, error) {
	ctx, cancel := context.WithTimeout(ctx, longPoll)
	defer cancel()
	for {
		page, err := c.Logs(ctx, q)
		if err != nil || len(page.Lines) > 0 || page.Dropped > 0 || ctx.Err() != nil {
			return page, err
		}
		q.After = page.Next
		select {
		case <-c.LogsChanged(q.After):
		case <-ctx.Done():
			continue
		case <-closing:
			return page, nil
		}
		select {
		case <-time.After(settle):
		case <-ctx.Done():
		}
	}
}

// Close stops answering, ends tunnels, and removes the socket. Answers under way
// get a moment to finish.
func (s *Server) Close() {
	s.dismiss()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		s.http.Close()
	}
	<-s.served
}

// ownListener accepts connections of the daemon's own user and of root only.
// The modes of socket and folder say the same; this holds even if somebody
// changed them.
type ownListener struct{ net.Listener }

func (l *ownListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if uid, err := peerUID(conn.(*net.UnixConn)); err == nil && (uid == 0 || int(uid) == os.Getuid()) {
			return conn, nil
		}
		conn.Close()
	}
}

func peerUID(conn *net.UnixConn) (uint32, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err := errors.Join(err, credErr); err != nil {
		return 0, err
	}
	return cred.Uid, nil
}

func logQuery(r *http.Request) (q proc.LogQuery, wait bool, err error) {
	v := r.URL.Query()
	q.Targets = v["target"]
	if s := v.Get("after"); s != "" {
		if q.After, err = strconv.ParseUint(s, 10, 64); err != nil {
			return q, false, fmt.Errorf("after: %w", err)
		}
	}
	if s := v.Get("limit"); s != "" {
		if q.Limit, err = strconv.Atoi(s); err != nil {
			return q, false, fmt.Errorf("limit: %w", err)
		}
	}
	q.Forward = v.Get("forward") != ""
	return q, v.Get("wait") != "", nil
}

func answer(w http.ResponseWriter, v any, err error) {
	if err != nil {
		refuse(w, http.StatusConflict, err)
		return
	}
	w.Header().Set("Content-Type", typeJSON)
	_ = json.NewEncoder(w).Encode(v) // a client that went away needs no answer
}

// reply is answer as the client of r wants it.
func reply(w http.ResponseWriter, r *http.Request, v any, err error) {
	if err != nil {
		refuse(w, http.StatusConflict, err)
		return
	}
	write(w, r, v)
}

func refuse(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Content-Type", typeJSON)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(failure{err.Error()})
}
