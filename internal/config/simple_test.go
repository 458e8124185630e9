package config

import (
	"os/exec"
	"testing"
)

func TestExecLine(t *testing.T) {
	for line, want := range map[string]string{
		"bun server.ts":                        "exec bun server.ts",
		"  node --max-old-space-size=64 x.js ": "exec node --max-old-space-size=64 x.js",
		`./srv -p "$PORT" 'a b' *.txt`:         `exec ./srv -p "$PORT" 'a b' *.txt`,
		"a/b-c_d.e+f":                          "exec a/b-c_d.e+f",

		"npm run build && npm start": "", "a; b": "", "a | b": "", "a & ": "", "a > log": "", "a 2>&1": "",
		"a\nb": "", "echo $(date)": "", "a `b`": "", "(a)": "", "{ a; }": "", "! a": "", "[ -f x ]": "",
		"PORT=1 a": "", "$CMD a": "", `"my prog" a`: "", "cd /tmp": "", "exit 3": "", "echo hi": "", "exec a": "",
		"while a": "", ": x": "", ". ./env": "", "~/bin/a": "", "a # b": "", "a \\\n b": "", "": "",
	} {
		if want == "" {
			want = line
		}
		if got := execLine(line); got != want {
			t.Errorf("execLine(%q) = %q, want %q", line, got, want)
		}
	}
}

// TestExecLineChangesNoResult asks a real shell.
func TestExecLineChangesNoResult(t *testing.T) {
	for _, line := range []string{
		`expr "$A" : 'x.*'`, "ls -d /pro[c]", `env A="a  b" sh -c 'exit 3'`, "no-such-command-here", `basename "$HOME/x y"`,
	} {
		if execLine(line) == line {
			t.Errorf("%q is not taken for simple", line)
		}
		output := func(line string) (string, int) {
			cmd := exec.Command("/bin/sh", "-c", line)
			cmd.Env = append(cmd.Environ(), "A=xyz", "HOME=/h")
			out, _ := cmd.Output() // its exit code is compared
			return string(out), cmd.ProcessState.ExitCode()
		}
		out, code := output(line)
		if gotOut, gotCode := output(execLine(line)); gotOut != out || gotCode != code {
			t.Errorf("%q: %q and exit code %d, with exec %q and %d", line, out, code, gotOut, gotCode)
		}
	}
}
