package proc

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"clusterd/internal/config"
)

// floodOf is the worst that a process can write, in bytes: lines of 30 MB, text
// that is no UTF-8, control characters, escape sequences without an end, and no
// line end at last.
func floodOf(total int) {
	out := bufio.NewWriterSize(os.Stdout, 1<<16)
	defer out.Flush()
	parts := [][]byte{
		bytes.Repeat([]byte("a long line "), 40<<10),
		bytes.Repeat([]byte{0xff, 0xc3, 'x'}, 4<<10),
		make([]byte, 32<<10),
		[]byte("\x1b]0;a title without an end "),
		bytes.Repeat([]byte("\x1b[31"), 1<<10),
		bytes.Repeat([]byte("\x1b[1mbold\x1b[0m"), 1<<10),
	}
	written, line := 0, 0
	for n := 0; written < total; n++ {
		part := parts[n%len(parts)]
		written += len(part)
		line += len(part)
		_, _ = out.Write(part)
		if line > 30<<20 || n%len(parts) == 4 && n%5 == 0 {
			line = 0
			_ = out.WriteByte('\n')
		}
	}
}

// A process that floods its output gets it all out, whoever reads or does not;
// what is kept of it is bounded; and others go on meanwhile.
func TestFlood(t *testing.T) {
	total := 600_000_000
	if raceEnabled {
		total = 20_000_000
	}
	a := job("flood", 1, fmt.Sprint("flood ", total))
	a.Restart = config.RestartNever
	a.Log = config.Log{File: filepath.Join(t.TempDir(), "flood.log"), MaxSize: 1 << 20, Keep: 1, Format: config.LogText}
	quiet := worker("quiet", 1)
	quiet.Command = config.Command{Line: "while sleep 0.05; do echo tick; done", Shell: "/bin/sh"}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r := runReal(t, false, a, quiet)
	ticks := 0
	s := r.becomes("the end of the flood", func(s *Snapshot) bool {
		page, _ := r.Logs(context.Background(), LogQuery{Targets: []string{"quiet"}})
		ticks = len(page.Lines)
		return s.Apps[0].State == StateDone || s.Apps[0].State == StateFailed
	})
	runtime.ReadMemStats(&after)
	if s.Apps[0].State != StateDone {
		t.Errorf("the flood is %s: %s", s.Apps[0].State, s.Apps[0].Reason)
	}
	if grown := int64(after.Sys) - int64(before.Sys); grown > 128<<20 {
		t.Errorf("%d bytes of memory more", grown)
	}
	if !raceEnabled && ticks < 3 {
		t.Errorf("the other app wrote %d lines meanwhile", ticks)
	}
	page, _ := r.Logs(context.Background(), LogQuery{Targets: []string{"flood"}, Limit: ringLines})
	for _, l := range page.Lines {
		if len(l.Text) > 3*maxLine {
			t.Errorf("a line of %d bytes", len(l.Text))
		}
		if strings.ContainsAny(l.Text, "\x00\x07\r") {
			t.Errorf("a line with control characters: %.100q", l.Text)
			break
		}
	}
	if page.Dropped == 0 {
		t.Error("nothing was dropped")
	}
	r.stop()
	if err := r.ends(); err != nil {
		t.Error(err)
	}
}
