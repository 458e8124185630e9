package proc

import (
	"bufio"
	"os/exec"
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
	inst := &instance{}
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
