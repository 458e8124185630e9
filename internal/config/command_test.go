package config

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCommandArgs(t *testing.T) {
	line := Command{Line: "echo $PORT | cat", Shell: "/bin/bash"}
	if diff := cmp.Diff([]string{"/bin/bash", "-c", "echo $PORT | cat"}, line.Args()); diff != "" {
		t.Errorf("arguments of a line (-want +got):\n%s", diff)
	}
	if got := line.String(); got != line.Line {
		t.Errorf("a line is shown as %s", got)
	}
	argv := Command{Argv: []string{"echo", "a b", "", "it's", "x=1"}}
	if diff := cmp.Diff(argv.Argv, argv.Args()); diff != "" {
		t.Errorf("arguments of a vector (-want +got):\n%s", diff)
	}
	if got, want := argv.String(), `echo 'a b' '' 'it'\''s' x=1`; got != want {
		t.Errorf("a vector is shown as %s, want %s", got, want)
	}
}
