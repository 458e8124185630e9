package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// underLoad is how long the tests of this file keep a load up.
func underLoad(full time.Duration) time.Duration {
	if testing.Short() || raceDetector {
		return full / 5
	}
	return full
}

// Connections outlive the process that they have been waiting for: what fails
// when instances are killed again and again under load is at most what the dead
// had accepted and not answered, by their own books.
func TestKillsUnderLoad(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		server    string
		instances int
		late      int // connections that a process may have accepted and not entered
	}{{"adopt", 1, 0}, {"adopt", 3, 0}, {"fd", 1, 0}, {"fd", 3, 0}, {"node", 3, 1}} {
		t.Run(fmt.Sprintf("%s, %d", c.server, c.instances), func(t *testing.T) {
			t.Parallel()
			eachUser(t, func(t *testing.T, w *workspace) {
				port := w.port()
				app, books := bookkeeping(w, port, c.instances, c.server)
				w.configure(app + "max_restarts = 0\nbackoff_reset = \"1ms\"\n")
				d := w.start()
				d.awaitReady(c.instances)
				l := startLoad(port, false)
				next, kills := 0, 0
				for end := time.Now().Add(underLoad(6 * time.Second)); time.Now().Before(end); next++ {
					time.Sleep(300 * time.Millisecond) // the interval of the kills, whatever else goes on
					if in := w.status().instance(fmt.Sprintf("web/%d", next%c.instances)); in.PID != nil {
						killWhole(t, *in.PID)
						kills++
					}
				}
				l.goesOn(d)
				b := l.endAtMost(t, books, kills*c.late)
				if b.processes <= c.instances {
					t.Errorf("only %d processes have served: nobody was replaced", b.processes)
				}
				t.Logf("%d kills, %+v", kills, b)
				d.stop()
			})
		})
	}
}

// bookkeeping is the table of an app whose instances keep ledgers: those of Node, or
// children that get their port in this way. Any signal ends them in whatever they do.
func bookkeeping(w *workspace, port, n int, server string) (app, books string) {
	books = filepath.Join(w.dir, "books")
	if server == "node" {
		app = w.node("node-ledger", port, n)
	} else {
		app = direct(port, n, server, "ledger")
	}
	return app + fmt.Sprintf("env.E2E_LEDGER = %q\n", books), books
}

// node is the table of an app whose instances run one of Node's servers.
func (w *workspace) node(name string, port, n int) string {
	w.t.Helper()
	s := server{name: name, command: "node server.js"}
	s.install(w)
	return s.deploy(w, "web", port, n)
}

// endAtMost fails the test if more clients were not served than the processes had
// accepted, by their books and beyond these.
func (l *load) endAtMost(t testing.TB, books string, late int) balance {
	t.Helper()
	served, failed := l.finish()
	b := balanceOf(t, books)
	if len(failed) > b.owed+late {
		t.Errorf("%d of %d clients were not served, and at most %d of them had been accepted: %s",
			len(failed), served+len(failed), b.owed+late, kinds(failed))
	}
	t.Logf("%d clients were served and %d were not", served, len(failed))
	return b
}

// kinds tells how often each error came, without the ports that clients had.
func kinds(failed []error) string {
	n := map[string]int{}
	for _, err := range failed {
		n[clientPort.ReplaceAllString(err.Error(), "$1->")]++
	}
	return fmt.Sprint(n)
}

var clientPort = regexp.MustCompile(`(127\.0\.0\.1):\d+->`)

// direct is the table of an app whose instances are a listenChild of a mode on a
// port of their own: hard-coded, or given with listen = "fd".
func direct(port, n int, listen, mode string) string {
	if listen == "fd" {
		return app("web", mode, fmt.Sprintf("port = %d\ninstances = %d\nlisten = \"fd\"", port, n)) + "\n"
	}
	return adopting(port, n, mode, "tcp", fmt.Sprintf(":%d", port))
}

// Reloads and scaling lose no connection, also of servers that know no grace: the
// stop signal ends them at once.
func TestDirectReloadAndScaleUnderLoad(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		app  func(w *workspace, port int) string
	}{
		{"adopt, no grace", func(_ *workspace, port int) string { return direct(port, 3, "adopt", "listen") }},
		{"adopt, grace", func(_ *workspace, port int) string { return web(port, 3, `listen = "adopt"`) }},
		{"adopt, node", func(w *workspace, port int) string { return w.node("node", port, 3) }},
		{"fd, no grace", func(_ *workspace, port int) string { return direct(port, 3, "fd", "inherit") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			eachUser(t, func(t *testing.T, w *workspace) {
				port := w.port()
				w.configure(c.app(w, port))
				d := w.start()
				d.awaitReady(3)
				l := startLoad(port, false)
				l.goesOn(d)
				l.reloadAndScale(d, 20*time.Second)
				l.end(t)
				listen, _, _ := strings.Cut(c.name, ",")
				d.awaitStatus("all instances to be ready, on the direct way", func(s status) bool {
					a := s.app("web")
					return a.Ready == 3 && a.Listen == listen
				})
				d.stop()
			})
		})
	}
}

// reloadAndScale does both with three instances for some time.
func (l *load) reloadAndScale(d *daemon, full time.Duration) {
	d.w.t.Helper()
	rounds := 0
	for end := time.Now().Add(underLoad(full)); time.Now().Before(end); rounds++ {
		d.w.must("reload")
		l.goesOn(d)
		for _, n := range []int{5, 2, 3} {
			d.w.must("scale", fmt.Sprintf("web=%d", n))
			l.goesOn(d)
		}
	}
	d.w.t.Logf("%d rounds", rounds)
}

// Where the choice is left to the kernel's hash, that is not asked while an
// instance is to end.
func TestHashedReloadAndScaleUnderLoad(t *testing.T) {
	t.Parallel()
	for listen, mode := range map[string]string{"adopt": "listen", "fd": "inherit"} {
		t.Run(listen, func(t *testing.T) {
			t.Parallel()
			eachUser(t, func(t *testing.T, w *workspace) {
				port := w.port()
				w.configure(direct(port, 3, listen, mode) + "balance = \"hash\"\n")
				d := w.start()
				d.awaitReady(3)
				l := startLoad(port, false)
				l.goesOn(d)
				l.reloadAndScale(d, 10*time.Second)
				l.end(t)
				d.stop()
			})
		})
	}
}

// Servers that share the port by themselves, and that nothing but their sockets can
// be had of: clusterd learns where in the kernel's group these are.
func TestUnadoptedReloadAndScaleUnderLoad(t *testing.T) {
	t.Parallel()
	for _, balance := range []string{"auto", "hash"} {
		t.Run(balance, func(t *testing.T) {
			t.Parallel()
			eachUser(t, func(t *testing.T, w *workspace) {
				w.refusing("seccomp")
				port := w.port()
				w.configure(app("web", "reuseport-tcp", fmt.Sprintf("port = %d\ninstances = 3\nlisten = \"self\"\nbalance = %q", port, balance)))
				d := w.start()
				d.awaitReady(3)
				l := startLoad(port, false)
				l.goesOn(d)
				l.reloadAndScale(d, 5*time.Second)
				l.end(t)
				d.stop()
				if strings.Contains(d.stderr.String(), "kernel's hash") {
					t.Error("it is not steered")
				}
			})
		})
	}
}

// Clients that ask again over the same connection as soon as they are answered do
// not keep an instance from being told to stop; the server ends their connections.
func TestReloadWhileClientsNeverPause(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	port := w.port()
	w.configure(web(port, 2, `listen = "adopt"`, `stop_timeout = "10m"`)) // longer than any command of the test
	d := w.start()
	d.awaitReady(2)
	stop := make(chan struct{})
	var clients sync.WaitGroup
	var asked atomic.Int64
	for range 4 {
		clients.Go(func() {
			client := &http.Client{Transport: &http.Transport{}, Timeout: deadline}
			defer client.CloseIdleConnections()
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := getBy(client, port, "/"); err != nil {
					t.Error(err)
					return
				}
				asked.Add(1)
			}
		})
	}
	goesOn := func() {
		want := asked.Load() + 100
		d.await("the clients to be answered", func() bool { return asked.Load() >= want || t.Failed() })
	}
	goesOn()
	w.must("reload")
	goesOn()
	close(stop)
	clients.Wait()
	d.stop()
}

// A successor that does not accept is not ready, whatever its predecessor does with
// the connections that it gets.
func TestInheritedSocketThatNobodyAcceptsFrom(t *testing.T) {
	t.Parallel()
	for _, balance := range []string{"auto", "hash"} {
		t.Run(balance, func(t *testing.T) {
			t.Parallel()
			w := newWorkspace(t)
			port := w.port()
			w.configure(direct(port, 1, "fd", "inherit") + fmt.Sprintf("balance = %q\n", balance))
			d := w.start()
			d.awaitReady(1)
			l := startLoad(port, false)
			l.goesOn(d)
			w.write("hang", "")
			reload := make(chan result, 1)
			go func() { reload <- w.run("reload") }()
			d.awaitEvent(`^\S+ web/0 reload 1/1: successor: does not accept connections from the socket`)
			l.goesOn(d)
			l.end(t)
			w.must("stop", "web")
			if r := <-reload; r.code != 1 || !strings.Contains(r.stderr, "web/0 was stopped during its reload") {
				t.Errorf("the reload: exit code %d, %s", r.code, r.stderr)
			}
			d.stop()
		})
	}
}

// What waits for an instance that clusterd gives up is served by another one.
func TestGivenUpQueueIsServed(t *testing.T) {
	t.Parallel()
	eachUser(t, func(t *testing.T, w *workspace) {
		port := w.port()
		address := fmt.Sprintf("127.0.0.1:%d", port)
		// As long as they are down, web/0 fails, and web/1 hesitates.
		script := fmt.Sprintf("if [ -e down ]; then [ $CLUSTERD_INSTANCE = 0 ] && exit 3; while [ -e down ]; do sleep 0.01; done; fi; exec %s tcp4 %s",
			childBinary, address)
		w.configure(fmt.Sprintf("[apps.web]\ncommand = [\"/bin/sh\", \"-c\", %q]\nenv.%s = \"listen\"\nport = %d\ninstances = 2\nlisten = \"adopt\"\n"+
			"max_restarts = 2\nbackoff_min = \"2s\"\n", script, childVariable, port))
		d := w.start()
		d.awaitReady(2)
		w.write("down", "")
		s := w.status()
		for _, id := range []string{"web/0", "web/1"} {
			killWhole(t, *s.instance(id).PID)
			d.awaitEvent(`^\S+ ` + id + ` was killed`)
		}
		clients := w.dialMany(address, 60)
		for _, id := range []string{"web/0", "web/1"} {
			if in := w.status().instance(id); in.Queue == nil || *in.Queue == 0 {
				t.Errorf("nobody waits for %s: %+v", id, in)
			}
		}
		d.awaitEvent(`^\S+ web/0 exited with code 3 after \S+; giving up`)
		if err := os.Remove(filepath.Join(w.dir, "down")); err != nil {
			t.Fatal(err)
		}
		for _, conn := range clients {
			mustAnswer(t, conn, "(web/1)")
		}
		d.stop()
	})
}

// Who waits for a predecessor that dies during its reload is served by the successor.
func TestPredecessorDies(t *testing.T) {
	t.Parallel()
	for listen, mode := range map[string]string{"adopt": "listen", "fd": "inherit"} {
		t.Run(listen, func(t *testing.T) {
			t.Parallel()
			eachUser(t, func(t *testing.T, w *workspace) {
				port := w.port()
				address := fmt.Sprintf("127.0.0.1:%d", port)
				script := "while [ -e down ]; do sleep 0.01; done; exec " + childBinary
				if listen == "adopt" {
					script += " tcp4 " + address
				}
				w.configure(fmt.Sprintf("[apps.web]\ncommand = [\"/bin/sh\", \"-c\", %q]\nenv.%s = %q\nport = %d\nhost = \"127.0.0.1\"\nlisten = %q\n",
					script, childVariable, mode, port, listen))
				d := w.start()
				d.awaitReady(1)
				w.write("down", "")
				reload := make(chan result, 1)
				go func() { reload <- w.run("reload", "web") }()
				d.awaitEvent(`^\S+ web/0 reload 1/1: successor started`)
				killWhole(t, *w.status().instance("web/0").PID)
				d.awaitStatus("the death to be known", func(s status) bool { return s.instance("web/0").LastExit != nil })
				clients := w.dialMany(address, 40)
				if err := os.Remove(filepath.Join(w.dir, "down")); err != nil {
					t.Fatal(err)
				}
				for _, conn := range clients {
					mustAnswer(t, conn, "(web/0)")
				}
				if r := <-reload; r.code != 0 {
					t.Errorf("the reload: exit code %d, %s", r.code, r.stderr)
				}
				d.stop()
			})
		})
	}
}

// dialMany makes connections that the test closes when it ends.
func (w *workspace) dialMany(address string, n int) (clients []net.Conn) {
	w.t.Helper()
	for range n {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			w.t.Fatal(err)
		}
		w.t.Cleanup(func() { conn.Close() })
		clients = append(clients, conn)
	}
	return clients
}

// mustAnswer requests / over a connection, of which somebody's answer has to say who it is.
func mustAnswer(t testing.TB, conn net.Conn, who string) {
	t.Helper()
	if err := conn.SetDeadline(time.Now().Add(deadline)); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprint(conn, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.Contains(string(answer), who) {
		t.Fatalf("a client got %q, %v", answer, err)
	}
}
