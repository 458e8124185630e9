package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Error is one mistake in a config file, or the reason why the file cannot be
// read at all.
type Error struct {
	File    string // as the caller of Load named it
	Line    int    // counted from 1; 0: the mistake is the file's as a whole
	Column  int    // counted from 1, in characters; a tab is one
	Message string // what is wrong and what would be right; without a final stop
	Cause   error  // what the operating system said, such as fs.ErrNotExist; usually nil
}

// Error is file:line:column: message, the form that editors jump to.
func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %s", e.File, e.Message)
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Message)
}

// Unwrap lets errors.Is find what the operating system said.
func (e *Error) Unwrap() error { return e.Cause }

// Errors is everything that is wrong with one file, in the file's order. It
// holds at least one Error, and is the only type of error that Load returns.
type Errors struct {
	List []*Error
}

// Error is the text of every error, one after the other, each on its own line.
func (e *Errors) Error() string {
	lines := make([]string, len(e.List))
	for i, one := range e.List {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.Is and errors.As look into every single error.
func (e *Errors) Unwrap() []error {
	all := make([]error, len(e.List))
	for i, one := range e.List {
		all[i] = one
	}
	return all
}

// report collects the errors of one file while it is read.
type report struct {
	file string
	list []*Error
}

// add notes one error. The zero position stands for the file as a whole.
func (r *report) add(at position, format string, args ...any) {
	r.list = append(r.list, &Error{
		File: r.file, Line: at.line, Column: at.column,
		Message: fmt.Sprintf(format, args...),
	})
}

// err is nil, or an *Errors with everything that was added: sorted by
// position, what concerns the file as a whole last, and nothing said twice of
// the same place.
func (r *report) err() error {
	if len(r.list) == 0 {
		return nil
	}
	slices.SortStableFunc(r.list, func(a, b *Error) int {
		switch {
		case a.Line == 0 && b.Line != 0:
			return 1
		case a.Line != 0 && b.Line == 0:
			return -1
		}
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	r.list = slices.CompactFunc(r.list, func(a, b *Error) bool {
		return a.Line == b.Line && a.Column == b.Column && a.Message == b.Message
	})
	return &Errors{List: r.list}
}
