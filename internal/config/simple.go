package config

import (
	"regexp"
	"slices"
	"strings"
)

// execLine is a command line for a shell with "exec" before it where that
// changes nothing but which process remains: not every shell gives its process
// to the last command by itself (dash does not), and then its PID would be
// shown, and its death reported, in place of the server's.
func execLine(line string) string {
	if isSimple(line) {
		return "exec " + strings.TrimSpace(line)
	}
	return line
}

var program = regexp.MustCompile(`^[A-Za-z0-9_./+-]+$`)

// isSimple tells, if in doubt with no, whether a line is one command, which the
// shell does not do itself. It may have quotes, variables and patterns, but
// neither assignments before it nor operators, redirections or substitutions.
func isSimple(line string) bool {
	if strings.ContainsAny(line, ";&|<>()`\n\\#") {
		return false
	}
	words := strings.Fields(line)
	return len(words) > 0 && program.MatchString(words[0]) && !slices.Contains(shellWords, words[0])
}

// shellWords are what sh, dash, bash and ksh take for a reserved word or do
// themselves, also where there is a program of that name: the two may differ.
var shellWords = strings.Fields(`. : alias bg bind break builtin caller case cd command compgen complete compopt
	continue coproc declare dirs disown do done echo elif else enable esac eval exec exit export false fc fg fi for
	function getopts hash help history if in jobs kill let local logout mapfile newgrp popd print printf pushd pwd
	read readarray readonly return select set shift shopt source suspend test then time times trap true type typeset
	ulimit umask unalias unset until wait whence while`)
