package tui

import (
	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"
)

// keyMap is every key there is. The help is made from it.
type keyMap struct {
	up, down, halfUp, halfDown, top, bottom key.Binding
	fold, unfold, toggle                    key.Binding
	next, toTree, toLogs, zoom              key.Binding

	restart, start, stop, kill key.Binding

	follow, wrap, left, right, filter key.Binding

	help, back, quit, shutdown, interrupt, suspend key.Binding
}

// newKeyMap names keys as a terminal with these glyphs can show them.
func newKeyMap(t *theme, attached bool) keyMap {
	bind := func(keys []string, name, does string) key.Binding {
		return key.NewBinding(key.WithKeys(keys...), key.WithHelp(name, does))
	}
	leave := "stop the cluster and quit (asks)"
	if attached {
		leave = "leave; the cluster goes on"
	}
	return keyMap{
		up:       bind([]string{"k", "up"}, "k "+t.up, "up"),
		down:     bind([]string{"j", "down"}, "j "+t.down, "down"),
		halfUp:   bind([]string{"ctrl+u", "pgup"}, "^u pgup", "half a page up"),
		halfDown: bind([]string{"ctrl+d", "pgdown"}, "^d pgdn", "half a page down"),
		top:      bind([]string{"g", "home"}, "g home", "to the first"),
		bottom:   bind([]string{"G", "end"}, "G end", "to the last"),
		fold:     bind([]string{"h", "left"}, "h "+t.left, "fold the app"),
		unfold:   bind([]string{"l", "right"}, "l "+t.right, "unfold the app"),
		toggle:   bind([]string{" "}, "space", "fold or unfold the app"),

		next:   bind([]string{"tab"}, "tab", "other pane"),
		toTree: bind([]string{"1"}, "1", "apps and instances"),
		toLogs: bind([]string{"2", "enter"}, "2 enter", "logs"),
		zoom:   bind([]string{"z"}, "z", "the pane alone, or both"),

		restart: bind([]string{"r"}, "r", "restart"),
		start:   bind([]string{"s"}, "s", "start"),
		stop:    bind([]string{"x"}, "x", "stop"),
		kill:    bind([]string{"X"}, "X", "kill (asks)"),

		follow: bind([]string{"f"}, "f", "follow or pause"),
		wrap:   bind([]string{"w"}, "w", "wrap long lines"),
		left:   bind([]string{"h", "left"}, "h "+t.left, "scroll left"),
		right:  bind([]string{"l", "right"}, "l "+t.right, "scroll right"),
		filter: bind([]string{"/"}, "/", "show only names with ..."),

		help:      bind([]string{"?"}, "?", "this help"),
		back:      bind([]string{"esc"}, "esc", "back"),
		quit:      bind([]string{"q"}, "q", leave),
		shutdown:  bind([]string{"Q"}, "Q", "stop the cluster (asks)"),
		interrupt: bind([]string{"ctrl+c"}, "^c", interruptDoes(attached)),
		suspend:   bind([]string{"ctrl+z"}, "^z", "suspend"),
	}
}

func interruptDoes(attached bool) string {
	if attached {
		return "leave; the cluster goes on"
	}
	return "stop the cluster and quit, at once"
}

// helpGroup is one column of the help.
type helpGroup struct {
	title string
	keys  []key.Binding
}

// groups are the keys as the help shows them.
func (k keyMap) groups() []helpGroup {
	return []helpGroup{
		{"Move", []key.Binding{k.up, k.down, k.halfUp, k.halfDown, k.top, k.bottom, k.fold, k.unfold, k.toggle}},
		{"Panes", []key.Binding{k.next, k.toTree, k.toLogs, k.zoom, k.filter, k.help, k.back}},
		{"Act on the selected", []key.Binding{k.restart, k.start, k.stop, k.kill}},
		{"Logs", []key.Binding{k.follow, k.wrap, k.left, k.right}},
		{"Leave", []key.Binding{k.quit, k.shutdown, k.interrupt, k.suspend}},
	}
}

// splitKeys makes one message of each key of msg: keys that arrive together,
// as held keys do on a slow line, come as one message with several runes, and
// escape with the key after it as that key with alt. A paste stays whole.
func splitKeys(msg tea.KeyMsg) []tea.KeyMsg {
	if msg.Alt {
		msg.Alt = false
		return append([]tea.KeyMsg{{Type: tea.KeyEsc}}, splitKeys(msg)...)
	}
	if msg.Paste || msg.Type != tea.KeyRunes || len(msg.Runes) < 2 {
		return []tea.KeyMsg{msg}
	}
	keys := make([]tea.KeyMsg, len(msg.Runes))
	for i, r := range msg.Runes {
		keys[i] = tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune{r}}
		if r == ' ' {
			keys[i].Type = tea.KeySpace
		}
	}
	return keys
}
