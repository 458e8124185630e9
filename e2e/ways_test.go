package e2e

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"clusterd/internal/port"
)

// Servers that take a socket from whoever starts them, by systemd's protocol,
// have their slot's.
func TestInheritedSockets(t *testing.T) {
	t.Parallel()
	for _, s := range []server{
		{name: "uvicorn", folder: "asgi", command: "uvicorn server:app --fd 3 --no-access-log"},
		{name: "gunicorn", folder: "wsgi", command: "gunicorn -w 2 server:app"},
	} {
		t.Run(s.name, func(t *testing.T) {
			eachUser(t, func(t *testing.T, w *workspace) {
				s.install(w)
				port, solo := w.port(), w.port()
				address := fmt.Sprintf("127.0.0.1:%d", port)
				w.configure(strings.ReplaceAll(s.deploy(w, "web", port, 3)+s.deploy(w, "solo", solo, 1), `"adopt"`, `"fd"`))
				d := w.start()
				d.awaitReady(4)
				d.serveAll(address, 500, 3)
				if a := w.status().app("web"); a.Listen != "fd" {
					t.Errorf("listen %q, want fd", a.Listen)
				}
				killWhole(t, *w.status().instance("web/1").PID)
				d.awaitReady(5)
				d.serveAll(address, 200, 3)
				d.checkQueueOutlives("solo/0", solo)
				d.stop()
			})
		})
	}
}

// Behind the relay, too, a server may have hard-coded the public port, or find it
// in $PORT.
func TestHardCodedPortBehindTheRelay(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"node", "python", "bun-reuseport", "webrick", "go"} {
		t.Run(name, func(t *testing.T) {
			eachUser(t, func(t *testing.T, w *workspace) {
				s := serverNamed(name)
				s.install(w)
				port := w.port()
				address := fmt.Sprintf("127.0.0.1:%d", port)
				w.configure(strings.ReplaceAll(s.deploy(w, "web", port, 3), `"adopt"`, `"relay"`))
				d := w.start()
				d.awaitReady(3)
				seen := d.serveAll(address, 300, 3)
				d.checkExact("web", seen.count)
				if a := w.status().app("web"); a.Listen != "relay" || a.Count != "relay" {
					t.Errorf("listen %q, count %q, want relay", a.Listen, a.Count)
				}
				killWhole(t, *w.status().instance("web/1").PID)
				d.awaitReady(4)
				w.must("reload", "web")
				d.serveAll(address, 200, 3)
				d.stop()
			})
		})
	}
}

// The relay listens where the instances would, whether they listen on the public
// port or on $PORT.
func TestRelayListensAsTheInstancesDo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ listen, host, want string }{
		{"tcp4 127.0.0.1", "", "127.0.0.1"},
		{"tcp6 [::1]", "", "::1"},
		{"tcp4 0.0.0.0", "", "0.0.0.0"},
		{"tcp [::]", "", ":: dual"},
		{"tcp4 127.0.0.1", "localhost", "127.0.0.1 ::1"},
	} {
		for _, refused := range []string{"", "seccomp"} {
			t.Run(strings.TrimSpace(c.listen+" "+c.host+" "+refused), func(t *testing.T) {
				t.Parallel()
				if strings.Contains(c.listen+c.want, ":") {
					needIPv6(t)
				}
				w := newWorkspace(t)
				if refused != "" {
					w.refusing(refused)
				}
				number := w.port()
				w.configure(strings.Replace(adoptingCommand(number, 2, "listen", fmt.Sprintf("%q", childBinary+" "+c.listen+":$PORT")), `"adopt"`, `"relay"`, 1) +
					fmt.Sprintf("host = %q\n", c.host))
				d := w.start()
				d.awaitReady(2)
				found, err := port.Listeners(number)
				if err != nil {
					t.Fatal(err)
				}
				var at []string
				for _, l := range found {
					name := l.Addr.Addr().String()
					if name == "::" && !l.V6Only {
						name += " dual"
					}
					at = append(at, name)
				}
				slices.Sort(at)
				if got := strings.Join(slices.Compact(at), " "); got != c.want {
					t.Errorf("the relay listens on %s, want %s", got, c.want)
				}
				d.serveAll(net.JoinHostPort(dialed(strings.Fields(c.listen)), fmt.Sprint(number)), 20, 2)
				d.stop()
			})
		}
	}
}

// dialed is where to reach who listens on a network and an address of it.
func dialed(listen []string) string {
	if listen[0] == "tcp6" {
		return "::1"
	}
	return "127.0.0.1"
}

// Who has the public port already keeps it, and the instance hears of it as if it
// had no relay before it.
func TestRelayFindsThePortTaken(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	number := w.port()
	w.configure(strings.Replace(adopting(number, 1, "fickle-listen", "tcp4", fmt.Sprintf("127.0.0.1:%d", number)), `"adopt"`, `"relay"`, 1))
	d := w.start()
	d.awaitLine("about to listen")
	l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", number))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	w.write("go", "")
	d.awaitLine(fmt.Sprintf("cannot listen: listen tcp4 127.0.0.1:%d: bind: address already in use", number))
	d.awaitEvent(`^\S+ web the relay cannot listen where an instance would: .*in use`)
	l.Close()
	d.awaitReady(1)
	d.stop()
}

// Of a server that shares the port by itself, clusterd holds the socket, too.
func TestSelfKeepsItsQueue(t *testing.T) {
	t.Parallel()
	s := serverNamed("bun-reuseport")
	eachUser(t, func(t *testing.T, w *workspace) {
		s.install(w)
		port, solo := w.port(), w.port()
		w.configure(strings.ReplaceAll(s.deploy(w, "web", port, 3)+s.deploy(w, "solo", solo, 1), `"adopt"`, `"self"`))
		d := w.start()
		d.awaitReady(4)
		address := fmt.Sprintf("127.0.0.1:%d", port)
		d.serveAll(address, 300, 3)
		killWhole(t, *w.status().instance("web/1").PID)
		d.awaitReady(5)
		d.serveAll(address, 300, 3)
		d.checkQueueOutlives("solo/0", solo)
		d.stop()
	})
}
