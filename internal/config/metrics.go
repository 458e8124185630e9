package config

import (
	"net"
	"net/netip"
	"strconv"
)

// metrics reads an address and a port.
func (r *reader) metrics(f field) string {
	const be = `an address and a port, such as "127.0.0.1:9464"`
	if n, ok := f.value.(int64); ok && n > 0 && n <= 65535 {
		f.must(be, "write "+strconv.Quote("127.0.0.1:"+strconv.FormatInt(n, 10)))
		return ""
	}
	text, ok := f.text(be)
	if !ok {
		return ""
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		hint := ""
		if at, err := netip.ParseAddr(text); err == nil {
			hint = "write " + strconv.Quote(netip.AddrPortFrom(at, 9464).String())
		} else if _, err := strconv.ParseUint(text, 10, 16); err == nil {
			hint = "write " + strconv.Quote("127.0.0.1:"+text)
		}
		f.must(be, hint)
		return ""
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		f.fail("must have a port from 1 to 65535, not %s", cite(port))
		return ""
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" && host != "localhost" {
		f.fail(`must begin with an IP address, "localhost", or nothing for every address of the machine, not %s`, cite(host))
		return ""
	}
	return text
}

// checkMetrics reports an app that has the port of the metrics on the same address.
func (r *reader) checkMetrics(n *node, at string, drafts []draft) {
	if at == "" {
		return
	}
	host, text, _ := net.SplitHostPort(at) // it is valid
	port, _ := strconv.Atoi(text)
	for i := range drafts {
		d := &drafts[i]
		if d.Port == port && !d.wrong["port"] && !d.wrong["host"] && overlap(d.Host, host) {
			r.add(n.valueAt, "the port of metrics, %d, is that of %s on line %d; give metrics one of its own", port, d.table, d.portAt().line)
			return
		}
	}
}
