package main

import (
	"bufio"
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"strings"

	"github.com/charmbracelet/x/ansi"
	"golang.org/x/term"

	"clusterd/internal/figure"
	"clusterd/internal/proc"
)

// logSource is where a printer gets its lines.
type logSource interface {
	Logs(context.Context, proc.LogQuery) (proc.LogPage, error)
	LogsChanged(after uint64) <-chan struct{}
}

// printer writes a cluster's log as it grows: the lines of instances on stdout,
// each behind the name of its instance, and clusterd's own events on stderr. It
// reads from the kept log, so a slow terminal makes it skip lines, and say so,
// and holds up nobody else.
type printer struct {
	source     logSource
	out, err   *bufio.Writer
	colour     bool
	eventsOnly bool
	raw        bool // lines as they were written, without names; no events

	after uint64
	width int // of the longest name
}

// newPrinter is a printer for lines of instances whose names are at most width
// cells long.
func newPrinter(source logSource, width int) *printer {
	return &printer{
		width:  width,
		source: source,
		out:    bufio.NewWriterSize(os.Stdout, 32<<10),
		err:    bufio.NewWriter(os.Stderr),
		colour: term.IsTerminal(int(os.Stdout.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb",
	}
}

// follow prints until ended is closed and everything up to then is out. A
// closed stdout is no reason to stop: the cluster is more than its output.
func (p *printer) follow(ended <-chan struct{}) {
	for last := false; ; {
		page, err := p.source.Logs(context.Background(), proc.LogQuery{After: p.after, Forward: true})
		if err != nil {
			return
		}
		p.after = page.Next
		p.print(page)
		if last && len(page.Lines) == 0 {
			return
		}
		select {
		case <-p.source.LogsChanged(p.after):
		case <-ended:
			last = true
		}
	}
}

// print writes a page; what cannot be written is lost.
func (p *printer) print(page proc.LogPage) {
	if page.Dropped > 0 && !p.eventsOnly {
		fmt.Fprintf(p.err, "clusterd: %d lines dropped\n", page.Dropped)
	}
	for _, l := range page.Lines {
		if p.raw {
			if l.Stream != proc.StreamEvent {
				fmt.Fprintln(p.out, l.Text)
			}
			continue
		}
		if l.Stream == proc.StreamEvent {
			// In order with the lines before it, where both go to one terminal.
			p.out.Flush()
			fmt.Fprintln(p.err, eventLine(l))
			p.err.Flush()
			continue
		}
		if !p.eventsOnly {
			p.line(p.out, l)
		}
	}
	p.out.Flush()
	p.err.Flush()
	// A bufio.Writer keeps its first error for good; a pipe that is closed
	// stays closed, but a full disk may not stay full.
	p.out.Reset(os.Stdout)
	p.err.Reset(os.Stderr)
}

// eventLine is what clusterd says about the cluster or an instance.
func eventLine(l proc.Line) string {
	text := l.Text
	if l.Instance != "" {
		text = l.Instance + " " + text
	}
	return l.At.Local().Format("15:04:05") + " " + text
}

func (p *printer) line(w io.Writer, l proc.Line) {
	mark := "|"
	if l.Stream == proc.StreamErr {
		mark = "!"
	}
	name := fmt.Sprintf("%-*s", p.width, l.Instance)
	text := p.shown(l.Text)
	if !p.colour {
		fmt.Fprintf(w, "%s %s %s\n", name, mark, text)
		return
	}
	// An instance's colours must not run into the next line.
	fmt.Fprintf(w, "\x1b[%dm%s %s\x1b[0m %s\x1b[0m\n", colourOf(l.Instance), name, mark, text)
}

// shown is a line's text for people.
func (p *printer) shown(text string) string {
	if p.raw {
		return text
	}
	if !p.colour {
		text = plain(text)
	}
	text, _ = figure.JSONLine(text)
	return text
}

// plain is a line's text without colours, which most have none of.
func plain(text string) string {
	if strings.IndexByte(text, '\x1b') < 0 {
		return text
	}
	return ansi.Strip(text)
}

// colourOf gives every instance a colour that stays the same: one of the
// terminal's own, neither black nor white, nor the red of errors.
func colourOf(name string) int {
	colours := []int{32, 33, 34, 35, 36, 92, 93, 94, 95, 96}
	h := fnv.New32a()
	h.Write([]byte(name))
	return colours[h.Sum32()%uint32(len(colours))]
}
