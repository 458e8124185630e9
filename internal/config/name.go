package config

import (
	"strings"
)

// maxName bounds names, which end up in the paths of sockets.
const maxName = 64

const nameForm = `letters, digits, ".", "_" and "-", and begin with a letter or digit`

// nameMistake says what a name must be when it is not, or "". A name can
// stand in a file name, in app/index and on a command line.
func nameMistake(name string) string {
	switch s := sanitised(name); {
	case name == "":
		return "must not be empty"
	case len(name) > maxName:
		return "must have at most 64 characters"
	case s != name && s != "":
		return "may hold only " + nameForm + "; write " + cite(s)
	case s != name:
		return "may hold only " + nameForm
	}
	return ""
}

// sanitised is text as a name: what cannot stand in one becomes "-", and is
// dropped at the ends. It is "" when nothing remains.
func sanitised(text string) string {
	var out strings.Builder
	for _, r := range text {
		switch {
		case r < 128 && (isBare(byte(r)) || r == '.'):
			out.WriteRune(r)
		case !strings.HasSuffix(out.String(), "-"):
			out.WriteByte('-')
		}
	}
	s := strings.TrimLeft(out.String(), "-._")
	if s != text {
		s = strings.TrimRight(s, "-")
	}
	return s[:min(len(s), maxName)]
}

// defaultName names a cluster by its folder.
func defaultName(folder string) string {
	if s := sanitised(folder); s != "" {
		return s
	}
	return "cluster"
}
