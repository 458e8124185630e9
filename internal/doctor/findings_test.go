package doctor

import (
	"errors"
	"strings"
	"testing"

	"clusterd/internal/cgroup"
)

// good are the facts of a machine that allows everything.
var good = Facts{Kernel: "6.18.1", FirstPort: 1, Files: 1 << 20, Cgroup: cgroup.Own{Mount: "/g", Dir: "/g/own"}}

func TestFindingsOfAGoodMachine(t *testing.T) {
	for _, d := range good.Findings() {
		if d.State != OK || d.Found == "" || d.Means == "" || d.Takes != "" {
			t.Errorf("%+v", d)
		}
	}
}

// What is in the way has its own state, says what it is and what it means, and
// what it would take; nothing else is touched.
func TestFindings(t *testing.T) {
	no := errors.New("refused: it takes a permit")
	for _, x := range []struct {
		name  string
		spoil func(*Facts)
		want  map[string]State
		says  string
	}{
		{"an old kernel", func(f *Facts) { f.Kernel = "5.8.0-63-generic" }, map[string]State{"kernel": Limited}, "Linux 5.9"},
		{"a very old one", func(f *Facts) { f.Kernel = "4.19" }, map[string]State{"kernel": Limited}, "Linux 5.9"},
		{"no filters", func(f *Facts) { f.Machine.Filter = no }, map[string]State{
			"system calls": Missing, "memory": Unknown, "pidfd_getfd": Unknown, "descriptors": Unknown,
		}, "$PORT"},
		{"no memory", func(f *Facts) { f.Machine.Memory = no }, map[string]State{"memory": Missing}, "$PORT"},
		{"no pidfd_getfd", func(f *Facts) { f.Machine.Getfd = no }, map[string]State{"pidfd_getfd": Limited}, "replaced by clusterd's own"},
		{"no putting", func(f *Facts) { f.Machine.Put = no }, map[string]State{"descriptors": Missing}, "$PORT"},
		{"no eBPF", func(f *Facts) { f.Machine.BPF = no }, map[string]State{"bpf": Missing}, "by a hash"},
		{"no counting", func(f *Facts) { f.Machine.Counting = no }, map[string]State{"counting": Missing}, "counted by the relay"},
		{"no low ports", func(f *Facts) { f.FirstPort = 1024 }, map[string]State{"low ports": Limited}, "below 1024"},
		{"no IPv6", func(f *Facts) { f.IPv6 = no }, map[string]State{"IPv6": Missing}, "by IPv4 only"},
		{"few files", func(f *Facts) { f.Files = 1000 }, map[string]State{"open files": Limited}, "some 500 connections"},
		{"no control groups", func(f *Facts) { f.Cgroup = cgroup.Own{Err: no} }, map[string]State{"cgroup v2": Missing}, "Delegate=yes"},
		{"no CPU limits", func(f *Facts) { f.CPU = no }, map[string]State{"CPU limits": Missing}, "Delegate=yes"},
		{"none of one's own", func(f *Facts) { f.Cgroup.Err = no }, map[string]State{"cgroup v2": Limited}, "mounted at /g, but"},
	} {
		t.Run(x.name, func(t *testing.T) {
			f := good
			x.spoil(&f)
			said := false
			for _, d := range f.Findings() {
				want := x.want[d.Name]
				if want == "" {
					want = OK
				}
				if d.State != want {
					t.Errorf("%s is %s, want %s", d.Name, d.State, want)
				}
				if d.State == OK {
					continue
				}
				text := strings.Join([]string{d.Found, d.Takes, d.Means}, "; ")
				said = said || strings.Contains(text, x.says)
				if d.State != Unknown && d.Takes == "" && !strings.Contains(d.Found, "it takes a permit") {
					t.Errorf("%s does not say what it would take: %s", d.Name, text)
				}
			}
			if !said {
				t.Errorf("nothing says %q: %+v", x.says, f.Findings())
			}
		})
	}
}

// This machine can be examined, and what is found of it is whole.
func TestExamine(t *testing.T) {
	f, err := Examine()
	if err != nil {
		t.Fatal(err)
	}
	if f.Kernel == "" || f.Files == 0 || f.FirstPort == 0 || f.Plan.Listen == "" || f.Plan.Count == "" {
		t.Errorf("%+v", f)
	}
}
