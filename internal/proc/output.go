package proc

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/charmbracelet/x/ansi"

	"clusterd/internal/config"
)

// What the output of an instance tells about its failure.

// maxQuote bounds what is cited of an instance's output, in columns.
const maxQuote = 160

// lastOutput cites the last line that an instance wrote, for a reason that is
// to tell why it failed; "" when it wrote nothing.
func (c *Cluster) lastOutput(inst *instance) string {
	lines := c.journal.last(inst.id, 1)
	if len(lines) == 0 {
		return ""
	}
	return "; last output: " + ansi.Truncate(strings.TrimSpace(ansi.Strip(lines[0])), maxQuote, "…")
}

// addressInUse is how servers say that they cannot have their port.
var addressInUse = regexp.MustCompile(`(?i)EADDRINUSE|address already in use|address in use`)

// clashHint explains the one mistake that everyone makes behind the relay: a
// server that listens on the public port, which clusterd has, and not on $PORT.
func (c *Cluster) clashHint(inst *instance) string {
	a := inst.app
	if a.way.Listen != string(config.ListenRelay) {
		return ""
	}
	for _, line := range c.journal.last(inst.id, 20) {
		if addressInUse.MatchString(line) && strings.Contains(line, fmt.Sprint(a.config.Port)) {
			return fmt.Sprintf("port %d is clusterd's: behind the relay an instance must listen on $PORT, a private port, "+
				`or set SO_REUSEPORT itself with listen = "self"`, a.config.Port)
		}
	}
	return ""
}
