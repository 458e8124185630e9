package proc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"clusterd/internal/config"
)

// reports are what a log file told the user.
type reports struct {
	mu  sync.Mutex
	all []string
}

func (r *reports) add(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, text)
}

func (r *reports) has(part string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Contains(strings.Join(r.all, "\n"), part)
}

func startLogFile(t *testing.T, cfg config.Log) (*logFile, *reports) {
	t.Helper()
	told := &reports{}
	f := newLogFile("web", cfg, told.add)
	t.Cleanup(func() {
		f.close()
		<-f.ended
	})
	return f, told
}

// finished closes the file and returns its text.
func finished(t *testing.T, f *logFile) string {
	t.Helper()
	f.close()
	<-f.ended
	b, err := os.ReadFile(f.config.File)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func lineOf(stream Stream, text string) Line {
	at := time.Date(2026, 1, 2, 15, 4, 5, 6e6, time.UTC)
	return Line{At: at, Instance: "web/0", Stream: stream, Text: text}
}

func TestLogFileFormats(t *testing.T) {
	lines := []Line{lineOf(StreamOut, "\x1b[32mGET\x1b[0m /"), lineOf(StreamErr, `a "b" <c>`), lineOf(StreamEvent, "ready")}
	for format, want := range map[config.LogFormat]string{
		config.LogText: "2026-01-02T15:04:05.006Z web/0 | GET /\n2026-01-02T15:04:05.006Z web/0 ! a \"b\" <c>\n2026-01-02T15:04:05.006Z web/0 * ready\n",
		config.LogJSON: `{"at":"2026-01-02T15:04:05.006Z","instance":"web/0","stream":"out","text":"GET /"}` + "\n" +
			`{"at":"2026-01-02T15:04:05.006Z","instance":"web/0","stream":"err","text":"a \"b\" \u003cc\u003e"}` + "\n" +
			`{"at":"2026-01-02T15:04:05.006Z","instance":"web/0","stream":"event","text":"ready"}` + "\n",
	} {
		f, _ := startLogFile(t, config.Log{File: filepath.Join(t.TempDir(), "new", "web.log"), MaxSize: 1 << 20, Format: format})
		f.add(lines)
		got := finished(t, f)
		if got != want {
			t.Errorf("%s:\n%s\nwant\n%s", format, got, want)
		}
		if format == config.LogJSON && !json.Valid([]byte(strings.Split(got, "\n")[1])) {
			t.Errorf("no JSON: %s", got)
		}
	}
}

// Files are as big as they may be and no bigger, there are as many as are to be
// kept, and no line is torn or missing between them.
func TestLogFileRotates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "web.log")
	f, told := startLogFile(t, config.Log{File: path, MaxSize: 2048, Keep: 3, Format: config.LogText})
	for n := range 200 {
		f.add([]Line{lineOf(StreamOut, fmt.Sprintf("line %03d %s", n, strings.Repeat("x", 30)))})
	}
	text := finished(t, f)
	next := 199
	for _, part := range []string{text, read(t, path+".1"), read(t, path+".2"), read(t, path+".3")} {
		if len(part) > 2048 {
			t.Errorf("%d bytes in one file", len(part))
		}
		lines := strings.Split(strings.TrimSuffix(part, "\n"), "\n")
		for i := len(lines) - 1; i >= 0; i-- {
			if !strings.Contains(lines[i], fmt.Sprintf("| line %03d xxx", next)) {
				t.Fatalf("%q, want line %d", lines[i], next)
			}
			next--
		}
	}
	if files, _ := filepath.Glob(path + "*"); len(files) != 4 {
		t.Errorf("files: %v", files)
	}
	if next > 120 || len(told.all) > 0 {
		t.Errorf("down to line %d; %v", next, told.all)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestLogFileKeepsNone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "web.log")
	f, _ := startLogFile(t, config.Log{File: path, MaxSize: 1024, Format: config.LogText})
	for n := range 100 {
		f.add([]Line{lineOf(StreamOut, fmt.Sprint("line ", n))})
	}
	if text := finished(t, f); len(text) > 1024 || !strings.HasSuffix(text, "line 99\n") {
		t.Errorf("%d bytes: %s", len(text), text)
	}
	if files, _ := filepath.Glob(path + "*"); len(files) != 1 {
		t.Errorf("files: %v", files)
	}
}

// A file that somebody moves away is begun anew, and a line that was cut off is
// not continued.
func TestLogFileIsMovedAway(t *testing.T) {
	path := filepath.Join(t.TempDir(), "web.log")
	if err := os.WriteFile(path, []byte("cut o"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := &rotatingFile{path: path, maxSize: 1 << 20, keep: 1}
	defer f.close()
	write := func(text string) {
		t.Helper()
		if err := f.write([]byte(text + "\n")); err != nil {
			t.Fatal(err)
		}
		f.lookedForItself = time.Time{} // long ago
		if err := f.flush(); err != nil {
			t.Fatal(err)
		}
	}
	write("one")
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	write("two")
	write("three")
	if old, now := read(t, path+".old"), read(t, path); old != "cut o\none\ntwo\n" || now != "three\n" {
		t.Errorf("%q, %q", old, now)
	}
}

// A disk that is full is told once, and so is its end, with how much is missing.
func TestLogFileOnFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skip("needs to mount a small file system: ", err)
	}
	defer func() { _ = unix.Unmount(dir, unix.MNT_DETACH) }()
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 60<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	f, told := startLogFile(t, config.Log{File: filepath.Join(dir, "web.log"), MaxSize: 1 << 20, Keep: 1, Format: config.LogText})
	long := lineOf(StreamOut, strings.Repeat("x", 60<<10))
	f.add([]Line{long})
	eventually(t, "the full disk to be told", func() any { return told.all }, func() bool {
		return told.has("cannot write the log file: write " + f.config.File + ": no space left on device; lines are missing in it from now on")
	})
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the file to be written again", func() any { return told.all }, func() bool {
		f.add([]Line{lineOf(StreamOut, "again")})
		return told.has("is written again; ")
	})
	if n := len(told.all); n != 2 {
		t.Errorf("%d reports: %v", n, told.all)
	}
	if text := finished(t, f); !strings.Contains(text, "lines lost: this file could not be written\n") || !strings.Contains(text, "| again\n") {
		t.Errorf("%s", text[max(0, len(text)-500):])
	}
}

// Where a file cannot even be made, that is told; where it only cannot be
// renamed, it grows on.
func TestLogFileInClosedFolder(t *testing.T) {
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f, told := startLogFile(t, config.Log{File: filepath.Join(blocked, "web.log"), MaxSize: 1 << 20, Format: config.LogText})
	f.add([]Line{lineOf(StreamOut, "x")})
	eventually(t, "the folder to be told", func() any { return told.all }, func() bool { return told.has("not a directory") })

	path := filepath.Join(t.TempDir(), "web.log")
	if err := os.MkdirAll(path+".1/x", 0o700); err != nil { // nothing can be renamed to it
		t.Fatal(err)
	}
	g, told := startLogFile(t, config.Log{File: path, MaxSize: 1024, Keep: 1, Format: config.LogText})
	for n := range 100 {
		g.add([]Line{lineOf(StreamOut, fmt.Sprint("line ", n))})
	}
	text := finished(t, g)
	if n := strings.Count(text, "\n"); n != 100 || !told.has("cannot rotate the log file: ") || len(told.all) != 1 {
		t.Errorf("%d lines; %v", n, told.all)
	}
}

// What waits for a disk that hangs is bounded, nobody waits for it, and the file
// says how much is missing.
func TestLogFileOnSlowDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	f, _ := startLogFile(t, config.Log{File: path, MaxSize: 1 << 40, Format: config.LogText})
	reader, err := os.OpenFile(path, os.O_RDWR, 0) // so that a write blocks once the pipe is full
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	text := strings.Repeat("x", 32<<10)
	const lines = 1000
	for range lines {
		f.add([]Line{lineOf(StreamOut, text)})
	}
	f.mu.Lock()
	queued := f.bytes
	f.mu.Unlock()
	if queued > logQueue {
		t.Errorf("%d bytes are queued", queued)
	}
	f.close()
	note := regexp.MustCompile(` web \* (\d+) lines dropped: they came faster than this file could be written\n`)
	var got bytes.Buffer
	buf := make([]byte, 1<<20)
	for written, dropped := 0, 0; written+dropped < lines; {
		n, err := reader.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		got.Write(buf[:n])
		written, dropped = strings.Count(got.String(), text), 0
		for _, m := range note.FindAllStringSubmatch(got.String(), -1) { // the disk may be slow twice
			n, _ := strconv.Atoi(m[1])
			dropped += n
		}
		if written+dropped > lines || written > lines/2 {
			t.Fatalf("of %d lines %d are written, and %d dropped", lines, written, dropped)
		}
	}
	<-f.ended
}
