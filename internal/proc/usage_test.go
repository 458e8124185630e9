package proc

import (
	"bufio"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// The time of children that have come and gone is the instance's, too: a shell
// that runs one program after the other would look idle otherwise.
func TestCPUOfEndedChildren(t *testing.T) {
	cmd := exec.Command("/bin/sh", "-c", "(i=0; while [ $i -lt 1000000 ]; do i=$((i+1)); done); echo done; read x")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	st, err := readStat(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if st.ticks < 3 {
		t.Errorf("%d clock ticks for a million rounds of a subshell", st.ticks)
	}
	in.Close()
	_ = cmd.Wait() // read fails at the end of its input
}

func TestCPUPercent(t *testing.T) {
	c := &Cluster{}
	inst := &instance{app: &app{}}
	r := &run{inst: inst}
	inst.run = r
	at := time.Unix(1000, 0)
	for _, x := range []struct {
		after   time.Duration
		ticks   uint64
		known   bool
		percent float64
	}{
		{0, 500, false, 0},
		{time.Second, 550, true, 50},
		{2 * time.Second, 950, true, 200},
		{time.Second, 900, false, 0}, // an orphan has ended
		{time.Second, 910, true, 10},
	} {
		at = at.Add(x.after)
		c.onUsage(usageMsg{[]usageReading{{run: r, at: at, ticks: x.ticks}}})
		if u := inst.usage; u.cpuKnown != x.known || x.known && u.cpuPercent != x.percent {
			t.Errorf("at %d ticks: %+v, want %t and %g", x.ticks, u, x.known, x.percent)
		}
	}
}

// A family is counted whole, also when it grows after it has slept.
func TestUsageOfAFamilyThatGrows(t *testing.T) {
	cmd := exec.Command("/bin/sh", "-c", "while read x; do sleep 1000 & echo $!; done; kill 0")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // as every leader
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := bufio.NewReader(out)
	defer func() {
		in.Close()
		_ = cmd.Wait() // it kills its group, itself included
	}()
	p := &leader{pid: cmd.Process.Pid, launcher: &launcher{guard: &guard{strays: map[int]stray{}, wake: make(chan struct{}, 1)}}}
	for grown := 1; grown <= 3; grown++ {
		if _, err := in.Write([]byte("\n")); err != nil {
			t.Fatal(err)
		}
		if _, err := said.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		for reading := range 3 {
			if _, pages, ok := p.Usage(); !ok || pages == 0 || len(p.family) != 1+grown {
				t.Errorf("reading %d after %d children: %d processes, %d pages", reading, grown, len(p.family), pages)
			}
		}
	}
	eventually(t, "the family", func() any { return "not asleep" }, func() bool {
		p.Usage()
		return p.asleep > 1 && len(p.family) == 4
	})
}
