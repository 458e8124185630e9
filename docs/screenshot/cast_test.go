package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/charmbracelet/x/ansi"
)

// TestRecord reads a byte at a time: no character is torn.
func TestRecord(t *testing.T) {
	at := time.Unix(0, 0)
	now := func() time.Time { at = at.Add(500 * time.Millisecond); return at }
	var out bytes.Buffer
	if err := record(iotest.OneByteReader(strings.NewReader("a▁\x1b[1m")), &out, 80, 24, now); err != nil {
		t.Fatal(err)
	}
	want := `{"env":{"TERM":"xterm-256color"},"height":24,"version":2,"width":80}
[0.5,"o","a"]
[1,"o","▁"]
[1.5,"o","\u001b"]
[2,"o","["]
[2.5,"o","1"]
[3,"o","m"]
`
	if got := out.String(); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// grid is a terminal's screen without its colours.
type grid struct {
	cells [][]string // "" is the right half of the one before
	x, y  int
}

func newGrid(w, h int) *grid {
	g := &grid{cells: make([][]string, h)}
	for y := range g.cells {
		g.cells[y] = make([]string, w)
		g.erase(y, 0)
	}
	return g
}

func (g *grid) erase(y, from int) {
	for x := from; x < len(g.cells[y]); x++ {
		g.cells[y][x] = " "
	}
}

// write does what text says, and refuses what it does not know or has no room for.
func (g *grid) write(text string) error {
	for len(text) > 0 {
		seq, w, n, _ := ansi.DecodeSequence(text, 0, nil)
		text = text[n:]
		if w == 0 {
			if err := g.control(seq); err != nil {
				return err
			}
			continue
		}
		if g.y >= len(g.cells) || g.x+w > len(g.cells[g.y]) {
			return fmt.Errorf("%q is written at column %d of row %d", seq, g.x+1, g.y+1)
		}
		g.cells[g.y][g.x] = seq
		if w == 2 {
			g.cells[g.y][g.x+1] = ""
		}
		g.x += w
	}
	return nil
}

func (g *grid) control(seq string) error {
	params, found := strings.CutPrefix(seq, "\x1b[")
	if !found {
		return fmt.Errorf("%q is no sequence of a dashboard", seq)
	}
	switch final := params[len(params)-1]; {
	case params == "2J":
		for y := range g.cells {
			g.erase(y, 0)
		}
	case params == "K":
		g.erase(g.y, g.x)
	case final == 'H':
		row, column, _ := strings.Cut(params[:len(params)-1], ";")
		g.y, g.x = place(row), place(column)
	case final == 'm', params == "?2026h", params == "?2026l":
	default:
		return fmt.Errorf("%q is no sequence of a dashboard", seq)
	}
	return nil
}

// place is a parameter as an index: from 0, which nothing means as well.
func place(param string) int {
	n, _ := strconv.Atoi(param)
	return max(n-1, 0)
}

func (g *grid) String() string {
	var b strings.Builder
	for _, row := range g.cells {
		b.WriteString(strings.TrimRight(strings.Join(row, ""), " ") + "\n")
	}
	return b.String()
}

// TestRecordingPlays plays the recording of this repository, and sees all that it
// is to show on a screen that is whole all the time.
func TestRecordingPlays(t *testing.T) {
	file, err := os.Open("../dashboard.cast")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	var header struct{ Version, Width, Height int }
	if !lines.Scan() || json.Unmarshal(lines.Bytes(), &header) != nil || header.Version != 2 {
		t.Fatalf("it is no asciicast v2: %s", lines.Bytes())
	}
	shown := map[string]bool{
		"req/s": false, "SHARE": false, // the overview
		"What runs": false, "Latency of the last": false, // the details
		"lines selected": false, "/GET": false, // the log
		"reloading web": false, "web reloaded in": false,
		"Act on the selected": false, // the help
	}
	g := newGrid(header.Width, header.Height)
	last, frames := 0.0, 0
	for lines.Scan() {
		var event []any
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil || len(event) != 3 {
			t.Fatalf("no event: %s", lines.Bytes())
		}
		at, ok := event[0].(float64)
		text, isText := event[2].(string)
		if !ok || !isText || event[1] != "o" || at < last {
			t.Fatalf("an event that is no output, or out of order, after %gs: %.100s", last, lines.Bytes())
		}
		last = at
		if err := g.write(text); err != nil {
			t.Fatalf("after %gs: %v", at, err)
		}
		frames++
		screen := g.String()
		for text := range shown {
			shown[text] = shown[text] || strings.Contains(screen, text)
		}
		if first := strings.Join(g.cells[0], ""); !strings.Contains(first, "ready") || !strings.Contains(first, "req/s") {
			t.Fatalf("after %gs the screen is not that of a dashboard:\n%s", at, screen)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	for text, seen := range shown {
		if !seen {
			t.Errorf("%q is never on the screen", text)
		}
	}
	if last < 10 || frames < 50 {
		t.Errorf("it lasts %gs and has %d frames, which is too little to see anything", last, frames)
	}
}
