package relay

import (
	"bufio"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// While nobody is live, connections wait in the kernel; the next instance
// serves them.
func TestConnectionsWaitForAnInstance(t *testing.T) {
	r := newRig(t, 1, Options{})
	c := r.dial(0)
	if _, err := io.WriteString(c, getRequest); err != nil {
		t.Fatal(err)
	}
	s := serve(t, nil)
	r.relay.Admit(0, s.instance())
	if resp, _ := readResponse(t, bufio.NewReader(c), "GET"); resp.StatusCode != 200 {
		t.Error(resp.Status)
	}
}

// When nobody has been live for long, the clients in the kernel's queue are told,
// and so are those that come then; until somebody is live.
func TestNobodyCameInTime(t *testing.T) {
	r := newRig(t, 1, Options{Limits: Limits{Hold: 50 * time.Millisecond}})
	ask := func() int {
		t.Helper()
		c := r.dial(0)
		defer c.Close()
		resp, _ := exchange(t, c, bufio.NewReader(c), getRequest, "GET")
		return resp.StatusCode
	}
	opaque := r.dial(0)
	io.WriteString(opaque, "\x00\x01")
	for range 3 {
		if code := ask(); code != http.StatusServiceUnavailable {
			t.Errorf("status %d with nobody live", code)
		}
	}
	if b, err := io.ReadAll(opaque); len(b) != 0 || err != nil {
		t.Errorf("a client of another protocol got %q, %v", b, err)
	}
	r.relay.Withdraw(0, 0) // of one that never was live: no news
	s := serve(t, nil)
	r.relay.Admit(0, s.instance())
	if code := ask(); code != http.StatusOK {
		t.Errorf("status %d with an instance", code)
	}
	r.relay.Withdraw(0, 0)
	if code := ask(); code != http.StatusServiceUnavailable {
		t.Errorf("status %d after it has gone", code)
	}
}

// Restarts of an instance that never gets live do not begin the wait anew, and
// one that was live does.
func TestWaitBeginsWithTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Options{Limits: Limits{Hold: time.Minute}})
		for i := range 2 {
			r.slots[i] = &slot{links: map[*link]struct{}{}}
		}
		patience := func() time.Duration {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.patience()
		}
		accepting := make(chan bool, 1)
		go func() { accepting <- r.awaitWork() }()
		for range 5 {
			time.Sleep(10 * time.Second)
			r.Withdraw(0, 0)
		}
		if got := patience(); got != 10*time.Second {
			t.Errorf("%v left after 50 s", got)
		}
		synctest.Wait()
		if len(accepting) != 0 {
			t.Error("clients are accepted before their time")
		}
		time.Sleep(10 * time.Second)
		<-accepting

		r.Admit(0, Instance{})
		r.Admit(1, Instance{})
		time.Sleep(time.Hour)
		r.Withdraw(0, 0)
		if got := patience(); got != time.Minute {
			t.Errorf("%v with one live", got)
		}
		time.Sleep(time.Second)
		if err := r.Drain(t.Context(), 1, 0); err != nil {
			t.Error(err)
		}
		time.Sleep(20 * time.Second)
		if got := patience(); got != 40*time.Second {
			t.Errorf("%v left 20 s after the last", got)
		}
		r.Close()
	})
}

// A connection that was accepted before the last instance went away is held,
// and answered with 503 when none comes back.
func TestNobodyComesBack(t *testing.T) {
	r := newRig(t, 1, Options{Limits: Limits{Hold: 50 * time.Millisecond}})
	r.relay.Admit(0, Instance{Network: "tcp", Address: closedAddress(t)})
	c := r.dial(0)
	resp, _ := exchange(t, c, bufio.NewReader(c), getRequest, "GET")
	if resp.StatusCode != http.StatusServiceUnavailable || !resp.Close {
		t.Errorf("%s, close %v", resp.Status, resp.Close)
	}
	if n := r.requests(); n != 0 {
		t.Errorf("%d requests counted, none was served", n)
	}
}
