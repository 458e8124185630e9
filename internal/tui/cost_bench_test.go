package tui

import (
	"context"
	"fmt"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"golang.org/x/sys/unix"

	"clusterd/internal/proc"
)

// busy is a cluster whose snapshots differ each time, as those of a real one do,
// and whose log grows by so many lines per second of its clock.
type busyCluster struct {
	snap *proc.Snapshot
	now  func() time.Time
	rate int
	seq  uint64
}

func (c *busyCluster) Snapshot(context.Context) (*proc.Snapshot, error) {
	s := *c.snap
	s.LogSeq = c.seq + uint64(c.rate)
	s.Uptime = c.now().Sub(now).Seconds() + 8000
	s.Apps = append([]proc.AppSnapshot(nil), s.Apps...)
	for i := range s.Apps {
		a := &s.Apps[i]
		a.Instances = append([]proc.InstanceSnapshot(nil), a.Instances...)
		for k := range a.Instances {
			a.Instances[k].Uptime = ptr(s.Uptime)
		}
	}
	return &s, nil
}

func (c *busyCluster) Detail(_ context.Context, target string) (*proc.Detail, error) {
	return detailOf(target, true), nil
}

func (c *busyCluster) Do(context.Context, proc.Action) error { return nil }

func (c *busyCluster) Logs(_ context.Context, q proc.LogQuery) (proc.LogPage, error) {
	n := c.rate / int(time.Second/pollEvery)
	p := proc.LogPage{Lines: make([]proc.Line, n), Next: c.seq + uint64(n)}
	for i := range n {
		c.seq++
		p.Lines[i] = proc.Line{Seq: c.seq, At: c.now(), Instance: "web/0", Text: fmt.Sprintf("line %d of the flood: GET /v1/users 200 3ms", c.seq)}
	}
	return p, nil
}

// BenchmarkSecond is a second of a dashboard's life, polls and frames included,
// without the waiting. The metric says what part of one core that takes.
func BenchmarkSecond(b *testing.B) {
	many := func(n int) *proc.Snapshot {
		var all []proc.InstanceSnapshot
		for i := range n {
			all = append(all, ready("web", i, uint64(1000*i)))
		}
		return cluster(app("web", 8080, all...))
	}
	for _, bench := range []struct {
		instances, lines int
	}{{20, 0}, {20, 100}, {1000, 10_000}} {
		for _, size := range sizes {
			b.Run(fmt.Sprintf("%d-instances/%d-lines/%dx%d", bench.instances, bench.lines, size.w, size.h), func(b *testing.B) {
				at := now
				clock := func() time.Time { return at }
				c := &busyCluster{snap: many(bench.instances), now: clock, rate: bench.lines}
				m := newModel(b.Context(), c, true, newTheme(terminal{"LANG": "C.UTF-8"}.get))
				m.now = clock
				m.Update(tea.WindowSizeMsg{Width: size.w, Height: size.h})
				frames := 0
				var last string
				before := cpuTime(b)
				for b.Loop() {
					for range time.Second / pollEvery {
						at = at.Add(pollEvery)
						run(m, m.pollAll())
						if f := m.View(); f != last {
							frames++
							last = f
						}
					}
				}
				b.ReportMetric((cpuTime(b)-before).Seconds()/float64(b.N)*100, "%core")
				b.ReportMetric(float64(frames)/float64(b.N), "frames/op")
			})
		}
	}
}

// run does what a command says, and what follows from that, but does not wait
// for the next tick.
func run(m *model, c cmd) {
	if c == nil {
		return
	}
	switch msg := c().(type) {
	case nil, tickMsg:
	case tea.BatchMsg:
		for _, c := range msg {
			run(m, c)
		}
	default:
		_, next := m.Update(msg)
		run(m, next)
	}
}

// cpuTime is what this process has used so far.
func cpuTime(tb testing.TB) time.Duration {
	tb.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
