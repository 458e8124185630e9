// Package quiet keeps Lip Gloss from asking the terminal for its background
// colour. Bubble Tea does that in an init function: every run of the program,
// whatever the command, would write an escape sequence to the terminal and wait
// up to five seconds for an answer, which may then be read as keys.
//
// It works because Go initialises packages whose imports are ready in the order
// of their paths, and "clusterd/…" comes before "github.com/…"; a test in
// package tui watches a real terminal for the question.
package quiet

import "github.com/charmbracelet/lipgloss"

func init() { lipgloss.SetHasDarkBackground(true) }
