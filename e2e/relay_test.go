package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// talkers are clients that keep their connections and ask again and again, without
// the second tries that package net/http makes by itself.
type talkers struct {
	stop     chan struct{}
	done     sync.WaitGroup
	mu       sync.Mutex
	answered int
	failed   []error
}

// exchange sends one request and reads the whole of its answer.
type exchange func(c net.Conn, br *bufio.Reader) error

// talk begins n clients, which take turns with the exchanges.
func talk(port, n int, exchanges ...exchange) *talkers {
	l := &talkers{stop: make(chan struct{})}
	for i := range n {
		l.done.Go(func() { l.talk(port, i, exchanges) })
	}
	return l
}

func (l *talkers) talk(port, turn int, exchanges []exchange) {
	var c net.Conn
	var br *bufio.Reader
	defer func() {
		if c != nil {
			c.Close()
		}
	}()
	for ; ; turn++ {
		select {
		case <-l.stop:
			return
		case <-time.After(time.Millisecond): // the machine is others' too
		}
		var err error
		if c == nil {
			if c, err = net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
				_ = c.SetDeadline(time.Now().Add(deadline))
				br = bufio.NewReader(c)
			}
		}
		if err == nil {
			err = exchanges[turn%len(exchanges)](c, br)
		}
		l.mu.Lock()
		if err == nil {
			l.answered++
		} else {
			l.failed = append(l.failed, err)
		}
		l.mu.Unlock()
		if err != nil && c != nil {
			c.Close()
			c = nil
		}
	}
}

// end fails the test for what was not answered.
func (l *talkers) end(t *testing.T) (answered int) {
	t.Helper()
	close(l.stop)
	l.done.Wait()
	if n := len(l.failed); n > 0 {
		t.Errorf("%d of %d requests were not answered, the first: %v", n, n+l.answered, l.failed[0])
	}
	t.Logf("%d requests were answered", l.answered)
	return l.answered
}

// ask is an exchange of which the answer's body is want; "" is any.
func ask(method, target string, body int, want string) exchange {
	head := method + " " + target + " HTTP/1.1\r\nHost: a\r\n"
	if body > 0 {
		head += fmt.Sprintf("Content-Length: %d\r\n", body)
	}
	request := head + "\r\n" + strings.Repeat("x", body)
	return func(c net.Conn, br *bufio.Reader) error {
		sent := make(chan error, 1)
		go func() {
			_, err := io.WriteString(c, request)
			sent <- err
		}()
		resp, err := http.ReadResponse(br, &http.Request{Method: method})
		var got []byte
		if err == nil {
			got, err = io.ReadAll(resp.Body)
		}
		if err != nil {
			c.Close() // ends what is being sent
			<-sent
			return fmt.Errorf("%s %s: %w", method, target, err)
		}
		if resp.StatusCode != http.StatusOK || (want != "" && string(got) != want) {
			return fmt.Errorf("%s %s: %s, with %.80q", method, target, resp.Status, got)
		}
		return <-sent
	}
}

// However often one of three instances is killed, who asks through the relay
// without a body is answered.
func TestRelayOutlivesKills(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	port := w.port()
	w.configure(web(port, 3, `listen = "relay"`, "max_restarts = 0", `backoff_reset = "1ms"`))
	d := w.start()
	d.awaitReady(3)
	l := talk(port, 24, ask("GET", "/", 0, ""), ask("HEAD", "/", 0, ""), ask("OPTIONS", "/", 0, ""))
	kills := 0
	for end := time.Now().Add(underLoad(8 * time.Second)); time.Now().Before(end); kills++ {
		time.Sleep(350 * time.Millisecond) // the interval of the kills, whatever else goes on
		if in := w.status().instance(fmt.Sprintf("web/%d", kills%3)); in.PID != nil {
			killWhole(t, *in.PID)
		}
	}
	d.awaitReady(3)
	answered := l.end(t)
	d.awaitStatus("every answer to be counted", func(s status) bool { return *s.app("web").RequestsTotal == uint64(answered) })
	t.Logf("%d kills", kills)
	d.stop()
}

// What is planned costs nobody anything, uploads and large responses included.
func TestRelayReloadsLoseNothing(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	port := w.port()
	w.configure(web(port, 3, `listen = "relay"`))
	d := w.start()
	d.awaitReady(3)
	const large = 3 << 20
	l := talk(port, 12,
		ask("GET", "/", 0, ""),
		ask("POST", "/sum", 700_000, "700000 <nil>\n"),
		ask("GET", fmt.Sprint("/large?", large), 0, strings.Repeat("\x00", large)),
		ask("PUT", "/sum", 10, "10 <nil>\n"))
	rounds := 0
	for end := time.Now().Add(underLoad(8 * time.Second)); time.Now().Before(end); rounds++ {
		w.must("reload")
		w.must("restart", fmt.Sprintf("web/%d", rounds%3))
	}
	answered := l.end(t)
	d.awaitStatus("every answer to be counted", func(s status) bool { return *s.app("web").RequestsTotal == uint64(answered) })
	t.Logf("%d reloads and restarts", 2*rounds)
	d.stop()
}
