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

	"clusterd/internal/proc"
)

// Cluster is what the server needs of a cluster.
type Cluster interface {
	Snapshot(context.Context) (*proc.Snapshot, error)
	Logs(context.Context, proc.LogQuery) (proc.LogPage, error)
	LogsChanged(after uint64) <-chan struct{}
	Do(context.Context, proc.Action) error
}

// Server answers the clients of one cluster.
type Server struct {
	http     *http.Server
	dismiss  func() // answers those who wait for log lines
	listener net.Listener
	served   chan struct{}
}

// The paths of the API. Each answers with the JSON of a type of package proc,
// or with a failure.
const (
	pathStatus = "/v1/status" // GET: Snapshot
	pathLogs   = "/v1/logs"   // GET ?target=…&after=N&limit=N&forward=1&wait=1: LogPage
	pathAction = "/v1/action" // POST Action
	pathDown   = "/v1/down"   // POST: the cluster begins to stop
)

// failure is the JSON of an answer that is no success.
type failure struct {
	Error string `json:"error"` // a sentence for the user
}

// Serve listens at place, whose lock the caller holds, and answers in the
// background until Close. down is called when a client asks for the end of the
// cluster.
func Serve(place Place, c Cluster, down func()) (*Server, error) {
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
	closing := make(chan struct{})
	s := &Server{
		http: &http.Server{
			Handler:           routes(c, down, closing),
			ReadHeaderTimeout: 10 * time.Second,
			// What goes wrong with a client's connection the client will tell,
			// and stderr may be a dashboard's screen.
			ErrorLog: log.New(io.Discard, "", 0),
		},
		dismiss:  sync.OnceFunc(func() { close(closing) }),
		listener: &ownListener{l},
		served:   make(chan struct{}),
	}
	go func() {
		defer close(s.served)
		_ = s.http.Serve(s.listener) // ends with Close only
	}()
	return s, nil
}

// routes is the API.
func routes(c Cluster, down func(), closing <-chan struct{}) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+pathStatus, func(w http.ResponseWriter, r *http.Request) {
		s, err := c.Snapshot(r.Context())
		answer(w, s, err)
	})
	mux.HandleFunc("GET "+pathLogs, func(w http.ResponseWriter, r *http.Request) {
		q, wait, err := logQuery(r)
		if err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		if wait {
			page, err := awaitLogs(r.Context(), c, q, closing)
			answer(w, page, err)
			return
		}
		page, err := c.Logs(r.Context(), q)
		answer(w, page, err)
	})
	mux.HandleFunc("POST "+pathAction, func(w http.ResponseWriter, r *http.Request) {
		var a proc.Action
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&a); err != nil {
			refuse(w, http.StatusBadRequest, fmt.Errorf("read the action: %w", err))
			return
		}
		answer(w, struct{}{}, c.Do(r.Context(), a))
	})
	mux.HandleFunc("POST "+pathDown, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, struct{}{}, nil)
		down()
	})
	for _, path := range []string{pathStatus, pathLogs, pathAction, pathDown} {
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

// Close stops answering and removes the socket. Answers under way get a moment
// to finish.
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
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // a client that went away needs no answer
}

func refuse(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(failure{err.Error()})
}
