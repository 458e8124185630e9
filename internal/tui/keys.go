package tui

import (
	"strings"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"clusterd/internal/proc"
)

// command is something that a key does. Keys, help and palette are made from
// the list of all commands.
type command struct {
	bind  key.Binding // its help is what ? shows
	name  string      // in the palette; "": it is not there
	run   func(*model) cmd
	inert func(*model) string      // why it does nothing now, or ""; nil: it always does
	arg   func(*model, string) cmd // with text after its name in the palette; nil: none is taken
	args  string                   // what text that is
	times bool                     // several of its key that come together are one: see model.times
}

// group is the commands under one heading of the help.
type group struct {
	title    string
	commands []command
}

// keyMap is every command there is.
type keyMap struct {
	groups    []group
	interrupt key.Binding // works everywhere, whatever else has the keys
	suspend   key.Binding
}

// bind names keys as the help does.
func bind(keys, name, does string) key.Binding {
	names := strings.Split(keys, " ")
	for i := range names {
		if names[i] == "space" {
			names[i] = " "
		}
	}
	return key.NewBinding(key.WithKeys(names...), key.WithHelp(name, does))
}

// newKeyMap names keys as a terminal with these glyphs can show them.
func newKeyMap(t *theme, attached bool) keyMap {
	leave, interrupt, suspend := "stop all and quit (asks)", "stop all and quit now", "suspend (only dash can)"
	if attached {
		leave, interrupt, suspend = "leave; the cluster goes on", "leave; the cluster goes on", "suspend"
	}
	k := keyMap{
		interrupt: bind("ctrl+c", "^c", interrupt),
		suspend:   bind("ctrl+z", "^z", suspend),
	}
	k.groups = []group{
		{"Move", []command{
			{bind: bind("j down", "j "+t.down, "down"), run: by(1)},
			{bind: bind("k up", "k "+t.up, "up"), run: by(-1)},
			{bind: bind("ctrl+d pgdown", "^d pgdn", "half a page down"), run: page(1)},
			{bind: bind("ctrl+u pgup", "^u pgup", "half a page up"), run: page(-1)},
			{bind: bind("g home", "g home", "to the first"), run: (*model).toFirst},
			{bind: bind("G end", "G end", "to the last; the log follows"), run: (*model).toLast},
			{bind: bind("h left", "h "+t.left, "fold; log to the left"), run: (*model).left, inert: (*model).noSideways},
			{bind: bind("l right", "l "+t.right, "unfold; log to the right"), run: (*model).right, inert: (*model).noSideways},
			{bind: bind("space", "space", "fold or unfold the app"), name: "fold", run: (*model).toggleFold, inert: (*model).noRow},
		}},
		{"Panes", []command{
			{bind: bind("tab", "tab", "next pane"), run: (*model).nextPane},
			{bind: bind("1", "1", "apps and instances"), name: "tree", run: toPane(paneTree)},
			{bind: bind("2", "2", "logs"), name: "logs", run: toPane(paneLogs)},
			{bind: bind("enter i 3", "enter i 3", "details of the selected"), name: "details", run: toPane(paneDetail), inert: (*model).noRow},
			{bind: bind("z", "z", "the pane alone, or all"), name: "zoom", run: (*model).toggleZoom},
			{bind: bind("/", "/", "filter names; search the log"), name: "filter", run: (*model).beginFilterOrSearch, arg: (*model).filterBy, args: "TEXT"},
			{bind: bind("o", "o", "sort by state, req/s, ..."), name: "sort", run: (*model).nextOrder, arg: (*model).sortBy, args: "COLUMN"},
			{bind: bind("c", "c", "columns: load or requests"), name: "columns", run: (*model).toggleColumns},
			{bind: bind("u", "u", "show or mask secrets"), name: "secrets", run: (*model).toggleSecrets, inert: (*model).noDetail},
			{bind: bind(":", ":", "any command, by name"), run: (*model).openPalette},
			{bind: bind("M", "M", "mouse on or off"), name: "mouse", run: (*model).toggleMouse},
			{bind: bind("?", "?", "this help"), name: "help", run: (*model).openHelp},
			{bind: bind("esc", "esc", "back"), run: (*model).back},
		}},
		{"Act on the selected", []command{
			{bind: bind("R", "R", "reload one by one"), name: "reload", run: ask(proc.VerbReload), arg: askFor(proc.VerbReload), args: "TARGET"},
			{bind: bind("r", "r", "restart, all at once"), name: "restart", run: ask(proc.VerbRestart), arg: askFor(proc.VerbRestart), args: "TARGET"},
			{bind: bind("s", "s", "start"), name: "start", run: ask(proc.VerbStart), arg: askFor(proc.VerbStart), args: "TARGET"},
			{bind: bind("x", "x", "stop"), name: "stop", run: ask(proc.VerbStop), arg: askFor(proc.VerbStop), args: "TARGET"},
			{bind: bind("X", "X", "kill (asks)"), name: "kill", run: ask(proc.VerbKill), arg: askFor(proc.VerbKill), args: "TARGET"},
			{bind: bind("+", "+ -", "one instance more, fewer"), name: "scale", run: scaleBy(1), times: true, arg: (*model).scaleTo, args: "N, or APP=N"},
			{bind: bind("-", "", ""), run: scaleBy(-1), times: true}, // in the help of +
		}},
		{"Logs", []command{
			{bind: bind("f p", "f p", "follow or pause"), name: "follow", run: (*model).toggleFollow, inert: (*model).noLines},
			{bind: bind("n", "n", "next match"), run: nextHit(1), inert: (*model).noSearch},
			{bind: bind("N", "N", "match before"), run: nextHit(-1), inert: (*model).noSearch},
			{bind: bind("&", "&", "matches only, or all"), name: "matches", run: (*model).toggleMatches, inert: (*model).noSearch},
			{bind: bind("a", "a", "of selected, its app, or all"), name: "scope", run: (*model).nextScope},
			{bind: bind("e", "e", "out, err, events, or all"), name: "streams", run: (*model).nextStreams},
			{bind: bind("w", "w", "wrap long lines"), name: "wrap", run: (*model).toggleWrap},
			{bind: bind("t", "t", "times: seconds, millis, none"), name: "times", run: (*model).nextClock},
			{bind: bind("T", "T", "jump to a time"), name: "at", run: (*model).askTime, inert: (*model).noLines, arg: (*model).jumpTo, args: "TIME"},
			{bind: bind("m", "m", "mark where it is now"), name: "mark", run: (*model).mark, inert: (*model).noLines},
			{bind: bind("'", "'", "to the mark before"), run: (*model).toMark, inert: (*model).noMarks},
			{bind: bind("v", "v", "select lines"), name: "select", run: (*model).toggleSelect, inert: (*model).noLines},
			{bind: bind("y", "y", "copy those, or what is seen"), name: "copy", run: (*model).copyLines, inert: (*model).noLines},
			{bind: bind("ctrl+s", "^s", "save to a file"), name: "save", run: (*model).askSave, inert: (*model).noLines, arg: (*model).saveTo, args: "FILE"},
		}},
		{"Leave", []command{
			{bind: bind("q", "q", leave), name: "quit", run: (*model).quit},
			{bind: bind("Q", "Q", "stop the cluster (asks)"), name: "shutdown", run: (*model).askShutdown, inert: (*model).noAnswer},
			{bind: k.interrupt, run: (*model).onInterrupt},
			{bind: k.suspend, name: "suspend", run: (*model).onSuspend},
		}},
		{"", []command{
			{bind: bind("", "", "choose colours"), name: "theme", run: (*model).nextTheme, arg: (*model).useTheme, args: strings.Join(ThemeNames(), ", ")},
		}},
	}
	return k
}

// find is the command of a key, or nil.
func (k *keyMap) find(msg tea.KeyMsg) *command {
	for i := range k.groups {
		for j := range k.groups[i].commands {
			if c := &k.groups[i].commands[j]; key.Matches(msg, c.bind) {
				return c
			}
		}
	}
	return nil
}

// named is the command with a name in the palette, or nil.
func (k *keyMap) named(name string) *command {
	for i := range k.groups {
		for j := range k.groups[i].commands {
			if c := &k.groups[i].commands[j]; c.name != "" && c.name == name {
				return c
			}
		}
	}
	return nil
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
