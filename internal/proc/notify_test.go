package proc

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"clusterd/internal/config"
)

func TestParseNotice(t *testing.T) {
	text := func(s string) *string { return &s }
	for _, x := range []struct {
		datagram string
		want     notice
	}{
		{"READY=1", notice{ready: true}},
		{"READY=1\nSTATUS=42 clients\n\nMAINPID=17\n", notice{ready: true, status: text("42 clients"), mainPID: 17}},
		{"STOPPING=1\nWATCHDOG=1", notice{stopping: true, alive: true}},
		{"WATCHDOG=trigger", notice{dying: true}},
		{"STATUS=", notice{status: text("")}},
		{"STATUS=\x1b[31mred\x1b[0m \xff\x00=", notice{status: text("red \uFFFD=")}},
		{"READY=0\nREADY=11\nready=1\n READY=1\nMAINPID=-1\nMAINPID=x\nMAINPID=99999999999999999999", notice{}},
		{"", notice{}},
		{"\x00\xff\n=\n==\nREADY", notice{}},
	} {
		got := parseNotice([]byte(x.datagram))
		if diff := cmp.Diff(x.want, got, cmp.AllowUnexported(notice{})); diff != "" {
			t.Errorf("%q (-want +got):\n%s", x.datagram, diff)
		}
	}
	long := parseNotice([]byte("STATUS=" + strings.Repeat("x", 5000)))
	if n := len([]rune(*long.status)); n != maxStatus {
		t.Errorf("a status of %d letters, want %d", n, maxStatus)
	}
}

func byNotify(a config.App) config.App {
	a.Ready.By = config.ByNotify
	return a
}

// An instance is ready when it says so, whatever else it has sent before; only its
// own processes are listened to.
func TestReadyByNotify(t *testing.T) {
	a := byNotify(job("a", 1, "notify"))
	a.Health = config.Probe{By: config.ByWatchdog, Interval: time.Hour, Failures: 1}
	r := runReal(t, false, a)
	address := strings.TrimPrefix(r.says("a/0", "notify socket", 1)[0], "notify socket ")
	stranger, err := net.Dial("unixgram", address)
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	if _, err := stranger.Write([]byte("READY=1\nSTATUS=not me")); err != nil {
		t.Fatal(err)
	}
	r.becomes("its status", func(s *Snapshot) bool { return s.Apps[0].Instances[0].Says == "warming up" })
	if s := r.becomes("a state", func(*Snapshot) bool { return true }); s.Apps[0].State != StateStarting || s.Apps[0].Reason != "warming up" {
		t.Errorf("%s, %s", s.Apps[0].State, s.Apps[0].Reason)
	}
	r.says("a/0", "WATCHDOG_USEC is 3600000000", 1)
	leader := *r.becomes("a pid", func(s *Snapshot) bool { return s.Apps[0].Instances[0].PID != nil }).Apps[0].Instances[0].PID
	r.act(VerbKill, "a/0") // the next generation says that it is ready
	s := r.becomes("it to be ready", func(s *Snapshot) bool { return s.Apps[0].State == StateReady })
	i := s.Apps[0].Instances[0]
	if i.Generation != 2 || i.Says != "ready of child" || *i.PID == leader {
		t.Errorf("%+v", i)
	}
	if got := r.says("a/0", "main is", 1)[0]; !strings.HasSuffix(got, " "+itoa(*i.PID)) {
		t.Errorf("pid %d is shown, %s", *i.PID, got)
	}
	r.says("a/0", "barrier passed", 1)
}

// Who says that it stops, ends by itself, and is started again.
func TestStoppingByNotify(t *testing.T) {
	r := runReal(t, false, byNotify(job("a", 1, "notify-stopping")))
	r.says("a/0", "says that it is stopping", 1)
	r.becomes("the next one", func(s *Snapshot) bool { return s.Apps[0].Instances[0].Restarts > 0 })
	r.says("a/0", "exited with code 0", 1)
}

func TestWatchdog(t *testing.T) {
	a := byNotify(job("a", 1, "notify-watchdog"))
	a.Health = config.Probe{By: config.ByWatchdog, Interval: 100 * time.Millisecond, Timeout: time.Second, Failures: 1}
	r := runReal(t, false, a)
	r.says("a/0", "failed its health check: no WATCHDOG=1 within 100ms; ending it", 1)
	r.says("a/0", "failed its health check: it says WATCHDOG=trigger; ending it", 1)
}

func TestReadyByLog(t *testing.T) {
	a := worker("a", 1)
	a.Command = config.Command{Shell: "/bin/sh", Line: `echo listening; read -r x <$FIFO; printf '\033[1mserver \033[32mup\033[0m\n' >&2; exec sleep 100`}
	a.Ready.By, a.Ready.Log = config.ByLog, `^server up$`
	fifo := t.TempDir() + "/fifo"
	if err := mkfifo(fifo); err != nil {
		t.Fatal(err)
	}
	a.Env = map[string]string{"FIFO": fifo}
	r := runReal(t, false, a)
	r.says("a/0", "listening", 1)
	if s := r.becomes("a state", func(*Snapshot) bool { return true }); s.Apps[0].State != StateStarting {
		t.Errorf("%s before it has said that it is ready", s.Apps[0].State)
	}
	writeFile(t, fifo, "go\n")
	r.becomes("it to be ready", func(s *Snapshot) bool { return s.Apps[0].State == StateReady })
}

// What a check has started ends with it, also when it takes too long, and at the
// latest with the instance.
func TestExecCheckLeavesNothing(t *testing.T) {
	a := job("a", 1, "wait")
	a.Ready.By, a.Ready.Exec = config.ByExec, config.Command{Shell: "/bin/sh", Line: "sleep 100 & echo checked; sleep 100"}
	a.Ready.Timeout = 50 * time.Millisecond
	a.Restart = config.RestartNever
	r := runReal(t, true, a)
	err := r.ends()
	if err == nil || !strings.HasPrefix(err.Error(), "a/0 failed: not ready within 50ms: ") {
		t.Errorf("Run says %v", err)
	}
}
