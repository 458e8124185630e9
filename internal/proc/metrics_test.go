package proc

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"clusterd/internal/config"
)

// exhibit keeps the listener at which metrics are shown.
type exhibit struct{ at net.Listener }

func (e *exhibit) serve(l net.Listener) {
	if e.at != nil {
		e.at.Close()
	}
	e.at = l
}

// The metrics move at once, also between addresses that exclude each other; and where
// the new address cannot be had, they stay.
func TestMoveMetrics(t *testing.T) {
	ports := twoFreeOneTaken(t)
	at := func(host string, port int) string { return fmt.Sprint(host, ":", ports[port]) }

	e := &exhibit{}
	defer func() { e.serve(nil) }()
	c := &Cluster{config: &config.Config{}}
	c.OnMetrics(e.serve)
	for _, tt := range []struct{ from, to, err string }{
		{"", at("127.0.0.1", 0), ""},
		{at("127.0.0.1", 0), at("127.0.0.1", 1), ""},
		{at("127.0.0.1", 1), at("", 1), ""},
		{at("", 1), at("127.0.0.1", 1), ""},
		{at("127.0.0.1", 1), at("127.0.0.1", 2), fmt.Sprintf("metrics = %q: port %d is already in use", at("127.0.0.1", 2), ports[2])},
		{at("127.0.0.1", 1), at("192.0.2.1", 1), fmt.Sprintf("metrics = %q: no interface of this machine has the address 192.0.2.1", at("192.0.2.1", 1))},
		{at("127.0.0.1", 1), "", ""},
		{"", "", ""},
	} {
		c.config.Metrics = tt.from
		err := c.moveMetrics(&config.Config{Metrics: tt.to})
		shown := tt.to
		if tt.err != "" {
			shown = tt.from
		}
		if (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err {
			t.Errorf("from %q to %q: %v, want %q", tt.from, tt.to, err, tt.err)
		}
		if (e.at == nil) != (shown == "") || e.at != nil && !strings.HasSuffix(strings.Replace(e.at.Addr().String(), "[::]", "", 1), shown) {
			t.Errorf("from %q to %q: shown at %v", tt.from, tt.to, e.at)
		}
	}
}
