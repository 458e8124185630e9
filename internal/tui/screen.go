package tui

import (
	"bytes"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/aymanbagabas/go-osc52/v2"
	"github.com/charmbracelet/x/ansi"
)

// frameEvery is how long there is between two frames at least.
const frameEvery = time.Second / 30

// display is what the dashboard is shown on. Frames are drawn by itself: Bubble
// Tea's renderer wakes up for each frame there might be, which costs more than
// the whole rest of a dashboard at which nobody looks. Bubble Tea still does what
// concerns the terminal's modes.
//
// A terminal that is slow keeps only draw waiting: show never blocks, and a frame
// that was not drawn in time is left out.
type display struct {
	out  io.Writer
	mu   sync.Mutex // writes are whole
	ours bool       // the alternate screen is on; nothing is drawn on the other one

	frames chan frame // the newest one that is not drawn yet
	last   frame      // only draw uses it
	again  chan struct{}
}

// frame is a whole screen of w cells.
type frame struct {
	text string
	w    int
}

// fits tells whether two frames are of the same size.
func (f frame) fits(o frame) bool {
	return f.w == o.w && strings.Count(f.text, "\n") == strings.Count(o.text, "\n")
}

func newDisplay(out io.Writer) *display {
	return &display{out: out, frames: make(chan frame, 1), again: make(chan struct{}, 1)}
}

// show has a frame drawn, instead of one that still waits to be. Only one
// goroutine may call it.
func (d *display) show(f frame) {
	select {
	case <-d.frames:
	default:
	}
	d.frames <- f
}

// repaint has all of the last frame drawn once more.
func (d *display) repaint() {
	select {
	case d.again <- struct{}{}:
	default:
	}
}

// draw draws frames until stop is closed. What has not changed is not written.
func (d *display) draw(stop <-chan struct{}) {
	var drawn time.Time
	for {
		next, again := d.last, false
		select {
		case <-stop:
			return
		case <-d.again:
			again = true
		case next = <-d.frames:
		}
		// Before a frame rather than after each: mostly none follows so soon.
		if wait := frameEvery - time.Since(drawn); wait > 0 {
			select {
			case <-stop:
				return
			case <-time.After(wait):
			}
			select {
			case next = <-d.frames:
			default:
			}
		}
		if next.text == "" || next == d.last && !again {
			continue
		}
		if err := d.paint(changes(d.last, next, again || !next.fits(d.last))); err != nil {
			return // Bubble Tea finds out by itself
		}
		d.last, drawn = next, time.Now()
	}
}

// changes is what turns one frame on the screen into the next.
func changes(last, next frame, whole bool) []byte {
	var b bytes.Buffer
	b.WriteString(ansi.SetModeSynchronizedOutput) // shown at once, where the terminal knows how to
	var before []string
	if whole {
		b.WriteString(ansi.EraseEntireScreen)
	} else {
		before = strings.Split(last.text, "\n")
	}
	for i, line := range strings.Split(next.text, "\n") {
		if i < len(before) && before[i] == line {
			continue
		}
		b.WriteString(ansi.CursorPosition(1, i+1))
		b.WriteString(line)
		if width(line) < next.w { // or the last cell would go, too
			b.WriteString(ansi.EraseLineRight)
		}
	}
	b.WriteString(ansi.ResetModeSynchronizedOutput)
	return b.Bytes()
}

func (d *display) paint(p []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.ours {
		return nil
	}
	_, err := d.out.Write(p)
	return err
}

func (d *display) write(p []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, err := d.out.Write(p)
	return err
}

// clipboard asks the terminal to take text for its clipboard.
func (d *display) clipboard(text string, env func(string) string) error {
	seq := osc52.New(text)
	if env("STY") != "" { // GNU screen passes it on only when it is wrapped
		seq = seq.Screen()
	}
	return d.write([]byte(seq.String()))
}

// modes is the display as Bubble Tea sees it: it may set modes, and the frames
// that it draws, which are empty, are left out.
type modes struct{ *display }

func (m modes) Write(p []byte) (int, error) {
	if bytes.HasPrefix(p, []byte(ansi.CursorHomePosition)) {
		return len(p), nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case bytes.Contains(p, []byte(ansi.SetModeAltScreenSaveCursor)):
		m.ours = true
	case bytes.Contains(p, []byte(ansi.ResetModeAltScreenSaveCursor)):
		m.ours = false
	}
	return m.out.Write(p)
}

// terminalModes is modes on a terminal, which Bubble Tea wants to be a file.
type terminalModes struct {
	*os.File
	modes modes
}

func (t terminalModes) Write(p []byte) (int, error)       { return t.modes.Write(p) }
func (t terminalModes) WriteString(s string) (int, error) { return t.modes.Write([]byte(s)) }
