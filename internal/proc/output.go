package proc

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/charmbracelet/x/ansi"

	"clusterd/internal/config"
)

// What the output of an instance tells about its failure.

// maxQuote bounds what is cited of an instance's output, in columns.
const maxQuote = 160

// tailLines is how many lines are remembered of a run.
const tailLines = 20

// tail is the last lines that one run wrote, apart from those of other
// generations beside it. Blank ones do not count.
type tail struct {
	mu   sync.Mutex
	kept []string
}

func (t *tail) add(lines []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range lines[max(0, len(lines)-tailLines):] {
		if strings.TrimSpace(l) != "" {
			t.kept = append(t.kept, l)
		}
	}
	if over := len(t.kept) - tailLines; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
}

// lines returns a copy, the oldest first.
func (t *tail) lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.kept)
}

// quote cites the last line of what a run wrote, for a reason that is to tell why
// it failed; "" when it wrote nothing.
func quote(output []string) string {
	if len(output) == 0 {
		return ""
	}
	last := output[len(output)-1]
	return "; last output: " + ansi.Truncate(strings.TrimSpace(ansi.Strip(last)), maxQuote, "…")
}

// addressInUse is how servers say that they cannot have their port.
var addressInUse = regexp.MustCompile(`(?i)EADDRINUSE|address already in use|address in use`)

// clashHint explains the one mistake that everyone makes behind the relay: a
// server that listens on the public port, which clusterd has, and not on $PORT.
func (a *app) clashHint(output []string) string {
	if a.way.Listen != string(config.ListenRelay) || a.way.adopts {
		return ""
	}
	for _, line := range output {
		if addressInUse.MatchString(line) && strings.Contains(line, fmt.Sprint(a.config.Port)) {
			return fmt.Sprintf("port %d is clusterd's: behind the relay an instance must listen on $PORT, a private port, "+
				`or set SO_REUSEPORT itself with listen = "self"`, a.config.Port)
		}
	}
	return ""
}
