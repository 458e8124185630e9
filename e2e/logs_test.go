package e2e

import (
	"strings"
	"syscall"
	"testing"
)

// Of all that was written, one sees what one asks for.
func TestLogsAreSelected(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	port := w.port()
	const json = `{"level":"warn","msg":"disk nearly full","disk":"sda"}`
	w.configure(web(port, 1), "[apps.api]\ncommand = ['/bin/sh', '-c', 'echo \"$0\"; exec sleep 600', '"+json+"']")
	d := w.start()
	d.awaitReady(2)
	for _, word := range []string{"one", "two", "three"} {
		mustGet(t, port, "/say?"+word)
		d.awaitLine("said " + word)
		d.awaitLine("complained " + word)
	}
	d.awaitLine("disk")
	for _, tt := range []struct {
		args string
		want []string // lines, in any order: those of two streams may come in either
	}{
		{"-n 2 web", []string{"web/0 | said three", "web/0 ! complained three"}},
		{"--grep said.t web", []string{"web/0 | said two", "web/0 | said three"}},
		{"--grep said.t -n 1", []string{"web/0 | said three"}},
		{"--grep (?i)WARN.*full api", []string{"api/0 | WARN disk nearly full  disk=sda"}},
		{"--grep \"disk\":", []string{"api/0 | WARN disk nearly full  disk=sda"}},
		{"--raw api", []string{json}},
		{"--raw --grep complained.o web/0", []string{"complained one"}},
		{"--since 1h --grep one", []string{"web/0 | said one", "web/0 ! complained one"}},
		{"--since 1ns", nil},
		{"--grep nothing", nil},
	} {
		out := w.must(append([]string{"logs"}, strings.Fields(tt.args)...)...)
		for _, line := range tt.want {
			if !strings.Contains("\n"+out, "\n"+line+"\n") {
				t.Errorf("logs %s printed no %q:\n%s", tt.args, line, out)
			}
		}
		if n := strings.Count(out, "\n"); n != len(tt.want) {
			t.Errorf("logs %s printed %d lines, want %d:\n%s", tt.args, n, len(tt.want), out)
		}
	}
	d.await("what was said first to be older than what is said now", func() bool {
		mustGet(t, port, "/say?now")
		out := w.must("logs", "--since", "2s", "web")
		return strings.Contains(out, "said now") && !strings.Contains(out, "said three")
	})
	for _, tt := range []struct{ args, says string }{
		{"--grep (", "--grep: error parsing regexp: missing closing ): `(`"},
		{"-n 0", "-n takes a number from 1 on"},
		{"--since -1s", "--since takes how long ago, such as 10m"},
	} {
		if r := w.run(append([]string{"logs"}, strings.Fields(tt.args)...)...); r.code != 2 || !strings.Contains(r.stderr, tt.says) {
			t.Errorf("logs %s: exit code %d, %s", tt.args, r.code, r.stderr)
		}
	}

	// What comes is selected as well, and comes at once.
	follower := w.start("logs", "-f", "--raw", "-n", "1", "--grep", "said (three|l)", "web")
	follower.awaitLine(`^said three$`)
	mustGet(t, port, "/say?never")
	mustGet(t, port, "/say?later")
	follower.awaitLine(`^said later$`)
	follower.signal(syscall.SIGINT)
	if code := follower.wait(); code != 0 || follower.stdout.String() != "said three\nsaid later\n" {
		t.Errorf("exit code %d after Ctrl-C:\n%s", code, follower.stdout)
	}
	// It ends with the cluster, too.
	follower = w.start("logs", "-f", "-n", "1", "--grep", "said three")
	follower.awaitLine(`said three$`)
	d.stop()
	follower.wait()
	if text := follower.stderr.String(); !strings.HasSuffix(text, "the cluster is down\n") {
		t.Errorf("after the end of the cluster: %q", text)
	}
}
