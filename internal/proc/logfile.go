package proc

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/charmbracelet/x/ansi"

	"clusterd/internal/config"
)

// logFile copies the log of one app into a file that rotates. A goroutine of its
// own writes; whoever adds lines never waits for it: what a slow or full disk
// cannot take is dropped, and the file says so.
type logFile struct {
	config config.Log
	app    string
	report func(string) // tells the user; from the writing goroutine

	mu      sync.Mutex
	queue   []Line
	bytes   int    // of the queue
	dropped uint64 // lines since the queue was full
	closed  bool

	wake  chan struct{} // something of the above has changed
	ended chan struct{} // closed when all is written, or lost

	// Of the writing goroutine.
	file   rotatingFile
	spare  []Line // to be the queue again, empty
	line   []byte // what format makes
	at     time.Time
	stamp  []byte    // at, as it stands in the file
	broken time.Time // of the last failure; zero: it works
	lost   uint64    // lines since it works no more
}

const (
	// logQueue bounds what waits for the disk, in bytes of an app.
	logQueue = 4 << 20
	// lineCost is what a line in the queue takes besides its text.
	lineCost = 128
	// logRetry is how long a file that cannot be written is left alone.
	logRetry = time.Second
)

func newLogFile(app string, cfg config.Log, report func(string)) *logFile {
	f := &logFile{
		config: cfg, app: app, report: report,
		wake:  make(chan struct{}, 1),
		ended: make(chan struct{}),
		file:  rotatingFile{path: cfg.File, maxSize: cfg.MaxSize, keep: cfg.Keep},
	}
	go f.run()
	return f
}

// add takes lines to be written. It never blocks.
func (f *logFile) add(lines []Line) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range lines {
		size := len(l.Text) + lineCost
		if f.closed || f.dropped > 0 || f.bytes+size > logQueue {
			f.dropped++ // also what would fit, until the gap has been told
			continue
		}
		f.queue = append(f.queue, l)
		f.bytes += size
	}
	f.signal()
}

// close lets everything be written that was added. It does not wait for that.
func (f *logFile) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	f.signal()
}

func (f *logFile) signal() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// take empties the queue.
func (f *logFile) take() (lines []Line, dropped uint64, closed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	lines, dropped, closed = f.queue, f.dropped, f.closed
	f.queue, f.bytes, f.dropped = f.spare, 0, 0
	f.spare = nil
	return lines, dropped, closed
}

func (f *logFile) run() {
	defer close(f.ended)
	for range f.wake {
		lines, dropped, closed := f.take()
		if dropped > 0 {
			lines = append(lines, f.note(fmt.Sprintf("%d lines dropped: they came faster than this file could be written", dropped)))
		}
		f.write(lines)
		clear(lines)
		f.spare = lines[:0]
		if closed {
			f.file.close()
			return
		}
	}
}

// note is a line about the file itself.
func (f *logFile) note(text string) Line {
	return Line{At: time.Now(), Instance: f.app, Stream: StreamEvent, Text: text}
}

// write puts lines into the file, or counts them as lost.
func (f *logFile) write(lines []Line) {
	if !f.broken.IsZero() && time.Since(f.broken) < logRetry {
		f.lost += uint64(len(lines))
		return
	}
	if f.lost > 0 {
		lines = append([]Line{f.note(fmt.Sprintf("%d lines lost: this file could not be written", f.lost))}, lines...)
	}
	for i, l := range lines {
		err := f.file.write(f.format(l))
		if err == nil {
			continue
		}
		f.lost += uint64(len(lines) - i)
		if f.broken.IsZero() {
			f.report(fmt.Sprintf("cannot write the log file: %v; lines are missing in it from now on", err))
		}
		f.broken = time.Now()
		return
	}
	err := f.file.flush()
	switch {
	case err != nil && f.broken.IsZero():
		f.report(fmt.Sprintf("cannot write the log file: %v; lines are missing in it from now on", err))
		fallthrough
	case err != nil:
		f.broken = time.Now()
		f.lost += uint64(len(lines))
	case !f.broken.IsZero():
		f.report(fmt.Sprintf("the log file %s is written again; %d lines are missing in it", f.config.File, f.lost))
		f.broken, f.lost = time.Time{}, 0
	}
	if err := f.file.rotationError(); err != nil {
		f.report(fmt.Sprintf("cannot rotate the log file: %v; it grows on", err))
	}
}

// timeInFile has fixed width, so that lines stand below each other.
const timeInFile = "2006-01-02T15:04:05.000Z07:00"

// format is the line as it stands in the file, with its end; until the next call.
func (f *logFile) format(l Line) []byte {
	text := l.Text
	if strings.IndexByte(text, '\x1b') >= 0 {
		text = ansi.Strip(text) // colours are for terminals
	}
	if f.config.Format == config.LogJSON {
		b, err := json.Marshal(struct {
			At       string `json:"at"`
			Instance string `json:"instance"`
			Stream   Stream `json:"stream"`
			Text     string `json:"text"`
		}{l.At.Format(timeInFile), l.Instance, l.Stream, text})
		if err != nil {
			panic(err) // strings
		}
		return append(b, '\n')
	}
	if f.stamp == nil || l.At != f.at { // lines that came together have one time
		f.at, f.stamp = l.At, l.At.AppendFormat(f.stamp[:0], timeInFile)
	}
	mark := " | "
	switch l.Stream {
	case StreamErr:
		mark = " ! "
	case StreamEvent:
		mark = " * "
	}
	f.line = append(append(f.line[:0], f.stamp...), ' ')
	f.line = append(append(append(append(f.line, l.Instance...), mark...), text...), '\n')
	return f.line
}

// keepLog has an app's log written to the file that its config names, from now
// on; what was to be written to another file still is.
func (c *Cluster) keepLog(a config.App) {
	var f *logFile
	if a.Log.File != "" {
		f = newLogFile(a.Name, a.Log, func(text string) { c.event(a.Name, text) })
	}
	if before := c.journal.keepIn(a.Name, f); before != nil {
		before.close()
	}
}

// lastWrite is how long log files may take to be written at the very end.
const lastWrite = 2 * time.Second

// closeLogs lets all log files be written, and waits for that, but not for ever:
// a disk may hang.
func (c *Cluster) closeLogs() {
	timeout := time.After(lastWrite)
	files := c.journal.keptIn()
	for _, f := range files {
		f.close()
	}
	for _, f := range files {
		select {
		case <-f.ended:
		case <-timeout:
			return
		}
	}
}
