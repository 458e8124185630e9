package tui

import (
	"fmt"
	"strings"
	"testing"
)

// draw shows a layout as letters, one for each cell of a part.
func draw(t *testing.T, w, h int, s screen) string {
	t.Helper()
	cells := make([][]byte, h)
	for y := range cells {
		cells[y] = []byte(strings.Repeat(".", w))
	}
	for _, p := range []struct {
		letter byte
		rect   rect
	}{{'H', s.header}, {'T', s.tree}, {'D', s.detail}, {'L', s.log}, {'F', s.footer}} {
		for y := p.rect.y; y < p.rect.y+p.rect.h; y++ {
			for x := p.rect.x; x < p.rect.x+p.rect.w; x++ {
				if y < 0 || y >= h || x < 0 || x >= w {
					t.Fatalf("%c leaves a screen of %dx%d: %+v", p.letter, w, h, p.rect)
				}
				if cells[y][x] != '.' {
					t.Fatalf("%c lies over %c at %d,%d on %dx%d", p.letter, cells[y][x], x, y, w, h)
				}
				cells[y][x] = p.letter
			}
		}
	}
	var b strings.Builder
	for _, row := range cells {
		b.Write(row)
		b.WriteByte('\n')
	}
	return b.String()
}

// rows shortens a drawing to one line per kind of row: "1 H, 11 T, ...".
func rows(drawing string) string {
	var out []string
	last, n := "", 0
	flush := func() {
		if n > 0 {
			out = append(out, fmt.Sprintf("%d %s", n, last))
		}
	}
	for row := range strings.Lines(drawing) {
		kind := ""
		for i, c := range []byte(strings.TrimSpace(row)) {
			if i == 0 || kind[len(kind)-1] != c {
				kind += string(c)
			}
		}
		if kind != last {
			flush()
			last, n = kind, 0
		}
		n++
	}
	flush()
	return strings.Join(out, ", ")
}

func TestLayout(t *testing.T) {
	for _, c := range []struct {
		w, h int
		a    arrangement
		want string
	}{
		{80, 24, arrangement{rows: 10, footer: 1}, "1 H, 11 T, 11 L, 1 F"},
		{80, 24, arrangement{rows: 500, footer: 1}, "1 H, 13 T, 9 L, 1 F"},
		{80, 24, arrangement{rows: 10, footer: 3}, "1 H, 11 T, 9 L, 3 F"},
		{80, 24, arrangement{rows: 0, footer: 1}, "1 H, 3 T, 19 L, 1 F"},
		{80, 24, arrangement{rows: 10, footer: 1, zoom: true, focus: paneTree}, "1 H, 22 T, 1 F"},
		{80, 24, arrangement{rows: 10, footer: 1, zoom: true, focus: paneLogs}, "1 H, 22 L, 1 F"},
		{120, 40, arrangement{rows: 10, footer: 1}, "1 H, 11 T, 27 L, 1 F"},
		{200, 60, arrangement{rows: 10, footer: 1, detail: 18}, "1 H, 18 T.D, 40 L, 1 F"},
		{80, 24, arrangement{rows: 10, footer: 1, focus: paneDetail}, "1 H, 22 D, 1 F"},
		{200, 60, arrangement{rows: 10, footer: 1, detail: 18, focus: paneDetail}, "1 H, 18 T.D, 40 L, 1 F"},
		{200, 60, arrangement{rows: 10, footer: 1, detail: 18, zoom: true, focus: paneDetail}, "1 H, 58 D, 1 F"},
		{200, 60, arrangement{rows: 900, footer: 1, detail: 18}, "1 H, 34 T.D, 24 L, 1 F"},
	} {
		s := layout(c.w, c.h, c.a)
		if got := rows(draw(t, c.w, c.h, s)); got != c.want {
			t.Errorf("%dx%d %+v: %s, want %s", c.w, c.h, c.a, got, c.want)
		}
	}
	for w := minWidth; w < 250; w += 7 {
		for h := minHeight; h < 90; h += 5 {
			for rows := 0; rows < 60; rows += 7 {
				s := layout(w, h, arrangement{rows: rows, detail: detailLines, footer: 1 + rows%3})
				draw(t, w, h, s)
				if s.tree.h < 2 || s.log.h < 2 {
					t.Fatalf("%dx%d with %d rows: %+v", w, h, rows, s)
				}
			}
		}
	}
	if !layout(minWidth-1, minHeight, arrangement{}).tooSmall || !layout(minWidth, minHeight-1, arrangement{}).tooSmall {
		t.Error("too small a screen is not told")
	}
}
