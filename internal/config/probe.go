package config

import (
	"regexp"
	"slices"
	"strings"
	"time"
)

// Probe says how it is found out whether an instance is ready, or well.
type Probe struct {
	By   By      // "": nobody is asked; an instance with a port is ready when it listens
	HTTP string  // for ByHTTP: the path to get
	Exec Command // for ByExec
	Log  string  // for ByLog: a regular expression that a line of the output has to match

	Interval time.Duration // between two attempts, or within which ByWatchdog wants to hear something
	Timeout  time.Duration // of ready: for all of it; of health: for one attempt
	Failures int           // of health: in a row, until the instance is restarted
}

// By is whom a Probe asks. The words are the keys in the file.
type By string

// The ways to find out.
const (
	ByHTTP     By = "http"     // a GET request is answered with a status from 200 to 399
	ByTCP      By = "tcp"      // a connection comes about
	ByExec     By = "exec"     // a command succeeds
	ByLog      By = "log"      // the instance writes a line
	ByNotify   By = "notify"   // the instance says so, see sd_notify(3): READY=1
	ByWatchdog By = "watchdog" // the instance says so again and again: WATCHDOG=1
)

// Reaches tells whether a connection to the instance is made.
func (p Probe) Reaches() bool { return p.By == ByHTTP || p.By == ByTCP }

// What ready and health are where nothing is said.
var (
	builtinReady  = Probe{Interval: 250 * time.Millisecond, Timeout: 30 * time.Second}
	builtinHealth = Probe{Interval: 10 * time.Second, Timeout: 2 * time.Second, Failures: 3}
)

func setReady(f field, a *App) bool {
	return f.probe(&a.Ready, builtinReady, []By{ByHTTP, ByTCP, ByExec, ByLog, ByNotify})
}

func setHealth(f field, a *App) bool {
	return f.probe(&a.Health, builtinHealth, []By{ByHTTP, ByTCP, ByExec, ByWatchdog})
}

// probe reads a table such as { http = "/health", timeout = "5s" } on top of the
// defaults, with one of some ways.
func (f field) probe(in *Probe, p Probe, ways []By) bool {
	if _, isTable := f.value.(map[string]any); !isTable {
		hint := ""
		if s, isText := f.value.(string); isText && strings.HasPrefix(s, "/") {
			hint = "write { http = " + cite(s) + " }"
		} else if slices.Contains(ways, By(s)) && s != "http" && s != "exec" && s != "log" {
			hint = "write { " + s + " = true }"
		}
		return f.must(`a table such as { http = "/health" }`, hint)
	}
	good := true
	var chosen []By
	for _, k := range f.keys {
		part := field{k, f.name + "." + k.name, f.r}
		ok := true
		switch {
		case slices.Contains(ways, By(k.name)):
			chosen = append(chosen, By(k.name))
			ok = part.way(&p)
		case k.name == "interval":
			ok = duration(positive, func(*App) *time.Duration { return &p.Interval })(part, nil)
		case k.name == "timeout":
			ok = duration(positive, func(*App) *time.Duration { return &p.Timeout })(part, nil)
		case k.name == "failures" && p.Failures > 0:
			p.Failures, ok = part.between(1, maxFailures, "an integer from 1 to 1000")
		default:
			f.r.add(k.at, "unknown key %s in %s%s", cite(k.name), f.name, didYouMean(k.name, f.probeKeys(p, ways)))
			ok = false
		}
		good = good && ok
	}
	switch {
	case !good:
	case len(chosen) == 0 && f.name == "ready" && f.key("timeout") != nil && f.key("interval") == nil:
		// Only how long it may take to listen.
	case len(chosen) != 1:
		f.r.add(f.valueAt, "%s must have exactly one of %s, not %s", f.name, anyOf(ways), amount(chosen))
		good = false
	default:
		p.By = chosen[0]
		good = f.probeMeans(p.By)
	}
	if good {
		*in = p
	}
	return good
}

const maxFailures = 1000

func (f field) probeKeys(p Probe, ways []By) []string {
	keys := []string{"interval", "timeout"}
	if p.Failures > 0 {
		keys = append(keys, "failures")
	}
	for _, w := range ways {
		keys = append(keys, string(w))
	}
	return keys
}

func amount(chosen []By) string {
	if len(chosen) == 0 {
		return "none"
	}
	names := make([]string, len(chosen))
	for i, w := range chosen {
		names[i] = cite(string(w))
	}
	return strings.Join(names, " and ")
}

// probeMeans reports what has no meaning beside a way.
func (f field) probeMeans(by By) bool {
	without := map[By]string{ByLog: "interval", ByNotify: "interval", ByWatchdog: "timeout"}[by]
	if k := f.key(without); without != "" && k != nil {
		f.r.add(k.at, "%s.%s has no meaning with %q: the instance itself says when; leave it out", f.name, without, by)
		return false
	}
	return true
}

// way reads the value of one of the ways into p.
func (f field) way(p *Probe) bool {
	switch By(f.node.name) {
	case ByHTTP:
		path, ok := f.text(`a path such as "/health"`)
		if !ok {
			return false
		}
		if !strings.HasPrefix(path, "/") || strings.ContainsAny(path, " #\r\n\t") {
			hint := ""
			if _, rest, isURL := strings.Cut(path, "://"); isURL {
				if i := strings.IndexByte(rest, '/'); i >= 0 {
					hint = "write " + cite(rest[i:]) + ", each instance is asked for it"
				}
			}
			return f.must(`a path that begins with "/", such as "/health"`, hint)
		}
		p.HTTP = path
	case ByExec:
		var a App
		if !setCommand(f, &a) {
			return false
		}
		p.Exec = a.Command
	case ByLog:
		expr, ok := f.text(`a regular expression such as "listening on"`)
		if !ok {
			return false
		}
		if expr == "" {
			return f.fail("is empty, and every line would match it")
		}
		if _, err := regexp.Compile(expr); err != nil {
			return f.fail("is no regular expression: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
		}
		p.Log = expr
	default:
		if f.value != true {
			return f.must("true", "to ask in another way, write that instead")
		}
	}
	return true
}
