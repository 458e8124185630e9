package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A stopped process keeps its place on the port, and the kernel goes on to give it
// connections: steering does not. The kernel's own choice is measured beside it.
// The clients have no patience, so that this test has the machine for itself.
func TestStoppedInstanceUnderLoad(t *testing.T) {
	for _, user := range []string{"root", "nobody"} {
		t.Run(user, func(t *testing.T) {
			if user == "root" && os.Getuid() != 0 {
				missing(t, "only root can do this as root")
			}
			steered := stopOneOfFour(t, user, "auto")
			hashed := stopOneOfFour(t, user, "hash")
			t.Logf("one of four instances was stopped: of %d requests %d failed with steering, %d with the kernel's hash",
				volleySize, steered, hashed)
			if steered > volleySize/100 {
				t.Errorf("%d of %d requests failed, want at most 1 %%", steered, volleySize)
			}
			if hashed < volleySize/10 {
				t.Errorf("with the kernel's hash only %d of %d requests failed: this shows nothing of steering", hashed, volleySize)
			}
		})
	}
}

const volleySize = 1000

// stopOneOfFour returns how many of a volley of requests fail of which the first
// come when one of four instances has just been stopped.
func stopOneOfFour(t *testing.T, user, balance string) (failed int) {
	w := newWorkspace(t)
	if user == "nobody" {
		w.asNobody()
	}
	port := w.port()
	w.configure(direct(port, 4, "adopt", "listen") + fmt.Sprintf("balance = %q\n", balance))
	d := w.start()
	d.awaitReady(4)
	address := fmt.Sprintf("127.0.0.1:%d", port)
	d.serveAll(address, 100, 4)
	pid := *w.status().instance("web/2").PID
	stopWhole(t, pid)
	failed = volley(t, port)
	if err := syscall.Kill(-pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	d.serveAll(address, 100, 4) // it serves again
	d.checkAdopted("web")
	if in := w.status().instance("web/2"); *in.PID != pid {
		t.Errorf("pid %d has gone on, and web/2 is %+v", pid, in)
	}
	d.stop()
	return failed
}

// volley sends requests at 250 a second, each on a new connection and with a second
// to be answered in, and returns how many were not. A server in this process is asked
// at the same moments: when it does not answer either, the machine stood still.
func volley(t *testing.T, port int) (failed int) {
	control := httptest.NewServer(http.NotFoundHandler())
	defer control.Close()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Second}
	var bad, stalled atomic.Int64
	var clients sync.WaitGroup
	tick := time.NewTicker(time.Second / 250)
	defer tick.Stop()
	for range volleySize {
		<-tick.C
		controlled := make(chan bool, 1)
		clients.Go(func() {
			resp, err := client.Get(control.URL)
			if err == nil {
				resp.Body.Close()
			}
			controlled <- err == nil
		})
		clients.Go(func() {
			_, err := getBy(client, port, "/")
			switch {
			case !<-controlled:
				stalled.Add(1)
			case err != nil:
				bad.Add(1)
			}
		})
	}
	clients.Wait()
	if n := stalled.Load(); n > volleySize/2 {
		t.Fatalf("%d of %d requests to a server that nobody stopped failed as well", n, volleySize)
	}
	return int(bad.Load())
}
