package proc

import (
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"unicode"
	"unicode/utf8"
)

func collect(r io.Reader) (lines []string) {
	capture(r, nil, func(more []string) { lines = append(lines, more...) })
	return lines
}

func TestCapture(t *testing.T) {
	long := strings.Repeat("x", maxLine)
	for _, x := range []struct {
		name, in string
		want     []string
	}{
		{"nothing", "", nil},
		{"lines", "a\nb\n", []string{"a", "b"}},
		{"no last line end", "a\nb", []string{"a", "b"}},
		{"empty lines", "\n\n", []string{"", ""}},
		{"dos", "a\r\nb\r\n", []string{"a", "b"}},
		{"a progress bar", "10%\r20%\r30%\ndone\n", []string{"30%", "done"}},
		{"tabs", "a\tb\n", []string{"a       b"}},
		{"colours stay", "\x1b[31mred\x1b[0m\n", []string{"\x1b[31mred\x1b[0m"}},
		{"the rest goes", "a\x1b[2Jb\x1b]0;title\ac\x1b[?25ld\x07\x00e\n", []string{"abcde"}},
		{"an unfinished sequence", "a\x1b[31\nb\n", []string{"a", "b"}},
		{"an unfinished title", "a\x1b]0;evil\nb\n", []string{"a", "b"}},
		{"not UTF-8", "a\xff\xfeb\n", []string{"a\uFFFDb"}},
		{"C1 controls", "a\u009b31mb\n", []string{"a31mb"}},
		{"wide", "日本語 é e\u0301 👩\u200d💻\n", []string{"日本語 é e\u0301 👩\u200d💻"}},
		{"long", long + "yz\n", []string{long, "yz"}},
		{"very long", long + long + long, []string{long, long, long}},
	} {
		t.Run(x.name, func(t *testing.T) {
			for name, r := range map[string]io.Reader{
				"whole":      strings.NewReader(x.in),
				"by halves":  iotest.HalfReader(strings.NewReader(x.in)),
				"with error": iotest.DataErrReader(strings.NewReader(x.in)),
			} {
				if got := collect(r); !slices.Equal(got, x.want) {
					t.Errorf("%s: %.200q, want %.200q", name, got, x.want)
				}
			}
		})
	}
}

// A rune that a split line cuts in two comes out whole.
func TestCaptureSplitsBetweenRunes(t *testing.T) {
	in := strings.Repeat("x", maxLine-1) + "é"
	if got := collect(strings.NewReader(in)); len(got) != 2 || strings.Join(got, "") != in {
		t.Errorf("%d lines, the second %.20q", len(got), got[1])
	}
}

// Lines that are read together come out as each would alone.
func TestLinesReadTogether(t *testing.T) {
	for _, in := range []string{
		"\n", "\n\n\n", "a\n\nb\n", "some text that stays\na\tb\nmore that stays\n\x1b[31mred\n",
		"a\n\x1b]0;a title that is longer than all of the rest together\x07\nb\n",
	} {
		var want []string
		for line := range strings.Lines(in) {
			want = append(want, clean([]byte(line[:len(line)-1])))
		}
		if got := cleanLines(nil, []byte(in)); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// Every byte is looked at, wherever it is.
func TestPlain(t *testing.T) {
	for c := range 256 {
		for at := range 17 {
			b := []byte(strings.Repeat("x~ ", 6))[:17]
			b[at] = byte(c)
			if got, want := plain(b), c >= ' ' && c < 0x7f; got != want {
				t.Fatalf("plain(%q) is %t", b, got)
			}
		}
	}
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"plain", "\x1b[1;31mx\x1b[m", "a\tb\rc", "\x1b]8;;http://x\x1b\\y", "\xff\x9b", "\u0301"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		out := clean(in)
		if !utf8.ValidString(out) {
			t.Fatalf("%q is no UTF-8", out)
		}
		rest := out
		for {
			before, after, found := strings.Cut(rest, "\x1b")
			if strings.ContainsFunc(before, unicode.IsControl) {
				t.Fatalf("%q holds a control character", out)
			}
			if !found {
				return
			}
			end := strings.IndexFunc(after, func(r rune) bool { return !strings.ContainsRune("[0123456789;:", r) })
			if end < 1 || after[end] != 'm' {
				t.Fatalf("%q holds an escape sequence that is no colour", out)
			}
			rest = after[end+1:]
		}
	})
}

// However much a process writes, the writer is never held up and the log stays
// bounded.
func TestFloodIsBounded(t *testing.T) {
	j := newJournal()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		capture(r, nil, func(lines []string) { j.append("a/0", StreamOut, lines...) })
	}()
	chunk := []byte(strings.Repeat(strings.Repeat("y", 99)+"\n", 1000))
	for range 640 { // 64 MB
		if _, err := w.Write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	<-done
	r.Close()
	ring := j.rings["a/0"]
	if ring.bytes > ringBytes || len(ring.lines) > ringLines {
		t.Errorf("%d bytes in %d lines are kept", ring.bytes, len(ring.lines))
	}
	page := j.page(LogQuery{Limit: 1 << 30})
	if kept := uint64(len(page.Lines)); kept+page.Dropped != 640_000 {
		t.Errorf("%d kept and %d dropped of 640,000", kept, page.Dropped)
	}
}
