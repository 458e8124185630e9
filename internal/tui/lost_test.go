package tui

import (
	"testing"
	"time"

	"clusterd/internal/proc"
)

// TestLostCluster shows what there was, and takes up again what there is.
func TestLostCluster(t *testing.T) {
	d := newDash(t, withLogs(mixed()), 80, 24, utf8NoColor)
	d.lose(4 * time.Second)
	d.shows("no answer for 4s", "api/2", "GET /v1/users")
	d.press("j", "r")
	d.shows("cannot restart api/0: the cluster does not answer")
	d.press("Q")
	d.shows("cannot stop the cluster: it does not answer")
	if len(d.cluster.did) > 0 {
		t.Errorf("asked for %v", d.cluster.did)
	}

	d.cluster.err = nil
	d.poll() // too early to ask again
	d.shows("no answer for 4s")
	d.now = func() time.Time { return now.Add(6 * time.Second) }
	d.poll()
	d.hides("no answer")
	d.shows("up 2h14m", "the cluster answers again, after 6s")
}

// A daemon that is replaced by another program does not answer for a moment, which
// is no reason to say anything but that.
func TestUpgradedDaemon(t *testing.T) {
	old := mixed()
	old.Version = "v1"
	d := newDash(t, withLogs(old), 80, 24, utf8NoColor)
	d.press("jj", "2", "k")
	before := d.screen()
	d.lose(lostAfter / 2)
	if got := d.screen(); got != before {
		t.Errorf("after a moment without an answer:\n%s\nwas\n%s", got, before)
	}
	again := mixed()
	again.Version = "v2"
	d.cluster.snap, d.cluster.err = again, nil
	d.cluster.pages["api/1"] = proc.LogPage{Lines: append(d.cluster.pages["api/1"].Lines, lines("api/1", 201, 3)...)}
	d.poll()
	d.shows("clusterd has been upgraded, from v1 to v2", ">   api/1", "PAUSED +3")
	d.press("f")
	d.shows("users/203", "users/107", "FOLLOW")
}

func TestAnotherDaemonHasAnotherLog(t *testing.T) {
	d := newDash(t, withLogs(mixed()), 80, 24, utf8NoColor)
	d.shows("GET /v1/users/40")
	again := mixed()
	again.PID, again.Uptime = 999, 1
	d.cluster.snap = again
	d.cluster.pages["api"] = proc.LogPage{Lines: lines("api/0", 1, 2)}
	d.poll()
	d.shows("GET /v1/users/2 200", "the cluster has been started anew, by pid 999")
	d.hides("GET /v1/users/40")
}

// What is being read stays, although the daemon that it is from has gone.
func TestReaderOfAnotherDaemonsLog(t *testing.T) {
	d := newDash(t, withLogs(mixed()), 80, 24, utf8NoColor)
	d.press("2", "m", "k")
	d.shows("GET /v1/users/40")
	again := mixed()
	again.PID, again.Uptime = 999, 1
	d.cluster.snap = again
	d.cluster.pages["api"] = proc.LogPage{Lines: lines("api/0", 1, 2)}
	d.poll()
	d.poll()
	d.shows("GET /v1/users/40", "PAUSED, of the daemon before", ">▾ api")
	d.press("g", "'", "/", "users/39", "enter")
	d.shows("GET /v1/users/39")
	d.press("f")
	d.shows("GET /v1/users/2 200", "FOLLOW")
	d.hides("GET /v1/users/39", "mark, ", "of the daemon before")
	d.press("'")
	d.shows("the log has no marks")
}
