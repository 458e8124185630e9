package shim

import (
	"fmt"
	"math"
	"slices"
	"syscall"
	"testing"
)

// A shim reads what was ordered.
func TestOrder(t *testing.T) {
	filter := []syscall.SockFilter{{Code: 1, Jt: 2, Jf: 3, K: 4}, {Code: math.MaxUint16, Jt: 255, Jf: 255, K: math.MaxUint32}, {}}
	for _, o := range []Order{
		{},
		{Path: "/bin/true", Argv: []string{"true", "", "x y"}},
		{Filter: filter, Path: "a b", Argv: []string{}},
		{Filter: filter[:1], Inherited: []string{"web", "admin"}, Path: "x"},
		{Inherited: []string{""}},
	} {
		got, inherited, names, err := parse(o.Args())
		if err != nil {
			t.Fatal(err)
		}
		if got.Path != o.Path || !slices.Equal(got.Argv, o.Argv) || !slices.Equal(got.Filter, o.Filter) ||
			inherited != len(o.Inherited) || got.parent != fmt.Sprint(syscall.Getpid()) {
			t.Errorf("%+v becomes %+v with %d sockets", o, got, inherited)
		}
		if want := map[int]string{0: "", 1: "", 2: "web:admin"}[len(o.Inherited)]; names != want {
			t.Errorf("the sockets are called %q, want %q", names, want)
		}
	}
	for _, broken := range [][]string{{name}, {name, "1", "xyz", "0", "", "p"}, {name, "1", "", "n", "", "p"}} {
		if o, _, _, err := parse(broken); err == nil {
			t.Errorf("%q is read as %+v", broken, o)
		}
	}
}
