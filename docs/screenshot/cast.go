package main

import (
	"encoding/json"
	"io"
	"os"
	"time"
	"unicode/utf8"
)

// recordFile turns what comes out of a file as time passes into a recording in
// the format asciicast v2 (docs.asciinema.org/manual/asciicast/v2), until the
// file ends.
func recordFile(from, to string, w, h int) error {
	in, err := os.Open(from) // waits for the other end
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	if err := record(in, out, w, h, time.Now); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}

// record writes a recording of in to out.
func record(in io.Reader, out io.Writer, w, h int, now func() time.Time) error {
	lines := json.NewEncoder(out)
	header := map[string]any{"version": 2, "width": w, "height": h, "env": map[string]string{"TERM": "xterm-256color"}}
	if err := lines.Encode(header); err != nil {
		return err
	}
	began := now()
	var rest []byte // of a character that is not whole yet
	buf := make([]byte, 1<<16)
	for {
		n, err := in.Read(buf)
		text := append(rest, buf[:n]...)
		whole := wholeRunes(text)
		if whole > 0 {
			at := float64(now().Sub(began).Milliseconds()) / 1000
			if err := lines.Encode([]any{at, "o", string(text[:whole])}); err != nil {
				return err
			}
		}
		rest = append([]byte(nil), text[whole:]...)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// wholeRunes is how much of text is there before a character that goes on.
func wholeRunes(text []byte) int {
	for back := 1; back <= min(utf8.UTFMax, len(text)); back++ {
		if i := len(text) - back; utf8.RuneStart(text[i]) {
			if !utf8.FullRune(text[i:]) {
				return i
			}
			break
		}
	}
	return len(text)
}
