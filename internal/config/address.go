package config

import (
	"net/netip"
)

// setHost reads the address that an app's port is bound on.
func setHost(f field, a *App) bool {
	const be = `an IP address, "localhost", or "" for every address of the machine`
	host, ok := f.text(be)
	if !ok {
		return false
	}
	if host != "" && host != "localhost" {
		if _, err := netip.ParseAddr(host); err != nil {
			hint := ""
			if inner, err := netip.ParseAddrPort(host); err == nil {
				hint = "write host = " + cite(inner.Addr().String()) + ", and the port as port"
			} else if len(host) > 2 && host[0] == '[' {
				hint = "write it without brackets"
			}
			return f.must(be, hint)
		}
	}
	a.Host = host
	return true
}

// overlap tells whether two hosts stand for at least one common address, so
// that one port on both cannot be told apart. "" and "::" take IPv4 as well.
func overlap(a, b string) bool {
	for _, x := range bound(a) {
		for _, y := range bound(b) {
			switch any6, any4 := netip.IPv6Unspecified(), netip.IPv4Unspecified(); {
			case x == y, x == any6, y == any6,
				x == any4 && y.Is4(), y == any4 && x.Is4():
				return true
			}
		}
	}
	return false
}

// bound is the addresses that a valid host stands for.
func bound(host string) []netip.Addr {
	switch host {
	case "":
		return []netip.Addr{netip.IPv6Unspecified()}
	case "localhost":
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return nil
	}
	return []netip.Addr{ip.Unmap()}
}
