package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
)

func TestAnswers(t *testing.T) {
	t.Setenv("CLUSTERD_APP", "web")
	t.Setenv("CLUSTERD_INSTANCE", "2")
	pid := strconv.Itoa(os.Getpid())
	for _, tt := range []struct {
		request string
		status  int
		body    string
	}{
		{"GET /", 200, "hello from pid " + pid + " (web/2)\n"},
		{"GET /health", 200, "ok\n"},
		{"GET /slow?for=1ms", 200, "slept 1ms in web/2\n"},
		{"GET /slow?for=0s", 200, "slept 0s in web/2\n"},
		{"GET /slow?for=2h", 400, "not between 0s and 1m0s"},
		{"GET /slow?for=-1s", 400, "not between 0s and 1m0s"},
		{"GET /slow?for=ever", 400, "invalid duration"},
		{"GET /nowhere", 404, "not found"},
		{"POST /", 405, "Method Not Allowed"},
	} {
		t.Run(tt.request, func(t *testing.T) {
			method, target, _ := strings.Cut(tt.request, " ")
			got := httptest.NewRecorder()
			logged(routes()).ServeHTTP(got, httptest.NewRequest(method, target, http.NoBody))
			if got.Code != tt.status || !strings.Contains(got.Body.String(), tt.body) {
				t.Errorf("answered %d %q, want %d with %q", got.Code, got.Body, tt.status, tt.body)
			}
		})
	}
}

func TestNameOutsideOfACluster(t *testing.T) {
	t.Setenv("CLUSTERD_APP", "")
	if got := name(); got != "server" {
		t.Errorf("name() = %q, want server", got)
	}
}
