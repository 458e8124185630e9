package e2e

import (
	"bufio"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestUnmodifiedServers shows for each server, as root and as a user without
// any capability: several instances share the one port that all of them have
// hard-coded, each serves, and connections outlive the process that they have
// been waiting for.
func TestUnmodifiedServers(t *testing.T) {
	t.Parallel()
	for _, s := range servers {
		t.Run(s.name, func(t *testing.T) {
			eachUser(t, func(t *testing.T, w *workspace) {
				s.install(w)
				port, solo := w.port(), w.port()
				address := fmt.Sprintf("127.0.0.1:%d", port)
				w.configure(s.deploy(w, "web", port, 3), s.deploy(w, "solo", solo, 1))
				d := w.start()
				d.awaitReady(4)
				for _, app := range []string{"web", "solo"} {
					d.checkAdopted(app)
				}

				n := 2000
				if raceDetector { // which sees no more in many connections than in some
					n = 400
				}
				d.serveAll(address, n, 3)
				killWhole(t, *w.status().instance("web/1").PID)
				d.awaitReady(5)
				d.serveAll(address, 200, 3)
				d.checkAdopted("web")
				if in := w.status().instance("web/1"); in.Restarts != 1 || in.Generation != 2 {
					t.Errorf("after the kill: %+v", in)
				}

				d.checkQueueOutlives("solo/0", solo)
				d.stop()
			})
		})
	}
}

// eachUser runs a test twice, each time with a workspace of its own: as root,
// which only root can, and without any privilege. With the race detector it runs
// it once, as either, chosen by the test's name: for what the detector looks for,
// half of all is as good, and takes half the time.
func eachUser(t *testing.T, test func(*testing.T, *workspace)) {
	asRoot, asNobody := true, true
	if raceDetector && os.Getuid() == 0 {
		asRoot = crc32.ChecksumIEEE([]byte(t.Name()))%2 == 0
		asNobody = !asRoot
	}
	if asRoot {
		t.Run("root", func(t *testing.T) {
			t.Parallel()
			if os.Getuid() != 0 {
				missing(t, "only root can do this as root")
			}
			test(t, newWorkspace(t))
		})
	}
	if asNobody {
		t.Run("nobody", func(t *testing.T) {
			t.Parallel()
			w := newWorkspace(t)
			w.asNobody()
			test(t, w)
		})
	}
}

// checkAdopted asserts that the instances of an app got the port without knowing
// of it, and waits until all are ready: one that accepts nothing for a moment, on
// a busy machine, is not.
func (d *daemon) checkAdopted(app string) {
	d.w.t.Helper()
	s := d.awaitStatus("all of "+app+" to be ready", func(s status) bool {
		a := s.app(app)
		return a.State == "ready" && a.Ready == a.InstancesWanted && !slices.ContainsFunc(a.Instances,
			func(in instanceStatus) bool { return in.State != "ready" })
	})
	if a := s.app(app); a.Listen != "adopt" {
		d.w.t.Errorf("%s: listen %q, want adopt", app, a.Listen)
	}
}

// servedMark is in whatever a server answers.
var servedMark = regexp.MustCompile(`hello from pid (\d+)(?: \((\w+/\d+)\))?`)

// crew is who answered.
type crew struct {
	count map[string]int  // requests by instance
	pids  map[string]bool // of the processes
}

func newCrew() crew { return crew{map[string]int{}, map[string]bool{}} }

// add finds out who gave an answer. A process that does not know its instance
// is told by its session, which every instance has for itself.
func (c crew) add(s status, body string) error {
	match := servedMark.FindStringSubmatch(body)
	if match == nil {
		return fmt.Errorf("answered with %q, want %s", body, servedMark)
	}
	pid, instance := match[1], match[2]
	if instance == "" {
		number, _ := strconv.Atoi(pid)
		session, err := unix.Getsid(number)
		if err != nil {
			return fmt.Errorf("session of pid %d, which answered: %w", number, err)
		}
		if instance = s.led(session); instance == "" {
			return fmt.Errorf("pid %d, which answered, is of no instance", number)
		}
	}
	c.count[instance]++
	c.pids[pid] = true
	return nil
}

// join adds those of another crew.
func (c crew) join(other crew) {
	for instance, n := range other.count {
		c.count[instance] += n
	}
	maps.Copy(c.pids, other.pids)
}

// led is the instance whose first process has the pid, "" if there is none.
func (s status) led(pid int) string {
	for _, a := range s.Apps {
		for _, in := range a.Instances {
			if in.PID != nil && *in.PID == pid {
				return in.ID
			}
		}
	}
	return ""
}

// load makes n requests, a few at a time, each on a new connection. The first
// that fails ends it and fails the test.
func (d *daemon) load(address string, n int) crew {
	d.w.t.Helper()
	const atOnce = 4
	var (
		next    atomic.Int64
		mu      sync.Mutex
		bodies  []string
		failure error
		clients sync.WaitGroup
	)
	for range atOnce {
		clients.Go(func() {
			for next.Add(1) <= int64(n) {
				body, err := getFrom(address)
				mu.Lock()
				bodies = append(bodies, body)
				if err != nil && failure == nil {
					failure = fmt.Errorf("request %d of %d: %w", len(bodies), n, err)
				}
				failed := failure != nil
				mu.Unlock()
				if failed {
					return
				}
			}
		})
	}
	clients.Wait()
	if failure != nil {
		d.w.t.Fatal(failure)
	}
	s := d.w.status()
	c := newCrew()
	for _, body := range bodies {
		if err := c.add(s, body); err != nil {
			d.w.t.Fatal(err)
		}
	}
	return c
}

// serveAll makes n requests to an address, all of which have to be served, and
// goes on until all of so many instances have served some: one that listens but
// does not accept yet is steered around for a while.
func (d *daemon) serveAll(address string, n, instances int) crew {
	d.w.t.Helper()
	all := d.load(address, n)
	d.await(fmt.Sprintf("%d instances to serve %s", instances, address), func() bool {
		if len(all.count) < instances {
			all.join(d.load(address, 50))
		}
		return len(all.count) >= instances
	})
	if len(all.count) != instances {
		d.w.t.Errorf("%s is served by %v, want %d instances", address, all.count, instances)
	}
	return all
}

// checkQueueOutlives stops an instance that has its port for itself, lets many
// clients connect and ask, kills the instance, and asserts that its successor
// answers every one of them.
func (d *daemon) checkQueueOutlives(id string, port int) {
	d.w.t.Helper()
	t := d.w.t
	before := d.w.status().instance(id)
	stopWhole(t, *before.PID)
	const n = 200
	conns := make([]net.Conn, n)
	for i := range conns {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Fatalf("connection %d to a stopped instance: %v", i, err)
		}
		defer conn.Close()
		conns[i] = conn
		if _, err := fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n\r\n", port); err != nil {
			t.Fatalf("connection %d to a stopped instance: %v", i, err)
		}
	}
	killWhole(t, *before.PID)
	s := d.awaitStatus(id+" to be ready again", func(s status) bool {
		in := s.instance(id)
		return in.State == "ready" && in.Generation == before.Generation+1
	})
	c, lost := newCrew(), 0
	for i, conn := range conns {
		body, err := readAnswer(conn)
		if err == nil {
			err = c.add(s, body)
		}
		if err != nil {
			if lost++; lost == 1 {
				t.Logf("connection %d of a killed instance: %v", i, err)
			}
		}
	}
	if lost > 0 || c.count[id] != n {
		t.Errorf("%d of %d connections that waited for a killed instance are lost; its successor answered %v", lost, n, c.count)
	}
}

func readAnswer(conn net.Conn) (body string, err error) {
	if err := conn.SetDeadline(time.Now().Add(deadline)); err != nil {
		return "", err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, b)
	}
	return string(b), err
}
