package port

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// TakenError says that others listen on a public address.
type TakenError struct {
	Addr    netip.AddrPort
	Holders []Holder // who listens there, once FindHolders has looked
}

// FindHolders fills in who holds the port, if err is a *TakenError, and
// returns err. It reads all of /proc.
func FindHolders(err error) error {
	if taken, ok := errors.AsType[*TakenError](err); ok {
		taken.Holders = Holders(int(taken.Addr.Port()))
	}
	return err
}

func (e *TakenError) Error() string {
	var who []string
	for _, h := range e.Holders {
		who = append(who, h.String())
	}
	if len(who) == 0 {
		return fmt.Sprintf("port %d is already in use", e.Addr.Port())
	}
	return fmt.Sprintf("port %d is already in use: %s", e.Addr.Port(), strings.Join(who, ", "))
}

// PrivilegeError says that a port may only be bound with a privilege.
type PrivilegeError struct {
	Addr  netip.AddrPort
	First int // the first port that needs no privilege
}

func (e *PrivilegeError) Error() string {
	return fmt.Sprintf("no permission to bind port %d: ports below %d need CAP_NET_BIND_SERVICE "+
		"(run as root, setcap cap_net_bind_service=+ep on clusterd, or sysctl net.ipv4.ip_unprivileged_port_start=%d)",
		e.Addr.Port(), e.First, e.Addr.Port())
}

// AbsentError says that a host is no address of this machine.
type AbsentError struct{ Addr netip.AddrPort }

func (e *AbsentError) Error() string {
	return fmt.Sprintf("no interface of this machine has the address %s", e.Addr.Addr())
}

// FirstUnprivileged is the first port that needs no privilege: the sysctl
// net.ipv4.ip_unprivileged_port_start (Linux 4.11), which holds for IPv6 too.
func FirstUnprivileged() int {
	b, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start")
	if err != nil {
		return 1024
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 1024
	}
	return n
}
