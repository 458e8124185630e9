package tui

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"clusterd/internal/proc"
)

func TestSearchInTheLog(t *testing.T) {
	d := logDash(t, lines("web/0", 1, 100)...)
	d.press("/", "users/(7")
	d.shows("missing closing")
	d.press("backspace", "backspace", "7", "enter")
	d.shows("/users/7 11 of 11", "users/79", "PAUSED")
	d.press("N", "N")
	d.shows("9 of 11", "users/77")
	d.press("n", "n", "n")
	d.shows("11 of 11", "no match after this one")
	d.press("&")
	d.shows("11 of 11 only", "users/79 ", "users/71 ")
	d.hides("users/80")
	d.more(lines("web/0", 701, 3)...)
	d.press("f")
	d.shows("users/703")
	d.press("&", "z", "esc")
	d.shows("/users/7 ")
	d.press("esc")
	d.hides("/users/7 ", "not found")
}

// What was found once is looked for everywhere in another log, too.
func TestSearchGoesOnInAnotherLog(t *testing.T) {
	d := logDash(t, lines("web/0", 1, firstLines+500)...)
	d.press("/", "users/17 ", "enter")
	d.shows("/users/17  1 of 1")
	d.logs.reload()
	d.run(d.pollLogs())
	d.shows(fmt.Sprintf("/users/17  not found in the last %d lines", firstLines))
	d.press("N")
	d.shows("/users/17  1 of 1")
}

// A search may be given up before all lines are there.
func TestSearchIsGivenUp(t *testing.T) {
	d := logDash(t, lines("web/0", 1, firstLines+500)...)
	search := d.searchFor("users/17 ")
	d.logs.setSearch(nil)
	d.run(search)
	d.hides("/users/17")
	d.logs.reload()
	d.run(d.pollLogs())
	d.cluster.logErr = errors.New("it is busy")
	d.run(d.searchFor("users/17 "))
	d.shows("cannot read older lines: it is busy")
}

func TestSearchCase(t *testing.T) {
	for _, c := range []struct {
		text, line string
		finds      bool
	}{
		{"error", "ERROR: no", true}, {"Error", "ERROR: no", false}, {"e.r", "an \x1b[31merr\x1b[mor", true}, {"1m", "\x1b[31mx", false},
	} {
		s, err := newSearch(c.text)
		if err != nil || s.finds(&proc.Line{Text: c.line}) != c.finds {
			t.Errorf("%q in %q: %t, %v", c.text, c.line, !c.finds, err)
		}
	}
}

func TestHighlightLosesNothing(t *testing.T) {
	th := themeFor(terminal{"LANG": "C.UTF-8"})
	for _, text := range []string{"plain user text", "a \x1b[31mus\x1b[1mer\x1b[m and user", "漢字user漢字", "useruser", ""} {
		got := th.highlight(text, regexp.MustCompile("user"), match)
		if plainText(got) != plainText(text) {
			t.Errorf("%q became %q", text, got)
		}
		if n := strings.Count(plainText(text), "user"); strings.Count(got, "\x1b[4m") != n {
			t.Errorf("%d matches are painted in %q", strings.Count(got, "\x1b[4m"), got)
		}
	}
}

func TestMoment(t *testing.T) {
	for text, want := range map[string]time.Time{
		"15:04":            now.Local().Truncate(time.Minute),
		"5m":               now.Add(-5 * time.Minute),
		"-1h30m":           now.Add(-90 * time.Minute),
		"2026-05-01 07:08": time.Date(2026, 5, 1, 7, 8, 0, 0, time.Local),
	} {
		if got, err := moment(text, now); err != nil || !got.Equal(want) && text != "15:04" {
			t.Errorf("%q is %s, want %s (%v)", text, got, want, err)
		}
	}
	if late, err := moment("23:59:59", now); err != nil || late.After(now) {
		t.Errorf("a time of day still to come is %s (%v)", late, err)
	}
	if _, err := moment("noon", now); err == nil {
		t.Error("noon is a time")
	}
}

func TestStreamsAndScopes(t *testing.T) {
	d := newDash(t, withLogs(mixed()), 80, 24, utf8NoColor)
	d.press("j", "e", "e")
	d.shows("api/0 ! ", "err only")
	d.hides("api/0 │", "api/0 »")
	d.press("e", "e", "a", "a")
	if q := d.cluster.asked[len(d.cluster.asked)-1]; q.Targets != nil {
		t.Errorf("the log of everything is asked for as %v", q.Targets)
	}
}

func TestSecretsAreGuessed(t *testing.T) {
	for _, c := range []struct {
		name, value string
		secret      bool
	}{
		{"API_KEY", "x", true}, {"github_token", "x", true}, {"DB_PASSWORD", "x", true}, {"PWD", "/srv", false},
		{"DATABASE", "postgres://u:p@h/d", true}, {"URL", "http://h/a:b@c", false}, {"LOG_LEVEL", "info", false},
	} {
		if got := isSecret(c.name, c.value); got != c.secret {
			t.Errorf("%s=%s: secret %t", c.name, c.value, got)
		}
	}
}

// TestRecentErrors: those of long ago do not count.
func TestRecentErrors(t *testing.T) {
	snap := func(good, failed uint64) *proc.Snapshot {
		s := cluster(app("web", 8080, ready("web", 0, 1)))
		s.Apps[0].Status = &proc.Classes{Success: good, Server: failed}
		return s
	}
	var r recent
	r.add(now, snap(900, 100))
	if got := r.app(now, &snap(900, 100).Apps[0]); got.share() != 0.1 {
		t.Errorf("before anything is known: %+v", got)
	}
	for i := range 30 {
		r.add(now.Add(time.Duration(i)*recentEvery), snap(900+uint64(i), 100))
	}
	end := now.Add(29 * recentEvery)
	if got := r.app(end, &snap(929, 101).Apps[0]); got.failed != 1 || got.all != 13 {
		t.Errorf("lately: %+v", got)
	}
	if n := len(r.kept); n > 13 {
		t.Errorf("%d snapshots are kept", n)
	}
}
