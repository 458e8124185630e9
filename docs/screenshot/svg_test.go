package main

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	runs, state := parse("ab \x1b[1;32mgo\x1b[39m!\x1b[7m漢▃", plain)
	want := []run{
		{0, 3, "ab ", plain},
		{3, 2, "go", look{color: 2, bold: true}},
		{5, 1, "!", look{color: -1, bold: true}},
		{6, 2, "漢", look{color: -1, bold: true, reverse: true}},
		{8, 1, "▃", look{color: -1, bold: true, reverse: true}},
	}
	if len(runs) != len(want) {
		t.Fatalf("%+v, want %+v", runs, want)
	}
	for i := range want {
		if runs[i] != want[i] {
			t.Errorf("%+v, want %+v", runs[i], want[i])
		}
	}
	if state != want[4].look {
		t.Errorf("the next line begins with %+v", state)
	}
	if _, state = parse("\x1b[0m", state); state != plain {
		t.Errorf("after a reset: %+v", state)
	}
}

func TestBlocksFillTheirPart(t *testing.T) {
	for r, want := range map[rune]float64{'▁': cellHeight / 8, '▄': cellHeight / 2, '█': cellHeight} {
		if h := block(r); h != want {
			t.Errorf("%c is %g high, want %g", r, h, want)
		}
	}
}

func TestRenderIsXML(t *testing.T) {
	svg := render("a <b> & \"c\" \x1b[31m'd'\x1b[m\n\x1b[7m>▾ row\n▁█\n", 20)
	d := xml.NewDecoder(strings.NewReader(svg))
	var text strings.Builder
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in %s", err, svg)
		}
		if c, ok := tok.(xml.CharData); ok {
			text.Write(c)
		}
	}
	for _, want := range []string{`a <b> & "c"`, "'d'", ">▾ row"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in %q", want, text.String())
		}
	}
}
