package tui

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/charmbracelet/x/ansi"
)

// slowWriter takes its time, and keeps what is written.
type slowWriter struct {
	mu     sync.Mutex
	delay  time.Duration
	writes []string
}

func (w *slowWriter) Write(p []byte) (int, error) {
	time.Sleep(w.delay)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writes = append(w.writes, string(p))
	return len(p), nil
}

// displayed runs a display on w, whose alternate screen is on, for as long as
// what is done with it takes.
func displayed(w *slowWriter, do func(*display)) {
	d := newDisplay(w)
	fmt.Fprint(modes{d}, ansi.SetModeAltScreenSaveCursor)
	stop, drawn := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(drawn)
		d.draw(stop)
	}()
	do(d)
	close(stop)
	<-drawn
}

func TestOnlyChangesAreDrawn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &slowWriter{}
		displayed(w, func(d *display) {
			for _, text := range []string{"one\ntwo\nsix", "one\nTWO\nsix", "one\nTWO\nsix", "12345\nTWO\nsix"} {
				d.show(frame{text, 5})
				time.Sleep(time.Second)
			}
			d.show(frame{"one\ntwo", 5}) // another size
			time.Sleep(time.Second)
			d.repaint()
			time.Sleep(time.Second)
		})
		frame := func(s string) string {
			return ansi.SetModeSynchronizedOutput + s + ansi.ResetModeSynchronizedOutput
		}
		want := []string{
			ansi.SetModeAltScreenSaveCursor,
			frame("\x1b[2J\x1b[Hone\x1b[K\x1b[2;1Htwo\x1b[K\x1b[3;1Hsix\x1b[K"),
			frame("\x1b[2;1HTWO\x1b[K"),
			frame("\x1b[H12345"), // the last cell stays
			frame("\x1b[2J\x1b[Hone\x1b[K\x1b[2;1Htwo\x1b[K"),
			frame("\x1b[2J\x1b[Hone\x1b[K\x1b[2;1Htwo\x1b[K"),
		}
		if got := w.writes; fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
			t.Errorf("written:\n%q, want\n%q", got, want)
		}
	})
}

// TestSlowTerminalLeavesFramesOut: whoever shows frames never waits, and what is
// shown in the end is the last of them.
func TestSlowTerminalLeavesFramesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &slowWriter{delay: 10 * time.Second}
		displayed(&slowWriter{}, func(*display) {})
		d := newDisplay(w)
		d.ours = true
		stop, drawn := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(drawn)
			d.draw(stop)
		}()
		began := time.Now()
		for i := range 1000 {
			d.show(frame{fmt.Sprint("frame ", i), 80})
			time.Sleep(10 * time.Millisecond)
		}
		if took := time.Since(began); took > 11*time.Second {
			t.Errorf("showing 1000 frames took %s", took)
		}
		time.Sleep(time.Minute)
		close(stop)
		<-drawn
		if n := len(w.writes); n > 4 || !strings.Contains(w.writes[n-1], "frame 999") {
			t.Errorf("%d frames are written, the last one is %q", n, w.writes[n-1])
		}
	})
}

// TestNothingIsDrawnOnTheShellsScreen: the frame that is late comes when the
// shell has the terminal again.
func TestNothingIsDrawnOnTheShellsScreen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &slowWriter{}
		displayed(w, func(d *display) {
			fmt.Fprint(modes{d}, ansi.ResetModeAltScreenSaveCursor)
			d.show(frame{"late", 80})
			time.Sleep(time.Second)
			fmt.Fprint(modes{d}, ansi.CursorHomePosition+" ") // Bubble Tea's own frame
		})
		if len(w.writes) != 2 {
			t.Errorf("written: %q", w.writes)
		}
		displayed(&slowWriter{}, func(d *display) {
			var b bytes.Buffer
			d.out = &b
			if err := d.clipboard("héllo", terminal{}.get); err != nil || b.String() != "\x1b]52;c;aMOpbGxv\a" {
				t.Errorf("%q, %v", b.String(), err)
			}
		})
	})
}
