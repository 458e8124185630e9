package tui

import (
	"fmt"
	"os"

	"clusterd/internal/figure"
)

// copiedMsg: text has been given to the terminal.
type copiedMsg struct {
	said string
	err  error
}

func (m *model) onCopied(msg copiedMsg) {
	if msg.err != nil {
		m.complain("cannot copy: " + msg.err.Error())
		return
	}
	m.say(msg.said)
}

// savedMsg: lines have been written to a file.
type savedMsg struct {
	path  string
	lines int
	err   error
}

func (m *model) onSaved(msg savedMsg) {
	if msg.err != nil {
		m.complain("cannot save the log: " + msg.err.Error())
		return
	}
	m.say(fmt.Sprintf("saved %s to %s", figure.Plural(msg.lines, "line"), msg.path))
}

// saveFile makes a file that is not there yet; logs may hold secrets, so nobody
// else may read it.
func saveFile(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(text); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
