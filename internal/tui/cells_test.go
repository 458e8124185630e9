package tui

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"
)

func themeFor(env terminal) *theme { return newTheme(env.get) }

func TestCut(t *testing.T) {
	th := themeFor(utf8NoColor)
	for _, c := range []struct {
		text string
		w    int
		want string
	}{
		{"hello", 5, "hello"}, {"hello", 4, "hel…"}, {"hello", 1, "…"}, {"hello", 0, ""}, {"hello", -1, ""},
		{"漢字漢字", 8, "漢字漢字"}, {"漢字漢字", 7, "漢字漢…"}, {"漢字漢字", 6, "漢字…"}, {"", 3, ""},
	} {
		if got := th.cut(c.text, c.w); got != c.want {
			t.Errorf("cut(%q, %d) = %q, want %q", c.text, c.w, got, c.want)
		}
	}
}

func TestClean(t *testing.T) {
	color, none := themeFor(terminal{"LANG": "C.UTF-8"}), themeFor(utf8NoColor)
	for _, c := range []struct{ text, color, none string }{
		{"plain", "plain", "plain"},
		{"\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m\x1b[m", "red"},
		{"a\tb", "a       b", "a       b"},
		{"1234567\tb", "1234567 b", "1234567 b"},
		{"\x1b[2Jgone\x1b[H", "gone", "gone"},
		{"\x1b]0;title\a!", "!", "!"},
		{"bad \xff byte", "bad ? byte", "bad ? byte"},
		{"\x1b[31", "", ""},
		{"e\u0301", "e\u0301", "e\u0301"},
	} {
		if got := color.clean(c.text); got != c.color {
			t.Errorf("with colour clean(%q) = %q, want %q", c.text, got, c.color)
		}
		if got := none.clean(c.text); got != c.none {
			t.Errorf("without colour clean(%q) = %q, want %q", c.text, got, c.none)
		}
	}
}

// TestWrapLosesNothing wraps random text: every row fits, and together they
// are the text.
func TestWrapLosesNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	alphabet := []string{"a", "b", " ", "é", "漢", "👩‍🔬", "\x1b[31m", "\x1b[m"}
	for range 2000 {
		var b strings.Builder
		for range r.IntN(60) {
			b.WriteString(alphabet[r.IntN(len(alphabet))])
		}
		w := 2 + r.IntN(20)
		rows := wrap(b.String(), w)
		for _, row := range rows {
			if n := width(row); n > w {
				t.Fatalf("a row of %q in %d cells has %d: %q", b.String(), w, n, row)
			}
		}
		if got, want := ansi.Strip(strings.Join(rows, "")), ansi.Strip(b.String()); got != want {
			t.Fatalf("%q in %d cells became %q", want, w, got)
		}
	}
}

func TestWords(t *testing.T) {
	th := themeFor(utf8NoColor)
	got := th.words("cannot start web: no such command was found anywhere", 20, 2)
	if want := []string{"cannot start web: no", "such command was fo…"}; strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("words: %q, want %q", got, want)
	}
}
