// Server is a small HTTP server to run several of. All it knows of clusterd is
// that $PORT is where to listen; $CLUSTERD_APP and $CLUSTERD_INSTANCE only name
// it in its answers.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// maxSlow bounds how long a request to /slow takes.
const maxSlow = time.Minute

func main() {
	log.SetFlags(0) // clusterd knows when each line was written
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

// run serves until SIGTERM or Ctrl-C, and then finishes the requests in flight.
func run() error {
	stopping, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()

	listener, err := net.Listen("tcp", ":"+or(os.Getenv("PORT"), "8080"))
	if err != nil {
		return err
	}
	fmt.Printf("%s listens on %s\n", name(), listener.Addr())

	server := &http.Server{Handler: logged(routes()), ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-stopping.Done():
	}
	stop() // a second signal ends the process at once
	return server.Shutdown(context.Background())
}

// routes are the pages of the server.
func routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", hello)
	mux.HandleFunc("GET /health", health)
	mux.HandleFunc("GET /slow", slow)
	mux.HandleFunc("/crash", crash)
	return mux
}

// hello says which process answers.
func hello(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintf(w, "hello from pid %d (%s)\n", os.Getpid(), name())
}

func health(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintln(w, "ok")
}

// slow answers after ?for=2s, or gives up with its client.
func slow(w http.ResponseWriter, r *http.Request) {
	d, err := time.ParseDuration(or(r.FormValue("for"), "1s"))
	if err == nil && (d < 0 || d > maxSlow) {
		err = fmt.Errorf("for=%s is not between 0s and %s", d, maxSlow)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	select {
	case <-time.After(d):
		fmt.Fprintf(w, "slept %s in %s\n", d, name())
	case <-r.Context().Done():
	}
}

// crash ends the process in the middle of a request. Make it a POST: a GET that
// its instance did not live to answer is sent to a second one.
func crash(http.ResponseWriter, *http.Request) {
	log.Fatal("crashing, as asked to by a request to /crash")
}

// logged writes one line about every request: to stderr if it went wrong.
func logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		answer := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(answer, r)
		out := os.Stdout
		if answer.status >= 400 {
			out = os.Stderr
		}
		took := time.Since(start).Round(time.Microsecond)
		fmt.Fprintf(out, "%s %s %d %s\n", r.Method, r.URL.Path, answer.status, took)
	})
}

// statusWriter remembers the status of the answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// name is "web/2", or "server" outside of a cluster.
func name() string {
	app, instance := os.Getenv("CLUSTERD_APP"), os.Getenv("CLUSTERD_INSTANCE")
	if app == "" {
		return "server"
	}
	return app + "/" + instance
}

func or(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}
