package port

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAddresses(t *testing.T) {
	needIPv6(t)
	for _, x := range []struct {
		host string
		want []string
	}{
		{"", []string{"[::]:80"}},
		{"localhost", []string{"127.0.0.1:80", "[::1]:80"}},
		{"0.0.0.0", []string{"0.0.0.0:80"}},
		{"127.0.0.1", []string{"127.0.0.1:80"}},
		{"::", []string{"[::]:80"}},
		{"::1", []string{"[::1]:80"}},
		{"::ffff:127.0.0.1", []string{"127.0.0.1:80"}},
		{"fe80::1%lo", []string{"[fe80::1%lo]:80"}},
	} {
		got, err := addresses(x.host, 80)
		if err != nil {
			t.Errorf("%s: %v", x.host, err)
		}
		var text []string
		for _, a := range got {
			text = append(text, a.String())
		}
		if diff := cmp.Diff(x.want, text); diff != "" {
			t.Errorf("%s:\n%s", x.host, diff)
		}
	}
	if got, err := addresses("example.com", 80); err == nil {
		t.Errorf("a name that is no address is %v", got)
	}
}

// A port is free when nobody listens there, on any of its addresses.
func TestProbe(t *testing.T) {
	closesAll(t)
	needIPv6(t)
	port := freePort(t)
	for _, host := range []string{"", "localhost", "127.0.0.1", "::1", "0.0.0.0", "::"} {
		if err := Probe(host, port); err != nil {
			t.Errorf("%q, with nobody there: %v", host, err)
		}
	}
	for _, x := range []struct {
		listens string
		taken   []string
		free    []string
	}{
		{"127.0.0.1", []string{"", "localhost", "127.0.0.1", "0.0.0.0"}, []string{"::1", "127.0.0.2"}},
		{"::1", []string{"", "localhost", "::1", "::"}, []string{"127.0.0.1", "0.0.0.0"}},
		{"::", []string{"", "localhost", "::1", "127.0.0.1"}, nil},
	} {
		l, err := net.Listen("tcp", net.JoinHostPort(x.listens, strconv.Itoa(port)))
		if err != nil {
			t.Fatal(err)
		}
		for _, host := range x.taken {
			err := Probe(host, port)
			if taken, ok := errors.AsType[*TakenError](err); !ok || int(taken.Addr.Port()) != port {
				t.Errorf("%q, with a listener at %s: %v", host, x.listens, err)
			}
		}
		for _, host := range x.free {
			if err := Probe(host, port); err != nil {
				t.Errorf("%q, with a listener at %s only: %v", host, x.listens, err)
			}
		}
		l.Close()
	}
}

// A port that others share by SO_REUSEPORT is taken, too.
func TestProbeSeesSharedPorts(t *testing.T) {
	closesAll(t)
	port := freePort(t)
	g := open(t, "127.0.0.1", port)
	hold(t, g, 0)
	if _, ok := errors.AsType[*TakenError](Probe("127.0.0.1", port)); !ok {
		t.Error("the port of a group can be had")
	}
	if other, err := Open("127.0.0.1", port); err == nil {
		other.Close()
		t.Error("the port of a group can be opened again")
	}
}

func TestTakenErrorNamesTheHolder(t *testing.T) {
	closesAll(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port

	_, err = Open("127.0.0.1", port)
	if want := fmt.Sprintf("port %d is already in use", port); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	err = FindHolders(fmt.Errorf("start web: %w", err))
	taken, ok := errors.AsType[*TakenError](err)
	if !ok || len(taken.Holders) != 1 || taken.Holders[0].PID != os.Getpid() || int(taken.Holders[0].UID) != os.Getuid() {
		t.Fatalf("%v, %+v", err, taken)
	}
	want := fmt.Sprintf("port %d is already in use: held by pid %d (%s", port, os.Getpid(), commandLine(os.Getpid()))
	if got := taken.Error(); !strings.HasPrefix(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if other := errors.New("else"); FindHolders(other) != other || FindHolders(nil) != nil {
		t.Error("FindHolders changes errors that are not its own")
	}
}

func TestHolderString(t *testing.T) {
	for _, x := range []struct {
		holder Holder
		want   string
	}{
		{Holder{PID: 12, Command: "nginx -g x"}, "held by pid 12 (nginx -g x)"},
		{Holder{PID: 12}, "held by pid 12"},
		{Holder{UID: 4_000_000_000}, "held by a process of user 4000000000 (run as root to see which)"},
	} {
		if got := x.holder.String(); got != x.want {
			t.Errorf("%+v is %q, want %q", x.holder, got, x.want)
		}
	}
}

func TestAbsentError(t *testing.T) {
	closesAll(t)
	_, err := Open("192.0.2.1", 8080) // TEST-NET-1, RFC 5737: nobody has it
	absent, ok := errors.AsType[*AbsentError](err)
	if want := "no interface of this machine has the address 192.0.2.1"; !ok || absent.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestPrivilegeError(t *testing.T) {
	err := explain(netip.MustParseAddrPort("0.0.0.0:80"), os.NewSyscallError("bind", syscall.EACCES))
	first := FirstUnprivileged()
	want := fmt.Sprintf("no permission to bind port 80: ports below %d need CAP_NET_BIND_SERVICE "+
		"(run as root, setcap cap_net_bind_service=+ep on clusterd, or sysctl net.ipv4.ip_unprivileged_port_start=80)", first)
	if _, ok := errors.AsType[*PrivilegeError](err); !ok || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// The kernel refuses what explain explains.
func TestPrivilegeIsNeeded(t *testing.T) {
	if FirstUnprivileged() <= 1 {
		missing(t, "every port is open to everybody here (net.ipv4.ip_unprivileged_port_start)")
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), probeVariable+"=1")
	if os.Getuid() == 0 {
		// The binary is open already, so its folder may be closed to the user.
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	out, err := cmd.Output()
	if err != nil {
		missing(t, "cannot run as another user: "+err.Error())
	}
	if got := string(out); !strings.HasPrefix(got, "no permission to bind port 1: ") {
		t.Errorf("an unprivileged process learns %q", got)
	}
}
