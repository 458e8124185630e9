package proc

import (
	"fmt"
	"net"
	"strconv"

	"clusterd/internal/config"
	"clusterd/internal/port"
)

// ListenForMetrics takes the address at which Prometheus may ask, as the config has
// it. Who has it where it cannot be had, port.FindHolders adds to the error.
func ListenForMetrics(at string) (net.Listener, error) {
	l, err := net.Listen("tcp", at)
	if err == nil {
		return l, nil
	}
	if host, n := splitAddress(at); n != 0 {
		if why := port.Probe(host, n); why != nil {
			err = why
		}
	}
	return nil, &addressError{fmt.Sprintf("metrics = %q", at), err}
}

// addressError is why something cannot have its address. It makes its text when it is
// asked for it, by when port.FindHolders may have added to it.
type addressError struct {
	of  string
	err error
}

func (e *addressError) Error() string { return e.of + ": " + e.err.Error() }
func (e *addressError) Unwrap() error { return e.err }

// splitAddress takes an address apart that config has found to be one; "" has no port.
func splitAddress(at string) (host string, port int) {
	host, text, err := net.SplitHostPort(at)
	if err != nil {
		return "", 0
	}
	port, _ = strconv.Atoi(text)
	return host, port
}

// OnMetrics names what shows the metrics to whoever asks a listener, and closes the
// one before; nil: nobody may ask. It is called by the event loop, and must not wait
// for it. Call OnMetrics before Run.
func (c *Cluster) OnMetrics(serve func(net.Listener)) { c.serveMetrics = serve }

// moveMetrics shows the metrics where another config has them, or says why they stay
// where they are.
func (c *Cluster) moveMetrics(to *config.Config) error {
	from := c.config.Metrics
	if to.Metrics == from || c.serveMetrics == nil {
		return nil
	}
	if to.Metrics == "" {
		c.serveMetrics(nil)
		return nil
	}
	_, old := splitAddress(from)
	_, now := splitAddress(to.Metrics)
	if old == now { // each of the two addresses may be in the other's way
		c.serveMetrics(nil)
	}
	l, err := ListenForMetrics(to.Metrics)
	if err == nil {
		c.serveMetrics(l)
		return nil
	}
	if old == now {
		if l, again := ListenForMetrics(from); again == nil {
			c.serveMetrics(l)
		}
	}
	return err
}
