package port

import (
	"net"
	"testing"
	"time"
)

func TestWatch(t *testing.T) {
	type look struct {
		queue  uint32
		after  time.Duration // since the look before
		others bool
		want   act
	}
	const tick = 10 * time.Millisecond
	for name, looks := range map[string][]look{
		"an empty queue":     {{0, 0, true, nothing}, {0, time.Hour, true, nothing}, {0, tick, true, nothing}},
		"a queue that moves": {{5, 0, true, nothing}, {9, 40 * time.Millisecond, true, nothing}, {8, tick, true, nothing}, {20, 40 * time.Millisecond, true, nothing}, {19, tick, true, nothing}},
		"slow, not stuck":    {{5, 0, true, nothing}, {5, 50 * time.Millisecond, true, shun}, {4, 40 * time.Millisecond, true, nothing}, {3, 40 * time.Millisecond, true, nothing}, {0, tick, true, readmit}},
		"stuck":              {{1, 0, true, nothing}, {1, 50 * time.Millisecond, true, shun}, {1, 149 * time.Millisecond, true, nothing}, {1, time.Millisecond, true, rob}},
		"new after a pause":  {{0, 0, true, nothing}, {1, time.Hour, true, nothing}, {1, 49 * time.Millisecond, true, nothing}, {1, time.Millisecond, true, shun}},
		"nobody else":        {{1, 0, false, nothing}, {1, 50 * time.Millisecond, false, shun}, {9, time.Second, false, nothing}, {9, time.Second, true, rob}},
	} {
		t.Run(name, func(t *testing.T) {
			var w watch
			now := time.Now()
			for i, l := range looks {
				now = now.Add(l.after)
				got := w.see(l.queue, now, l.others)
				if got != l.want {
					t.Fatalf("look %d: %v, want %v", i, got, l.want)
				}
				if got == readmit {
					w = watch{}
				}
			}
		})
	}
}

// Once robbed, an empty queue proves nothing: only a probe does, and not one that
// the robber took.
func TestWatchAfterRobbery(t *testing.T) {
	now := time.Now()
	conn, _ := net.Pipe()
	robbed := func(robbing bool, p *probe) watch {
		return watch{moved: now, shunned: true, robbed: true, robbing: robbing, taken: 3, probe: p}
	}
	late := now.Add(time.Second)
	for _, tt := range []struct {
		name  string
		w     watch
		queue uint32
		want  act
	}{
		{"no probe yet", robbed(false, nil), 0, test},
		{"the probe connects", robbed(false, &probe{}), 0, nothing},
		{"the probe waits", robbed(false, &probe{conn: conn, taken: 3}), 1, nothing},
		{"the probe was accepted", robbed(false, &probe{conn: conn, taken: 3}), 0, readmit},
		{"the robber took the probe", robbed(false, &probe{conn: conn, taken: 2}), 0, test},
		{"the robber is at work", robbed(true, &probe{conn: conn, taken: 3}), 0, test},
		{"stragglers behind the probe", robbed(false, &probe{conn: conn, taken: 3}), 2, rob},
		{"stragglers", robbed(false, nil), 1, rob},
		{"stragglers, the robber is at work", robbed(true, nil), 1, nothing},
	} {
		tt.w.queue = tt.queue // as at the look before
		if got := tt.w.see(tt.queue, late, true); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// A slot whose process does not accept is steered around, its queue served by
// others, and it comes back when it accepts again.
func TestStuckSlot(t *testing.T) {
	withBoth(t, testStuckSlot)
}

func testStuckSlot(t *testing.T, program func(*FrontOptions)) {
	for name, at := range map[string]Addr{"IPv4": anyIPv4, "IPv6": loopbackIPv6} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, at, program)
			stuck := s.start(Owner{0, 1})
			well := s.start(Owner{1, 1}).serve()
			sent := 0
			for s.queueOf(0) == 0 { // the choice is the hash's
				s.connect(1)
				sent++
			}
			eventually(t, "it is stuck", func() bool { _, ok := s.Stuck(0); return ok })
			eventually(t, "every connection is served", func() bool { return well.served()+len(s.orphans) == sent })
			if len(s.orphans) == 0 {
				t.Error("its queue was not given to others")
			}
			before := well.served() + len(s.orphans)
			s.connect(50)
			eventually(t, "others serve, while it is stuck", func() bool { return well.served()+len(s.orphans) == before+50 })
			if _, ok := s.Stuck(0); !ok {
				t.Error("it is stuck no more, though it never accepted")
			}
			stuck.serve()
			eventually(t, "it is back", func() bool { _, ok := s.Stuck(0); return !ok })
			probes := stuck.served()
			eventually(t, "it gets connections again", func() bool { s.connect(1); return stuck.served() > probes })
		})
	}
}

// Without another live slot, what waits for a stuck one goes on to wait.
func TestStuckAlone(t *testing.T) {
	withBoth(t, testStuckAlone)
}

func testStuckAlone(t *testing.T, program func(*FrontOptions)) {
	s := newStage(t, anyIPv4, program)
	v := s.start(Owner{0, 1})
	s.connect(5)
	eventually(t, "it is stuck", func() bool { _, ok := s.Stuck(0); return ok })
	s.connect(5)
	v.serve()
	eventually(t, "all are served", func() bool { return v.served() == 10 })
	eventually(t, "it is well", func() bool { _, ok := s.Stuck(0); return !ok })
	if len(s.orphans) > 0 {
		t.Error("its queue was given away")
	}
}

// A connection that asked for the stuck slot is given to no other.
func TestExactConnectionIsForNoOther(t *testing.T) {
	withBoth(t, testExactConnectionIsForNoOther)
}

func testExactConnectionIsForNoOther(t *testing.T, program func(*FrontOptions)) {
	for name, at := range map[string]Addr{"IPv4": anyIPv4, "IPv6": loopbackIPv6} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, at, program)
			s.start(Owner{0, 1})
			s.start(Owner{1, 1}).serve()
			c, err := s.Dial(t.Context(), Owner{0, 1})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
				t.Errorf("read %d bytes, %v", n, err)
			}
			if len(s.orphans) > 0 {
				t.Error("it was given to another slot")
			}
		})
	}
}
