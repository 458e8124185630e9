package metrics

import (
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Server answers scrapes, until Close. One goroutine at a time may call its methods.
type Server struct {
	handler http.Handler
	http    *http.Server  // nil: nobody can ask
	done    chan struct{} // closed once http has let go of its listener
}

// NewServer returns a Server that shows a cluster at /metrics.
func NewServer(c Cluster) *Server {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry(c), promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "clusterd: metrics are at /metrics")
	})
	return &Server{handler: mux}
}

// Serve answers whoever asks l, which it closes in the end, in place of the listener
// before. With nil, nobody can ask any more.
func (s *Server) Serve(l net.Listener) {
	s.Close()
	if l == nil {
		return
	}
	server, done := &http.Server{Handler: s.handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 5 * time.Minute}, make(chan struct{})
	s.http, s.done = server, done
	go func() {
		defer close(done)
		_ = server.Serve(l) // ends with Close
	}()
}

// registry is one of clusterd's own: nothing that a library registers by itself is
// in it.
func registry(c Cluster) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collector{c}, collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewGoCollector())
	return r
}

// Close ends all scrapes, also those under way, without waiting for them.
func (s *Server) Close() {
	if s.http == nil {
		return
	}
	_ = s.http.Close() // of the listener, which is closed in any case
	<-s.done
	s.http = nil
}
