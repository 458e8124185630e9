package proc

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"clusterd/internal/config"
	"clusterd/internal/traffic"
)

func (f *fakeCluster) detail(target string) *Detail {
	f.t.Helper()
	d, err := f.Detail(f.t.Context(), target)
	if err != nil {
		f.t.Fatal(err)
	}
	return d
}

func TestDetail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := worker("a", 2)
		a.Cwd, a.Env = "/srv", map[string]string{"TOKEN": "s3cret", "B": "2"}
		f := runFake(t, false, nil, a)
		f.after(5 * time.Second)
		f.os.last("a/1").exit(3)
		f.after(10 * time.Second)
		f.os.last("a/0").exit(1)
		f.after(15 * time.Second)

		d := f.detail("a/1")
		want := []Variable{{"B", "2"}, {"CLUSTERD_APP", "a"}, {"CLUSTERD_GENERATION", "2"}, {"CLUSTERD_INSTANCE", "1"},
			{"NODE_APP_INSTANCE", "1"}, {"TOKEN", "s3cret"}}
		if d.Cwd != "/srv" || !slices.Equal(d.Env, want) {
			t.Errorf("in %s with %v, want %v", d.Cwd, d.Env, want)
		}
		if got := fmt.Sprint(exits(d)); got != "[a/1 gen 1 code 3 after 5s]" {
			t.Errorf("exits of a/1: %s", got)
		}
		if got := fmt.Sprint(exits(f.detail("a"))); got != "[a/0 gen 1 code 1 after 10s a/1 gen 1 code 3 after 5s]" {
			t.Errorf("exits of a: %s", got)
		}
		if d.Latency != nil || d.History != nil {
			t.Errorf("a worker has latencies %v and requests %v", d.Latency, d.History)
		}
		if _, err := f.Detail(t.Context(), "b/1"); err == nil || err.Error() != `no app "b/1": the cluster has a` {
			t.Errorf("an unknown target: %v", err)
		}
	})
}

// What an instance ended of is still to be read when it is no more.
func TestExitsOutliveTheirInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := runFake(t, false, nil, worker("a", 3))
		f.after(5 * time.Second)
		f.os.last("a/2").exit(3)
		f.after(10 * time.Second)
		f.os.last("a/0").exit(1)
		f.after(15 * time.Second)
		if err := f.Do(t.Context(), Action{Verb: VerbScale, Sizes: map[string]int{"a": 1}}); err != nil {
			t.Fatal(err)
		}
		got := exits(f.detail("a"))
		for _, want := range []string{"a/2 gen 1 code 3 after 5s", "a/0 gen 1 code 1 after 10s"} {
			if !slices.Contains(got, want) {
				t.Errorf("exits of a: %q, without %q", got, want)
			}
		}
		if !slices.ContainsFunc(got, func(e string) bool { return strings.HasPrefix(e, "a/1 gen 1") }) {
			t.Errorf("exits of a: %q, without the end that scaling made", got)
		}
	})
}

func exits(d *Detail) []string {
	var out []string
	for _, e := range d.Exits {
		out = append(out, fmt.Sprintf("%s gen %d code %d after %gs", e.Instance, e.Generation, e.Code, e.After))
	}
	return out
}

// The exits of one that crashes all the time do not add up without end.
func TestFewExitsAreKept(t *testing.T) {
	inst := &instance{id: "a/0", app: &app{config: config.App{Name: "a"}}}
	for g := range 3 * keptExits {
		inst.remember(&run{place: place{generation: g}, exit: &Exit{At: time.Unix(int64(g), 0)}})
	}
	if len(inst.exits) != keptExits || inst.exits[keptExits-1].Generation != 3*keptExits-1 {
		t.Errorf("%d exits are kept, the last of generation %d", len(inst.exits), inst.exits[len(inst.exits)-1].Generation)
	}
	newest := newestFirst(slices.Clone(inst.exits))[0]
	if newest.Generation != 3*keptExits-1 {
		t.Errorf("the newest is of generation %d", newest.Generation)
	}
}

func TestHistogram(t *testing.T) {
	if h := histogram(traffic.Latencies{}); h != nil {
		t.Errorf("a histogram of nothing: %v", h)
	}
	took := map[time.Duration]uint64{50 * time.Microsecond: 3, 900 * time.Microsecond: 5, 1500 * time.Microsecond: 2, 7 * time.Second: 1, time.Minute: 4}
	want := map[float64]uint64{0.1: 3, 1: 5, 2: 2, 10_000: 1, 0: 4}
	h := histogram(traffic.LatenciesOf(func(yield func(time.Duration, uint64) bool) {
		for d, n := range took {
			if !yield(d, n) {
				return
			}
		}
	}))
	for _, b := range h {
		if b.Count != want[b.Upto] {
			t.Errorf("up to %g ms: %d, want %d", b.Upto, b.Count, want[b.Upto])
		}
	}
	if len(h) != len(bounds)+1 {
		t.Errorf("%d buckets", len(h))
	}
}
