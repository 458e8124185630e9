package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"
)

// diagnosis is what doctor --json prints, as a script would read it.
type diagnosis struct {
	Findings      []finding
	Adopt         bool
	Listen, Count string
}

type finding struct{ Name, State, Found, Takes, Means string }

func (d diagnosis) finding(name string) finding {
	for _, f := range d.Findings {
		if f.Name == name {
			return f
		}
	}
	panic("no finding of " + name)
}

// What doctor says holds: as root, and without any privilege.
func TestDoctor(t *testing.T) {
	t.Parallel()
	eachUser(t, func(t *testing.T, w *workspace) {
		uid := os.Getuid()
		if uid == 0 && w.wrap != nil {
			uid = nobody
		}
		text := w.must("doctor")
		for line := range strings.Lines(text) {
			if utf8.RuneCountInString(line) > 81 {
				t.Errorf("longer than 80 cells: %q", line)
			}
		}
		if !strings.Contains(text, fmt.Sprintf("user %d\n", uid)) {
			t.Errorf("it is user %d, and doctor says\n%s", uid, text)
		}

		var d diagnosis
		if err := json.Unmarshal([]byte(w.must("doctor", "--json")), &d); err != nil {
			t.Fatal(err)
		}
		var name syscall.Utsname
		if err := syscall.Uname(&name); err != nil {
			t.Fatal(err)
		}
		var release strings.Builder
		for _, c := range name.Release {
			if c == 0 {
				break
			}
			release.WriteByte(byte(c))
		}
		if f := d.finding("kernel"); !strings.Contains(f.Found, release.String()) {
			t.Errorf("this is Linux %s, and doctor says %q", release.String(), f.Found)
		}
		for _, f := range d.Findings {
			if f.Found == "" || f.Means == "" {
				t.Errorf("%s says too little: %+v", f.Name, f)
			}
			words := strings.Join(strings.Fields(text), " ")
			if !strings.Contains(words, f.State+" "+f.Name+" "+f.Found) || !strings.Contains(words, "means: "+f.Means) {
				t.Errorf("in JSON it is %+v, in words\n%s", f, text)
			}
		}
		if uid == nobody {
			if f := d.finding("bpf"); f.State != "missing" || !strings.Contains(f.Found, "CAP_BPF") {
				t.Errorf("without privileges: %+v", f)
			}
			if f := d.finding("low ports"); f.State == "limited" && !strings.Contains(f.Takes, "cap_net_bind_service") {
				t.Errorf("without privileges: %+v", f)
			}
		} else if l, err := net.Listen("tcp", "127.0.0.1:1"); err == nil {
			l.Close()
			if f := d.finding("low ports"); f.State != "ok" {
				t.Errorf("as root: %+v", f)
			}
		}

		// What it says of auto and adopt is what happens.
		auto, adopt := w.port(), w.port()
		w.configure(web(auto, 1), strings.Replace(adopting(adopt, 1, "listen", "tcp4", fmt.Sprintf("127.0.0.1:%d", adopt)), "apps.web", "apps.other", 1))
		daemon := w.start()
		daemon.awaitReady(2)
		s := w.status()
		if a := s.app("web"); a.Listen != d.Listen || a.Count != d.Count {
			t.Errorf("auto comes to %s and %s; doctor says %+v", a.Listen, a.Count, d)
		}
		if a := s.app("other"); !d.Adopt || a.Listen != "adopt" {
			t.Errorf("adopt comes to %s; doctor says %+v", a.Listen, d)
		}
		daemon.stop()
	})
}

// Few open files are a limit that doctor names.
func TestDoctorSeesLimits(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	w.wrap = []string{"/bin/sh", "-c", `ulimit -n 500 && exec "$0" "$@"`}
	text := strings.Join(strings.Fields(w.must("doctor")), " ")
	for _, part := range []string{"! limited open files at most 500", "LimitNOFILE="} {
		if !strings.Contains(text, part) {
			t.Errorf("doctor does not say %q:\n%s", part, text)
		}
	}
}
