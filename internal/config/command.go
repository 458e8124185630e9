package config

import (
	"strings"
)

const commandForms = `a string such as "bun server.ts", or an array such as ["bun", "server.ts"]`

// setCommand reads a line for the shell, which is left to the shell as it is,
// or an argument vector, whose ${VAR} references are replaced here.
func setCommand(f field, a *App) bool {
	switch v := f.value.(type) {
	case string:
		line, ok := f.text(commandForms)
		if !ok {
			return false
		}
		if strings.TrimSpace(line) == "" {
			return f.fail("is empty; it must be %s", commandForms)
		}
		a.Command.Line, a.Command.Argv = line, nil
		return true
	case []any:
		if len(v) == 0 {
			return f.fail("is empty; it must be %s", commandForms)
		}
		argv, ok := f.arguments()
		if ok {
			a.Command.Line, a.Command.Argv = "", argv
		}
		return ok
	}
	return f.must(commandForms, "")
}

// arguments is the value of an array of strings, each expanded, the first of
// which names a program.
func (f field) arguments() ([]string, bool) {
	argv, good := make([]string, len(f.items)), true
	for i, item := range f.items {
		arg, ok := field{item, "an element of " + f.name, f.r}.expanded("a string")
		if ok && i == 0 && strings.TrimSpace(arg) == "" {
			ok = field{item, "the first element of " + f.name, f.r}.fail("is empty; it must be the program to run")
		}
		argv[i], good = arg, good && ok
	}
	return argv, good
}

func setShell(f field, a *App) bool {
	shell, ok := f.text(`the path of a shell, such as "/bin/bash"`)
	if ok && strings.TrimSpace(shell) == "" {
		return f.fail(`is empty; it must be the path of a shell, such as "/bin/bash"`)
	}
	if ok {
		a.Command.Shell = shell
	}
	return ok
}
